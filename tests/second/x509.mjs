/**
 * Certificates and chains (docs/proof-format.md, section 6, "Chains"; RFC 5280, 4 and 6.1).
 */

import {
  BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE, algorithmOf, bigInteger, bitBytes,
  certificateTime, context, expect, fieldsOf, hasBit, isTrue, oidText, parseDer, smallInteger,
} from "./asn1.mjs";
import { Malformed, must, orNull } from "./json.mjs";
import { NotKnown, areSound, readKey, signatureMethod, verifies } from "./methods.mjs";
import { checkNames, parseAlternative, parseConstraints, parseName } from "./names.mjs";
import {
  keepsPolicies, parseMappings, parsePolicies, parsePolicyConstraints,
} from "./policies.mjs";

export const PASSED = "passed";
export const FAILED = "failed";
export const UNKNOWN = "unknown";

const MAX_CHAIN_SIGNATURES = 64;
const MAX_PATHS = 256;
const MAX_INTERMEDIATES = 8;

export const TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
export const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
const ANY_USAGE = "2.5.29.37.0";

const KEY_USAGE = "2.5.29.15";
export const DISTRIBUTION_POINTS = "2.5.29.31";
const SUBJECT_ALT_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_IDENTIFIER = "2.5.29.14";
const EXTENDED_USAGE = "2.5.29.37";
export const DIGITAL_SIGNATURE = 0;
export const NON_REPUDIATION = 1;
const CERT_SIGN = 5;
export const CRL_SIGN = 6;

const READERS = new Map([
  [BASIC_CONSTRAINTS, parseBasicConstraints],
  [KEY_USAGE, parseUsage],
  [EXTENDED_USAGE, parseUsages],
  [KEY_IDENTIFIER, (value) => expect(value, OCTET_STRING).body],
  [SUBJECT_ALT_NAME, parseAlternative],
  ["2.5.29.30", parseConstraints],
  ["2.5.29.32", parsePolicies],
  ["2.5.29.33", parseMappings],
  ["2.5.29.36", parsePolicyConstraints],
  ["2.5.29.54", (value) => smallInteger(expect(value, INTEGER))],
]);
const POLICIES = ["2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.54"];
/** Without these, a certificate cannot be read. */
const NEEDED = [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_USAGE, KEY_IDENTIFIER];
const MEMBERS = {
  basic: BASIC_CONSTRAINTS, usage: KEY_USAGE, extended: EXTENDED_USAGE, keyId: KEY_IDENTIFIER,
  alternative: SUBJECT_ALT_NAME, constraints: "2.5.29.30", policies: "2.5.29.32",
  mappings: "2.5.29.33", policyConstraints: "2.5.29.36", inhibitAny: "2.5.29.54",
};

function parseBasicConstraints(value) {
  const fields = fieldsOf(value);
  const authority = isTrue(fields.maybe(BOOLEAN));
  const length = fields.maybe(INTEGER);
  return { authority, pathLength: length === null ? Infinity : Number(bigInteger(length)) };
}

function parseUsage(value) {
  hasBit(expect(value, BIT_STRING), 0);
  return value;
}

function parseUsages(value) {
  return expect(value, SEQUENCE).children.map((item) => oidText(expect(item, OID)));
}

/** Extensions in their order: {oid, critical, value}. */
export function parseExtensions(value) {
  return expect(value, SEQUENCE).children.map((item) => {
    const fields = fieldsOf(item);
    const oid = oidText(fields.required(OID));
    const critical = isTrue(fields.maybe(BOOLEAN));
    return { oid, critical, value: fields.required(OCTET_STRING).body };
  });
}

/** A certificate, with what its extensions say. Read with `readCertificate`. */
class Certificate {
  constructor(bytes) {
    this.bytes = bytes;
    const fields = fieldsOf(parseDer(bytes));
    const body = fields.required(SEQUENCE);
    this.signedBytes = body.whole;
    const algorithm = fields.required(SEQUENCE);
    this.algorithm = algorithmOf(algorithm);
    this.outerAlgorithm = algorithm.whole;
    this.signature = bitBytes(fields.required(BIT_STRING));
    fields.end();
    this.readBody(fieldsOf(body));
    this.readExtensions();
    this.signers = new Map();
  }

