/**
 * CRLs and OCSP answers (docs/proof-format.md, section 6, "Which answers count").
 *
 * RFC 5280, 5 and 6.3; RFC 6960, 4.2.
 */

import {
  BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, UTC_TIME,
  algorithmOf, bigInteger, bitBytes, certificateTime, context, expect, fieldsOf, generalizedTime,
  isTrue, oidText, parseDer, smallInteger,
} from "./asn1.mjs";
import { hash } from "./forms.mjs";
import { must, orNull } from "./json.mjs";
import { HASHES, SHA1, areSound } from "./methods.mjs";
import { directoryNames, parseGeneralNames, parseName, sameGeneralName } from "./names.mjs";
import {
  CRL_SIGN, DIGITAL_SIGNATURE, DISTRIBUTION_POINTS, FAILED, NON_REPUDIATION, OCSP_SIGNING, PASSED,
  UNKNOWN, findChain, parseExtensions, readCertificate, signedBy, tryMethod,
} from "./x509.mjs";

const MAX_SIGNERS = 4;
const MAX_CRL = 524288;
const MAX_OCSP = 32768;
const MAX_RESPONDERS = 4;
const LEEWAY = 600;

const CRL_NUMBER = "2.5.29.20";
const REASON_CODE = "2.5.29.21";
const INVALIDITY_DATE = "2.5.29.24";
const DELTA_INDICATOR = "2.5.29.27";
const ISSUING_POINT = "2.5.29.28";
const CERTIFICATE_ISSUER = "2.5.29.29";
const AUTHORITY_KEY = "2.5.29.35";
const BASIC_RESPONSE = "1.3.6.1.5.5.7.48.1.1";
const REMOVE_FROM_CRL = 8;

const cache = new Map();

function cached(bytes, parse) {
  const key = parse.name + bytes.toString("latin1");
  if (cache.has(key)) return cache.get(key);
  if (cache.size > 500) cache.clear();
  const result = orNull(() => parse(bytes));
  cache.set(key, result);
  return result;
}

function find(extensions, oid) {
  return extensions.find((each) => each.oid === oid) ?? null;
}

function parseCrl(bytes) {
  must(bytes.length <= MAX_CRL, "crl");
  const fields = fieldsOf(parseDer(bytes));
  const body = fields.required(SEQUENCE);
  const algorithm = fields.required(SEQUENCE);
  const crl = { signedBytes: body.whole, method: tryMethod(algorithmOf(algorithm)) };
  crl.signature = bitBytes(fields.required(BIT_STRING));
  fields.end();
  const inner = fieldsOf(body);
  inner.maybe(INTEGER);
  must(inner.required(SEQUENCE).whole.equals(algorithm.whole), "algorithm");
  crl.issuer = parseName(inner.required(SEQUENCE));
  crl.thisUpdate = certificateTime(inner.optional(UTC_TIME, GENERALIZED_TIME));
  const next = inner.optional(UTC_TIME, GENERALIZED_TIME);
  crl.nextUpdate = next === null ? null : certificateTime(next);
  const revoked = inner.maybe(SEQUENCE);
  const extensions = inner.explicit(0);
  inner.end();
  crl.extensions = extensions === null ? [] : parseExtensions(extensions);
  crl.delta = find(crl.extensions, DELTA_INDICATOR) !== null;
  const point = find(crl.extensions, ISSUING_POINT);
  crl.point = point === null ? null : parseIssuingPoint(parseDer(point.value));
  crl.entries = parseEntries(crl, revoked);
  return crl;
}

function parseIssuingPoint(value) {
  const fields = fieldsOf(value);
  const place = fields.explicit(0);
  const flag = (number) => isTrue(fields.maybe(context(number), false));
  return {
    place: place === null ? null : pointName(place),
    users: flag(1),
    authorities: flag(2),
    reasons: fields.maybe(context(3), false) !== null,
    indirect: flag(4),
    attributes: flag(5),
  };
}

/** DistributionPointName: general names, or one relative to the issuer. */
function pointName(value) {
  must(value.constructed, "distribution point");
  if (value.tag === context(0)) return { names: parseGeneralNames(value), relative: null };
  must(value.tag === context(1), "distribution point");
  return { names: [], relative: value.whole };
}

