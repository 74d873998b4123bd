/**
 * Timestamp tokens and their six checks (docs/proof-format.md, section 6).
 *
 * RFC 3161, 2.4.2; RFC 5652; RFC 5035 and RFC 5816.
 */

import {
  BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, algorithmOf,
  bigInteger, context, expect, fieldsOf, generalizedTime, isTrue, oidText, parseDer, smallInteger,
} from "./asn1.mjs";
import { LAST_SECOND, hash } from "./forms.mjs";
import { must, orNull } from "./json.mjs";
import {
  HASHES, NotKnown, SHA1, areSound, contentDigest, contentMethods, pssReadable,
} from "./methods.mjs";
import { parseName } from "./names.mjs";
import { judgeRevocation } from "./revocation.mjs";
import {
  DIGITAL_SIGNATURE, FAILED, NON_REPUDIATION, PASSED, TIME_STAMPING, UNKNOWN, climb, findChain,
  methodsOf, readCertificate, signedBy, tryMethod,
} from "./x509.mjs";

const MAX_TOKEN = 65536;
const MAX_CERTIFICATES = 16;

const SIGNED_DATA = ["1.2.840.113549.1.7.2", "1.2.156.10197.6.1.4.2.2"];
const TST_INFO = "1.2.840.113549.1.9.16.1.4";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12";
const SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";
const ATTRIBUTES = [CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2];
const SHA256 = "2.16.840.1.101.3.4.2.1";
const MAX_ACCURACY = 86400;

const CHECKS = ["form", "imprint", "signer", "signature", "chain", "revocation"];

/** What `form` reads of a token. Throws Malformed. */
export function parseToken(bytes) {
  must(bytes.length >= 1 && bytes.length <= MAX_TOKEN, "token");
  const info = fieldsOf(parseDer(bytes));
  must(SIGNED_DATA.includes(oidText(info.required(OID))), "content type");
  const fields = fieldsOf(info.explicit(0));
  fields.required(INTEGER);
  fields.skip();
  const token = { bytes, content: readContent(fields.required(SEQUENCE)) };
  const certificates = fields.maybe(context(0), true);
  token.certificates = certificates === null ? [] : certificates.children;
  must(token.certificates.length <= MAX_CERTIFICATES, "certificates");
  fields.optional(context(1));
  const signers = fields.required(SET);
  must(signers.children.length === 1, "one signer");
  token.info = parseInfo(token.content);
  token.signer = parseSigner(signers.children[0]);
  return token;
}

function readContent(value) {
  const fields = fieldsOf(value);
  must(oidText(fields.required(OID)) === TST_INFO, "eContentType");
  return expect(fields.explicit(0), OCTET_STRING).body;
}

function parseInfo(content) {
  const fields = fieldsOf(parseDer(content));
  must(bigInteger(fields.required(INTEGER)) === 1n, "version");
  fields.required(OID);
  const info = parseImprint(fields.required(SEQUENCE));
  fields.required(INTEGER);
  const time = generalizedTime(fields.required(GENERALIZED_TIME));
  const accuracy = parseAccuracy(fields.maybe(SEQUENCE));
  fields.optional(BOOLEAN);
  fields.maybe(INTEGER);
  fields.optional(context(0));
  info.critical = anyCritical(fields.maybe(context(1), true));
  info.second = time.second;
  info.genTime = time.second + time.micro / 1e6;
  const later = Math.ceil((time.micro + accuracy) / 1e6);
  info.date = Math.min(time.second + later, LAST_SECOND);
  return info;
}

function parseImprint(value) {
  const fields = fieldsOf(value);
  const { oid } = algorithmOf(fields.required(SEQUENCE));
  const digest = fields.required(OCTET_STRING).body;
  const known = HASHES.get(oid);
  must(known === undefined || digest.length === known.size, "length of the digest");
  return { imprintOid: oid, digest };
}

/** Accuracy in microseconds. */
function parseAccuracy(value) {
  if (value === null) return 0;
  const fields = fieldsOf(value);
  const part = (field) => (field === null ? 0 : smallInteger(field));
  const whole = part(fields.maybe(INTEGER));
  const millis = part(fields.maybe(context(0), false));
  const micros = part(fields.maybe(context(1), false));
  must(millis <= 999 && micros <= 999 && whole <= MAX_ACCURACY, "accuracy");
  const accuracy = whole * 1e6 + millis * 1000 + micros;
  must(accuracy <= MAX_ACCURACY * 1e6, "accuracy");
  return accuracy;
}

function anyCritical(extensions) {
  if (extensions === null) return false;
  const critical = extensions.children.map((value) => {
    const fields = fieldsOf(value);
    const id = fields.skip();
    const critical = isTrue(fields.maybe(BOOLEAN));
    if (critical) expect(id, OID);
    fields.skip();
    return critical;
  });
  return critical.includes(true);
}