  readBody(fields) {
    fields.maybe(context(0), true);
    this.serial = bigInteger(fields.required(INTEGER));
    this.saysOneAlgorithm = fields.required(SEQUENCE).whole.equals(this.outerAlgorithm);
    this.issuer = parseName(fields.required(SEQUENCE));
    const validity = fieldsOf(fields.required(SEQUENCE));
    this.notBefore = certificateTime(validity.values[0] ?? null);
    this.notAfter = certificateTime(validity.values[1] ?? null);
    this.subject = parseName(fields.required(SEQUENCE));
    const zero = this.serial === 0n && this.issuer.der.equals(this.subject.der);
    must(this.serial > 0n || zero, "serial number");
    this.keyInfo = fields.required(SEQUENCE);
    this.keyBits = bitBytes(expect(fieldsOf(this.keyInfo).values[1], BIT_STRING));
    fields.maybe(context(1), false);
    fields.maybe(context(2), false);
    const extensions = fields.explicit(3);
    fields.end();
    this.extensions = extensions === null ? [] : parseExtensions(extensions);
  }

  readExtensions() {
    this.unread = false;
    const read = new Map();
    for (const { oid, critical, value } of this.extensions) {
      const reader = READERS.get(oid);
      must(!read.has(oid), "extension twice");
      const known = reader !== undefined && (oid !== KEY_IDENTIFIER || !critical);
      if (!known && critical) this.unread = true;
      read.set(oid, reader === undefined ? null : this.tryRead(reader, value));
      must(!NEEDED.includes(oid) || read.get(oid) !== null, "extension");
    }
    for (const [member, oid] of Object.entries(MEMBERS)) this[member] = read.get(oid) ?? null;
    const has = (oid) => read.has(oid);
    this.hasAlternative = has(SUBJECT_ALT_NAME);
    this.policiesUnread = POLICIES.some((oid) => has(oid) && read.get(oid) === null);
    const extended = this.extensions.find((extension) => extension.oid === EXTENDED_USAGE);
    this.extendedCritical = extended !== undefined && extended.critical;
  }

  tryRead(reader, value) {
    const result = orNull(() => reader(parseDer(value)));
    if (result === null) this.unread = true;
    return result;
  }

  get selfIssued() {
    return this.issuer.text === this.subject.text;
  }

  get isAuthority() {
    return this.basic !== null && this.basic.authority;
  }

  /** Whether its key usage, if it has one, has one of these bits. */
  mayUse(...bits) {
    return this.usage === null || bits.some((bit) => hasBit(this.usage, bit));
  }

  isValidAt(second) {
    return this.notBefore <= second && second <= this.notAfter;
  }

  /** Its key, or null if it is of no kind that is accepted. */
  get key() {
    if (this.parsedKey === undefined) this.parsedKey = tryKey(this.keyInfo);
    return this.parsedKey;
  }

  get keyMethods() {
    return this.key === null ? [] : this.key.methods;
  }

  /** Its signature's method, or null if it is not accepted. */
  get method() {
    if (this.parsedMethod === undefined) this.parsedMethod = tryMethod(this.algorithm);
    return this.parsedMethod;
  }

  get signatureMethods() {
    return this.method === null ? [] : this.method.methods;
  }

  /** Whether another certificate's key signed this one: true, false, or null if unknown. */
  signedWith(other) {
    if (!this.saysOneAlgorithm) return false;
    if (!this.signers.has(other)) {
      const signed = signedBy(other, this.method, this.signedBytes, this.signature);
      this.signers.set(other, signed);
    }
    return this.signers.get(other);
  }
}

function tryKey(info) {
  try {
    return readKey(info);
  } catch (error) {
    if (error instanceof NotKnown || error instanceof Malformed) return null;
    throw error;
  }
}

export function tryMethod(algorithm, digestOid) {
  try {
    return signatureMethod(algorithm, digestOid);
  } catch (error) {
    if (error instanceof NotKnown || error instanceof Malformed) return null;
    throw error;
  }
}

/** Whether a certificate's key signed bytes: true, false, or null if that cannot be known. */
export function signedBy(certificate, method, bytes, signature) {
  if (method === null || certificate.key === null) return null;
  return verifies(certificate.key, method, bytes, signature);
}

const cache = new Map();
const MAX_CACHE = 5000;

/** A certificate, or null if it cannot be read. Equal bytes are the same object. */
export function readCertificate(bytes) {
  const key = bytes.toString("latin1");
  if (cache.has(key)) return cache.get(key);
  if (cache.size >= MAX_CACHE) cache.clear();
  const certificate = orNull(() => new Certificate(Buffer.from(bytes)));
  cache.set(key, certificate);
  return certificate;
}