function parseEntries(crl, revoked) {
  if (revoked === null) return [];
  let issuers = [crl.issuer];
  return revoked.children.map((value) => {
    const fields = fieldsOf(value);
    const serial = bigInteger(fields.required(INTEGER));
    const date = certificateTime(fields.optional(UTC_TIME, GENERALIZED_TIME));
    const list = fields.maybe(SEQUENCE);
    const extensions = list === null ? [] : parseExtensions(list);
    const named = find(extensions, CERTIFICATE_ISSUER);
    if (crl.point?.indirect && named !== null) {
      issuers = directoryNames(parseGeneralNames(parseDer(named.value)));
    }
    return { serial, issuers, extensions, date };
  });
}

/** The points from which a certificate's CRLs come: {place, issuers}. */
function distributionPoints(certificate) {
  const extension = certificate.extensions.find(({ oid }) => oid === DISTRIBUTION_POINTS);
  if (extension === undefined) return [];
  const read = () => expect(parseDer(extension.value), SEQUENCE).children.map(distributionPoint);
  return orNull(read) ?? [];
}

function distributionPoint(value) {
  const fields = fieldsOf(value);
  const place = fields.explicit(0);
  fields.maybe(context(1), false);
  const issuers = fields.maybe(context(2), true);
  return {
    place: place === null ? null : pointName(place),
    issuers: issuers === null ? [] : directoryNames(parseGeneralNames(issuers)),
  };
}

/** The certificates that may have signed an answer: the issuer, or others of a name. */
function* signersOf(answer, name, scope) {
  const { issuer, root, pool } = scope;
  const byIssuer = name === issuer.subject.text;
  if (byIssuer) yield issuer;
  const keys = new Set([issuer.keyInfo.whole.toString("latin1")]);
  for (const other of pool) {
    const key = other.keyInfo.whole.toString("latin1");
    if (other.subject.text !== name || !other.isAuthority || keys.has(key)) continue;
    if (keys.size > MAX_SIGNERS) return;
    keys.add(key);
    const found = findChain(other, pool, new Map([[root, 0]]), answer.time);
    if (found.outcome === PASSED) yield other;
  }
}

function wasSigned(answer, signer) {
  if (answer.method === null || signer.key === null) return false;
  const methods = [...answer.method.methods, ...signer.keyMethods];
  if (!areSound(methods, answer.time)) return false;
  return signedBy(signer, answer.method, answer.signedBytes, answer.signature) === true;
}

const CRL_CRITICAL = [ISSUING_POINT, DELTA_INDICATOR, AUTHORITY_KEY, CRL_NUMBER];

/** What a CRL says of a certificate: null, or {revoked: {...}} or {good: times}. */
function crlSays(bytes, certificate, scope) {
  const crl = cached(bytes, parseCrl);
  if (crl === null || !onlyCritical(crl.extensions, CRL_CRITICAL)) return null;
  const { issuer } = scope;
  const byIssuer = crl.issuer.text === issuer.subject.text;
  const points = distributionPoints(certificate);
  const named = points.some((point) => point.issuers.some(({ text }) => text === crl.issuer.text));
  if (!byIssuer && !named) return null;
  const entry = crl.entries.find(
    (each) => each.serial === certificate.serial &&
      each.issuers.some(({ text }) => text === certificate.issuer.text),
  );
  const saying = entry === undefined ? null : readEntry(entry, crl.point?.indirect ?? false);
  if (entry !== undefined && saying === null) return null;
  crl.time = crl.thisUpdate;
  if (!crlSigned(crl, scope)) return null;
  const counts = byIssuer && coversAll(crl, certificate, points);
  const update = { thisUpdate: crl.thisUpdate, nextUpdate: crl.nextUpdate };
  const revoked = saying?.reason === REMOVE_FROM_CRL ? null : saying;
  return { revoked, good: counts ? update : null };
}

function crlSigned(crl, scope) {
  for (const signer of signersOf(crl, crl.issuer.text, scope)) {
    if (signer.mayUse(CRL_SIGN) && wasSigned(crl, signer)) return true;
  }
  return false;
}