function parseSigner(value) {
  const fields = fieldsOf(value);
  fields.skip();
  const signer = parseSid(fields);
  signer.digestOid = algorithmOf(fields.required(SEQUENCE)).oid;
  const attributes = fields.maybe(context(0), true);
  signer.algorithm = algorithmOf(fields.required(SEQUENCE));
  must(pssReadable(signer.algorithm), "parameters of PSS");
  signer.signature = fields.required(OCTET_STRING).body;
  signer.signedBytes = attributes === null ? null : asSet(attributes.whole);
  const read = parseAttributes(attributes);
  signer.contentType = read.has(CONTENT_TYPE)
    ? oidText(expect(read.get(CONTENT_TYPE), OID)) : null;
  signer.messageDigest = read.has(MESSAGE_DIGEST)
    ? expect(read.get(MESSAGE_DIGEST), OCTET_STRING).body : null;
  signer.named = [
    ...parseNamed(read.get(SIGNING_CERTIFICATE), false),
    ...parseNamed(read.get(SIGNING_CERTIFICATE_V2), true),
  ];
  return signer;
}

/** Issuer (unread) and serial number as `name`, or a key identifier as `keyId`. */
function parseSid(fields) {
  const byKey = fields.maybe(context(0), false);
  if (byKey !== null) return { name: null, keyId: byKey.body };
  const inner = fieldsOf(fields.required(SEQUENCE));
  const issuer = inner.required(SEQUENCE);
  return { name: { issuer, serial: bigInteger(inner.required(INTEGER)) }, keyId: null };
}

/** RFC 5652, 5.4: the attributes with the tag of a SET OF. */
function asSet(whole) {
  const bytes = Buffer.from(whole);
  bytes[0] = 0x31;
  return bytes;
}

function parseAttributes(attributes) {
  const read = new Map();
  for (const value of attributes === null ? [] : attributes.children) {
    const fields = fieldsOf(value);
    const type = oidText(fields.required(OID));
    if (!ATTRIBUTES.includes(type)) {
      fields.skip();
      continue;
    }
    const values = fields.required(SET).children;
    must(!read.has(type) && values.length === 1, "attribute");
    read.set(type, values[0]);
  }
  return read;
}

/** The first entry of SigningCertificate or SigningCertificateV2. */
function parseNamed(value, second) {
  if (value === undefined) return [];
  const list = fieldsOf(value).required(SEQUENCE).children;
  must(list.length >= 1, "entry");
  const fields = fieldsOf(list[0]);
  const algorithm = second ? fields.maybe(SEQUENCE) : null;
  let oid = second ? SHA256 : SHA1;
  if (algorithm !== null) ({ oid } = algorithmOf(algorithm));
  const digest = fields.required(OCTET_STRING).body;
  return [{ oid, digest, name: parseIssuerSerial(fields.maybe(SEQUENCE)) }];
}

function parseIssuerSerial(value) {
  if (value === null) return null;
  const fields = fieldsOf(value);
  const names = fields.required(SEQUENCE).children;
  const directories = names.filter(({ tag }) => tag === context(4));
  const [only] = directories;
  must(directories.length === 1 && only.constructed, "directoryName");
  const issuer = expect(only.children[0], SEQUENCE);
  return { issuer, serial: bigInteger(fields.required(INTEGER)) };
}

/**
 * Judges a token, or null where it is malformed: {checks, form, date, holds, worth, …}.
 *
 * `judgeImprint` says what the imprint comes to. `beside` has lists of bytes: certificates, crls,
 * ocsps. `atClock` is false where a later timestamp keeps the token's force.
 */
export function judgeToken(token, judgeImprint, beside, trust, atClock = true) {
  if (token === null) return malformedToken();
  const { info } = token;
  const pool = poolOf(token, beside, trust);
  const result = { token, date: info.date, genTime: info.genTime, imprint: judgeImprint(info) };
  result.form = info.critical ? UNKNOWN : PASSED;
  if (!areSound(contentMethods(info.imprintOid), info.second)) result.imprint = FAILED;
  const signer = findSigner(token, pool);
  result.signer = signer.outcome;
  result.signature = judgeSignature(token, signer.certificate);
  result.certificate = signer.certificate;
  result.pool = pool;
  const chain = judgeChain(token, signer.certificate, pool, trust);
  result.path = chain.path;
  result.worth = chain.worth;
  result.methods = restsOn(token, chain.path);
  result.chain = chain.outcome;
  result.ended = chain.path !== null && !areSound(result.methods, trust.second);
  if (atClock && chain.outcome === PASSED && result.ended) result.chain = UNKNOWN;
  result.revocation = chain.path === null
    ? UNKNOWN : judgeRevocation(chain.path, pool, beside, info.genTime);
  return finished(result);
}