/** What a path's rules come to at a time: PASSED, FAILED (one is broken) or UNKNOWN. */
function judgePath(path, second) {
  const last = path.length - 1;
  let broken = !path.every((certificate) => certificate.isValidAt(second));
  let unknown = path.some((certificate) => certificate.unread);
  broken ||= path.slice(1).some((certificate) => !mayIssue(certificate));
  broken ||= !keepsLengths(path);
  broken ||= !path.every((each, i) => areSound(methodsOf(each, i < last), second));
  const names = checkNames(path);
  broken ||= names === FAILED;
  unknown ||= names === UNKNOWN;
  broken ||= !keepsPolicies(path);
  if (broken) return FAILED;
  return unknown ? UNKNOWN : PASSED;
}

function mayIssue(certificate) {
  const { extended } = certificate;
  const usages = [TIME_STAMPING, ANY_USAGE];
  const mayStamp = extended === null || extended.some((usage) => usages.includes(usage));
  return certificate.isAuthority && certificate.mayUse(CERT_SIGN) && mayStamp;
}

function keepsLengths(path) {
  let below = 0;
  for (const certificate of path.slice(1)) {
    if (certificate.basic !== null && below > certificate.basic.pathLength) return false;
    if (!certificate.selfIssued) below += 1;
  }
  return true;
}

/** The methods that a certificate in a chain rests on; a root's own signature is not one. */
export function methodsOf(certificate, belowRoot) {
  const own = certificate.keyMethods;
  return belowRoot ? [...own, ...certificate.signatureMethods] : own;
}

/**
 * The search for a chain: outcome, and the path that counts (signer first), with its assurance.
 *
 * `pool` are certificates in the order in which they are tried, `roots` maps trusted ones to
 * what they are worth (a number).
 */
export function findChain(signer, pool, roots, second) {
  const search = { pool, issuers: new Map(), signatures: 0, unknown: false };
  const reached = reachedFrom(signer, search);
  const trusted = [...roots].filter(([root]) => reached.has(root)).sort((a, b) => b[1] - a[1]);
  let any = false;
  for (const [root, worth] of trusted) {
    for (const path of pathsTo(root, signer, search)) {
      const outcome = path === null ? UNKNOWN : judgePath(path, second);
      if (outcome === PASSED) return { outcome, path, worth };
      if (outcome === UNKNOWN) search.unknown = true;
      any = true;
    }
  }
  return { outcome: search.unknown || !any ? UNKNOWN : FAILED, path: null, worth: null };
}

function reachedFrom(signer, search) {
  const reached = new Set([signer]);
  for (const certificate of reached) {
    for (const issuer of issuersOf(certificate, search)) reached.add(issuer);
  }
  return reached;
}

/** Those whose keys signed a certificate. One key costs one signature. */
function issuersOf(certificate, search) {
  if (search.issuers.has(certificate)) return search.issuers.get(certificate);
  const found = [];
  const keys = new Map();
  for (const candidate of search.pool) {
    if (candidate.subject.text !== certificate.issuer.text || candidate === certificate) continue;
    const key = candidate.keyInfo.whole.toString("latin1");
    if (!keys.has(key)) {
      if (search.signatures >= MAX_CHAIN_SIGNATURES) {
        search.unknown = true;
        break;
      }
      search.signatures += 1;
      keys.set(key, certificate.signedWith(candidate));
    }
    if (keys.get(key) === null) search.unknown = true;
    if (keys.get(key)) found.push(candidate);
  }
  search.issuers.set(certificate, found);
  return found;
}

/** The paths to one root, the shortest first; null where the search ends at a limit. */
function* pathsTo(root, signer, search) {
  const queue = [[signer]];
  let begun = 0;
  for (const path of queue) {
    const top = path[path.length - 1];
    if (top === root) {
      yield path;
      continue;
    }
    begun += 1;
    if (begun > MAX_PATHS || path.length > MAX_INTERMEDIATES + 1) {
      yield null;
      return;
    }
    for (const issuer of issuersOf(top, search)) {
      if (issuer === root || !path.some((each) => hasKeyOf(each, issuer))) {
        queue.push([...path, issuer]);
      }
    }
  }
}

function hasKeyOf(one, other) {
  return one.subject.text === other.subject.text && one.keyInfo.whole.equals(other.keyInfo.whole);
}

/** A way up from a certificate as far as signatures lead, each time the first issuer there is. */
export function climb(certificate, pool) {
  const search = { pool, issuers: new Map(), signatures: 0, unknown: false };
  const path = [certificate];
  for (let above = certificate; above !== undefined;) {
    above = issuersOf(above, search).find((each) => !path.includes(each));
    if (above !== undefined) path.push(above);
  }
  return path;
}