function onlyCritical(extensions, allowed) {
  return extensions.every(({ critical, oid }) => !critical || allowed.includes(oid));
}

function readEntry(entry, indirect) {
  const allowed = [REASON_CODE, INVALIDITY_DATE, ...(indirect ? [CERTIFICATE_ISSUER] : [])];
  if (!onlyCritical(entry.extensions, allowed)) return null;
  return orNull(() => {
    const reason = find(entry.extensions, REASON_CODE);
    const code = reason === null ? null : parseDer(reason.value);
    return {
      time: revokedAt(entry.date, entry.extensions),
      reason: code === null ? null : smallInteger(expect(code, ENUMERATED)),
    };
  });
}

/** A time in seconds, with its fraction: what was revoked half a second later was not revoked. */
function moment(value) {
  const time = generalizedTime(value);
  return time.second + time.micro / 1e6;
}

/** The revocation date, or the invalidity date where that is earlier. */
function revokedAt(date, extensions) {
  const invalid = find(extensions, INVALIDITY_DATE);
  if (invalid === null) return date;
  return Math.min(date, moment(expect(parseDer(invalid.value), GENERALIZED_TIME)));
}

/** Whether a certificate that a CRL does not name is not revoked. */
function coversAll(crl, certificate, points) {
  if (crl.delta) return false;
  const { point } = crl;
  if (point === null) return true;
  if (point.indirect || point.reasons || point.attributes) return false;
  if (point.users && certificate.isAuthority) return false;
  if (point.authorities && !certificate.isAuthority) return false;
  return point.place === null || points.some(({ place }) => samePlace(place, point.place));
}

function samePlace(a, b) {
  if (a === null) return false;
  if (a.relative !== null && b.relative !== null) return a.relative.equals(b.relative);
  return a.names.some((name) => b.names.some((other) => sameGeneralName(name, other)));
}

function parseOcsp(bytes) {
  must(bytes.length <= MAX_OCSP, "ocsp");
  const fields = fieldsOf(parseDer(bytes));
  must(smallInteger(fields.required(ENUMERATED)) === 0, "status");
  const content = fieldsOf(fields.explicit(0));
  must(oidText(content.required(OID)) === BASIC_RESPONSE, "response type");
  const basic = fieldsOf(parseDer(content.required(OCTET_STRING).body));
  const data = basic.required(SEQUENCE);
  const method = tryMethod(algorithmOf(basic.required(SEQUENCE)));
  const signature = bitBytes(basic.required(BIT_STRING));
  const answer = { signedBytes: data.whole, method, signature };
  const certificates = basic.explicit(0);
  answer.certificates = certificates === null ? [] : expect(certificates, SEQUENCE).children;
  must(answer.certificates.length <= MAX_RESPONDERS, "responders");
  readOcspData(answer, fieldsOf(data));
  return answer;
}

function readOcspData(answer, fields) {
  fields.explicit(0);
  must(fields.optional(context(1), context(2)) !== null, "responder");
  answer.time = generalizedTime(fields.required(GENERALIZED_TIME)).second;
  answer.responses = fields.required(SEQUENCE).children.map(parseResponse);
  const extensions = fields.explicit(1);
  answer.extensions = extensions === null ? [] : parseExtensions(extensions);
}

function parseResponse(value) {
  const fields = fieldsOf(value);
  const id = fieldsOf(fields.required(SEQUENCE));
  const response = {
    hashOid: algorithmOf(id.required(SEQUENCE)).oid,
    nameHash: id.required(OCTET_STRING).body,
    keyHash: id.required(OCTET_STRING).body,
    serial: bigInteger(id.required(INTEGER)),
    status: fields.optional(context(0), context(1), context(2)),
  };
  must(response.status !== null, "status");
  response.thisUpdate = generalizedTime(fields.required(GENERALIZED_TIME)).second;
  const next = fields.explicit(0);
  response.nextUpdate =
    next === null ? null : generalizedTime(expect(next, GENERALIZED_TIME)).second;
  const extensions = fields.explicit(1);
  response.extensions = extensions === null ? [] : parseExtensions(extensions);
  if (response.status.tag === context(1)) response.revoked = parseRevoked(response);
  return response;
}