function malformedToken() {
  const rest = Object.fromEntries(CHECKS.map((name) => [name, UNKNOWN]));
  return finished({ ...rest, form: FAILED, token: null, path: null, worth: null, date: null });
}

function finished(result) {
  result.checks = CHECKS.map((name) => ({ name, outcome: result[name] }));
  result.holds = result.checks.every(
    ({ name, outcome }) => outcome === PASSED || (name === "revocation" && outcome === UNKNOWN),
  );
  return result;
}

function poolOf(token, beside, trust) {
  const own = token.certificates.filter((value) => value.tag === SEQUENCE);
  const read = [
    ...trust.pool,
    ...own.map((value) => readCertificate(value.whole)),
    ...beside.certificates.map(readCertificate),
  ];
  return [...new Set(read.filter((certificate) => certificate !== null))];
}

/** Check 3: {outcome, certificate}. */
function findSigner(token, pool) {
  const { named, name } = token.signer;
  if (named.length === 0) return { outcome: FAILED, certificate: null };
  const nodes = named.map(({ oid }) => (oid === SHA1 ? "sha1" : HASHES.get(oid)?.node));
  if (nodes.includes(undefined)) return { outcome: UNKNOWN, certificate: null };
  const certificate = pool.find((each) => {
    return named.every(({ digest }, i) => hash(nodes[i], each.bytes).equals(digest));
  });
  if (certificate === undefined) return { outcome: UNKNOWN, certificate: null };
  const names = [name, ...named.map((entry) => entry.name)].filter((each) => each !== null);
  const agrees = names.every((each) => isNameOf(each, certificate)) && hasKeyId(token, certificate);
  return { outcome: agrees && mayStamp(certificate) ? PASSED : FAILED, certificate };
}

function isNameOf({ issuer, serial }, certificate) {
  const read = orNull(() => parseName(issuer));
  return read !== null && read.text === certificate.issuer.text && serial === certificate.serial;
}

function hasKeyId(token, certificate) {
  const { keyId } = token.signer;
  return keyId === null || (certificate.keyId !== null && certificate.keyId.equals(keyId));
}

function mayStamp(certificate) {
  const { extended, extendedCritical } = certificate;
  const alone = extended !== null && extended.length === 1 && extended[0] === TIME_STAMPING;
  return alone && extendedCritical && certificate.mayUse(DIGITAL_SIGNATURE, NON_REPUDIATION);
}

/** Check 4. */
function judgeSignature(token, certificate) {
  const { signer, content, info } = token;
  if (signer.contentType !== TST_INFO || signer.messageDigest === null) return FAILED;
  let digest;
  try {
    digest = contentDigest(signer.digestOid, content);
  } catch (error) {
    if (error instanceof NotKnown) return UNKNOWN;
    throw error;
  }
  if (!digest.equals(signer.messageDigest)) return FAILED;
  if (certificate === null) return UNKNOWN;
  const method = tryMethod(signer.algorithm, signer.digestOid);
  const signed = signedBy(certificate, method, signer.signedBytes, signer.signature);
  if (signed === null) return UNKNOWN;
  const methods = [...contentMethods(signer.digestOid), ...hashesOf(method)];
  return signed && areSound(methods, info.second) ? PASSED : FAILED;
}

/** A key's own end is a matter of the chain. */
function hashesOf(method) {
  return method.methods.filter((name) => name !== "sm2");
}

/** Check 5: {outcome, path, worth}. */
function judgeChain(token, certificate, pool, trust) {
  const nothing = { path: null, worth: null };
  if (certificate === null) return { outcome: UNKNOWN, ...nothing };
  const { second } = token.info;
  const sound = areSound(certificate.keyMethods, second);
  if (!certificate.isValidAt(second) || !sound) return { outcome: FAILED, ...nothing };
  return findChain(certificate, pool, trust.roots, second);
}

/** The names of all methods that a token and its chain rest on. */
function restsOn(token, path) {
  const method = tryMethod(token.signer.algorithm, token.signer.digestOid);
  const names = [
    ...contentMethods(token.info.imprintOid),
    ...contentMethods(token.signer.digestOid),
    ...(method === null ? [] : method.methods),
  ];
  const chain = path ?? [];
  const last = chain.length - 1;
  return [...names, ...chain.flatMap((each, i) => methodsOf(each, i < last))];
}

/**
 * What keeps a judged token's force: its certificates, as far as they are known, and the names of
 * its methods but the imprint's. Null without the signer's certificate.
 */
export function restsOnUp(judged) {
  if (judged.certificate === null) return null;
  const path = judged.path ?? climb(judged.certificate, judged.pool);
  return { path, methods: restsOn(judged.token, path) };
}

/** How a root of a batch is compared with an imprint (check 2). */
export function imprintIs(digest, oid = SHA256) {
  return (info) => (info.imprintOid === oid && info.digest.equals(digest) ? PASSED : FAILED);
}