function parseRevoked(response) {
  must(response.status.constructed, "revoked");
  const [date, reason] = response.status.children;
  const time = revokedAt(
    moment(expect(date, GENERALIZED_TIME)), response.extensions,
  );
  const code = reason?.tag === context(0) ? expect(reason.children?.[0], ENUMERATED) : null;
  return { time, reason: code === null ? null : smallInteger(code) };
}

function isAbout(response, certificate, issuer) {
  const node = response.hashOid === SHA1 ? "sha1" : HASHES.get(response.hashOid)?.node;
  if (node === undefined || response.serial !== certificate.serial) return false;
  return hash(node, certificate.issuer.der).equals(response.nameHash) &&
    hash(node, issuer.keyBits).equals(response.keyHash);
}

/** What an OCSP answer says of a certificate: a list of {revoked, good}. */
function ocspSays(bytes, certificate, scope) {
  const answer = cached(bytes, parseOcsp);
  if (answer === null || !onlyCritical(answer.extensions, [])) return [];
  const about = answer.responses.filter((each) => isAbout(each, certificate, scope.issuer));
  const spoilt = about.some(
    (each) => each.status.tag === context(2) || !onlyCritical(each.extensions, []),
  );
  if (about.length === 0 || spoilt || !ocspSigned(answer, scope)) return [];
  return about.map(({ revoked, thisUpdate, nextUpdate }) => {
    return { revoked: revoked ?? null, good: { thisUpdate, nextUpdate } };
  });
}

function ocspSigned(answer, scope) {
  const { issuer } = scope;
  for (const signer of signersOf(answer, issuer.subject.text, scope)) {
    if (wasSigned(answer, signer)) return true;
  }
  return answer.certificates.some((value) => {
    const responder = value.tag === SEQUENCE ? readCertificate(value.whole) : null;
    return responder !== null && isResponder(responder, issuer, answer.time) &&
      wasSigned(answer, responder);
  });
}

function isResponder(responder, issuer, second) {
  const usages = responder.extended ?? [];
  return usages.includes(OCSP_SIGNING) && responder.isValidAt(second) &&
    responder.mayUse(DIGITAL_SIGNATURE, NON_REPUDIATION) &&
    areSound([...responder.keyMethods, ...responder.signatureMethods], second) &&
    responder.issuer.text === issuer.subject.text && responder.signedWith(issuer) === true;
}

const HARMLESS = [0, 3, 4, 5];
const COMPROMISED = [1, 2];

function spoils(revoked, isSigner, genTime) {
  if (revoked.time <= genTime) return true;
  if (isSigner) return !HARMLESS.includes(revoked.reason);
  return COMPROMISED.includes(revoked.reason);
}

/** Whether an answer says that a certificate was not revoked, or only later, harmlessly. */
function clears({ revoked, good }, certificate, genTime) {
  return revoked !== null || (good !== null && isForTime(good, certificate, genTime));
}

function isForTime({ thisUpdate, nextUpdate }, certificate, genTime) {
  const made = thisUpdate >= genTime - LEEWAY || (nextUpdate !== null && nextUpdate >= genTime);
  return made && thisUpdate <= certificate.notAfter;
}

/** Check 6: PASSED, FAILED or UNKNOWN. `genTime` is in seconds, with its fraction. */
export function judgeRevocation(path, pool, answers, genTime) {
  const root = path[path.length - 1];
  let known = path.length > 1;
  for (let i = 0; i < path.length - 1; i++) {
    const scope = { issuer: path[i + 1], root, pool };
    const sayings = [
      ...answers.crls.map((bytes) => crlSays(bytes, path[i], scope)),
      ...answers.ocsps.flatMap((bytes) => ocspSays(bytes, path[i], scope)),
    ].filter((saying) => saying !== null);
    if (sayings.some(({ revoked }) => revoked !== null && spoils(revoked, i === 0, genTime))) {
      return FAILED;
    }
    known &&= sayings.some((saying) => clears(saying, path[i], genTime));
  }
  return known ? PASSED : UNKNOWN;
}
