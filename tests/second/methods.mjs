/**
 * Hashes, keys and signatures, and until when they are sound.
 *
 * docs/proof-format.md, section 6, check 4 and "What is sound". RSA's padding (RFC 8017) is
 * checked here, because a mask's hash may be another one than the signature's.
 */

import { createPublicKey, constants, publicDecrypt, verify } from "node:crypto";
import {
  BIT_STRING, Fields, INTEGER, OID, SEQUENCE, algorithmOf, bigInteger, bitBytes, expect, fieldsOf,
  oidText, parseDer,
} from "./asn1.mjs";
import { hash, parseTime } from "./forms.mjs";
import { Malformed, must } from "./json.mjs";
import { readPoint, verifiesSm2 } from "./sm2.mjs";

const MAX_SALT = 512;

/** The method, or its parameters, are not known here: neither right nor wrong. */
export class NotKnown extends Error {}

const NIST = "2.16.840.1.101.3.4";
const PKCS1 = "1.2.840.113549.1.1";
const ECDSA_SHA2 = "1.2.840.10045.4.3";

/** Hashes of check 4, by object identifier: name here, name of node:crypto, bytes. */
export const HASHES = new Map([
  [`${NIST}.2.4`, { name: "sha224", node: "sha224", size: 28 }],
  [`${NIST}.2.1`, { name: "sha256", node: "sha256", size: 32 }],
  [`${NIST}.2.2`, { name: "sha384", node: "sha384", size: 48 }],
  [`${NIST}.2.3`, { name: "sha512", node: "sha512", size: 64 }],
  [`${NIST}.2.7`, { name: "sha3_224", node: "sha3-224", size: 28 }],
  [`${NIST}.2.8`, { name: "sha3_256", node: "sha3-256", size: 32 }],
  [`${NIST}.2.9`, { name: "sha3_384", node: "sha3-384", size: 48 }],
  [`${NIST}.2.10`, { name: "sha3_512", node: "sha3-512", size: 64 }],
  [`${NIST}.2.12`, { name: "shake256", node: "shake256", size: 64 }],
  ["1.2.156.10197.1.401", { name: "sm3", node: "sm3", size: 32 }],
]);
const SM3 = "1.2.156.10197.1.401";
/** Hashes that RSA and ECDSA sign with. */
const SIGNED = new Set([...HASHES.keys()].filter((oid) => {
  return oid !== SM3 && oid !== `${NIST}.2.12`;
}));
export const SHA1 = "1.3.14.3.2.26";

const ENDS = new Map([
  ["rsa below 1024 bits", -Infinity],
  ["rsa below 2048 bits", parseTime("2014-01-01T00:00:00Z")],
  ["rsa below 3072 bits", parseTime("2031-01-01T00:00:00Z")],
  ["ec below 256 bits", parseTime("2031-01-01T00:00:00Z")],
  ["sha224", parseTime("2031-01-01T00:00:00Z")],
  ["sha3_224", parseTime("2031-01-01T00:00:00Z")],
]);

/** Whether all methods still count at a time. */
export function areSound(names, second) {
  return names.every((name) => second < (ENDS.get(name) ?? Infinity));
}

/** The digest of bytes by a hash that check 4 accepts for contents. Throws NotKnown. */
export function contentDigest(oid, bytes) {
  const known = HASHES.get(oid);
  if (!known) throw new NotKnown(oid);
  return hash(known.node, bytes);
}

export function contentMethods(oid) {
  return HASHES.has(oid) ? [HASHES.get(oid).name] : [];
}

const RSA = `${PKCS1}.1`;
const PSS = `${PKCS1}.10`;
const MGF1 = `${PKCS1}.8`;
const EC = "1.2.840.10045.2.1";
const ED25519 = "1.3.101.112";
const ED448 = "1.3.101.113";
const SM2 = "1.2.156.10197.1.501";
const SM2_WITH_DIGEST = ["1.2.156.10197.1.301.1", "1.2.156.10197.1.301"];
const SM2_CURVE = "1.2.156.10197.1.301";

const RSA_HASHES = new Map([
  [`${PKCS1}.14`, `${NIST}.2.4`], [`${PKCS1}.11`, `${NIST}.2.1`],
  [`${PKCS1}.12`, `${NIST}.2.2`], [`${PKCS1}.13`, `${NIST}.2.3`],
  [`${NIST}.3.13`, `${NIST}.2.7`], [`${NIST}.3.14`, `${NIST}.2.8`],
  [`${NIST}.3.15`, `${NIST}.2.9`], [`${NIST}.3.16`, `${NIST}.2.10`],
]);
const EC_HASHES = new Map([
  [`${ECDSA_SHA2}.1`, `${NIST}.2.4`], [`${ECDSA_SHA2}.2`, `${NIST}.2.1`],
  [`${ECDSA_SHA2}.3`, `${NIST}.2.2`], [`${ECDSA_SHA2}.4`, `${NIST}.2.3`],
  [`${NIST}.3.9`, `${NIST}.2.7`], [`${NIST}.3.10`, `${NIST}.2.8`],
  [`${NIST}.3.11`, `${NIST}.2.9`], [`${NIST}.3.12`, `${NIST}.2.10`],
]);
const CURVES = new Map([
  ["1.3.132.0.33", 224], ["1.2.840.10045.3.1.7", 256], ["1.3.132.0.34", 384],
  ["1.3.132.0.35", 521], ["1.3.132.0.10", 256], ["1.3.36.3.3.2.8.1.1.7", 256],
  ["1.3.36.3.3.2.8.1.1.11", 384], ["1.3.36.3.3.2.8.1.1.13", 512],
]);

/** Parameters of RSASSA-PSS (RFC 4055, 3.1). Throws Malformed or NotKnown. */
function pssParameters(parameters) {
  if (parameters === null || parameters.tag !== SEQUENCE) throw new Malformed("pss");
  const fields = new Fields(parameters);
  const digest = fields.explicit(0);
  const mask = fields.explicit(1);
  const salt = fields.explicit(2);
  const trailer = fields.explicit(3);
  const hashOid = digest ? algorithmOf(digest).oid : SHA1;
  const maskAlgorithm = mask ? algorithmOf(mask) : null;
  const isMgf1 = maskAlgorithm === null || maskAlgorithm.oid === MGF1;
  const maskOid = maskAlgorithm && isMgf1 ? algorithmOf(maskAlgorithm.parameters).oid : SHA1;
  const saltLength = salt ? bigInteger(expect(salt, INTEGER)) : 20n;
  const trailerField = trailer ? bigInteger(expect(trailer, INTEGER)) : 1n;
  return { hashOid, isMgf1, maskOid, saltLength, trailerField };
}

function knownPss(read) {
  if (!read.isMgf1 || read.trailerField !== 1n) throw new NotKnown("pss");
  if (!SIGNED.has(read.hashOid) || !SIGNED.has(read.maskOid)) throw new NotKnown("pss hash");
  if (read.saltLength < 0n || read.saltLength > BigInt(MAX_SALT)) throw new NotKnown("pss salt");
  return {
    hash: HASHES.get(read.hashOid), mask: HASHES.get(read.maskOid), salt: Number(read.saltLength),
  };
}

/** Whether an algorithm's parameters are those of RSASSA-PSS and can be read, or are absent. */
export function pssReadable(algorithm) {
  const { oid, parameters } = algorithm;
  if (oid !== PSS || isNull(parameters)) return true;
  try {
    pssParameters(parameters);
    return true;
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
}

function isNull(parameters) {
  return parameters === null || (parameters.tag === 5 && parameters.body.length === 0);
}

/**
 * How something is signed: {kind, hash, …} of an AlgorithmIdentifier. `digestOid` is the digest
 * algorithm that stands beside it, for names that do not say a hash. Throws NotKnown.
 */
export function signatureMethod(algorithm, digestOid = null) {
  const { oid, parameters } = algorithm;
  if (oid === ED25519) return { kind: "ed25519", methods: [] };
  if (oid === ED448) return { kind: "ed448", methods: [] };
  if (oid === PSS) return pssMethod(parameters);
  if (oid === SM2 || (digestOid === SM3 && SM2_WITH_DIGEST.includes(oid))) {
    return { kind: "sm2", methods: ["sm2", "sm3"] };
  }
  if (oid === RSA && SIGNED.has(digestOid)) return hashed("rsa", digestOid);
  if (RSA_HASHES.has(oid)) return hashed("rsa", RSA_HASHES.get(oid));
  if (EC_HASHES.has(oid)) return hashed("ec", EC_HASHES.get(oid));
  throw new NotKnown(oid);
}

function hashed(kind, oid) {
  return { kind, oid, hash: HASHES.get(oid), methods: [HASHES.get(oid).name] };
}

function pssMethod(parameters) {
  if (isNull(parameters)) throw new NotKnown("pss without parameters");
  let known;
  try {
    known = knownPss(pssParameters(parameters));
  } catch (error) {
    if (error instanceof Malformed) throw new NotKnown("pss");
    throw error;
  }
  return { kind: "pss", ...known, methods: [known.hash.name, known.mask.name] };
}

function tlv(tag, ...parts) {
  const body = Buffer.concat(parts);
  const size = body.length;
  if (size < 0x80) return Buffer.concat([Buffer.of(tag, size), body]);
  if (size < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, size), body]);
  return Buffer.concat([Buffer.of(tag, 0x82, size >> 8, size & 0xff), body]);
}

/** A key of SubjectPublicKeyInfo: {kind, key, methods, …}. Throws NotKnown or Malformed. */
export function readKey(info) {
  const fields = fieldsOf(info);
  const algorithm = algorithmOf(fields.required(SEQUENCE));
  const bits = bitBytes(fields.required(BIT_STRING));
  if (algorithm.oid === RSA || algorithm.oid === PSS) return rsaKey(algorithm, bits);
  if (algorithm.oid === EC) return ecKey(algorithm, bits);
  if (algorithm.oid === ED25519) return edwards("ed25519", "302a300506032b6570032100", bits, 32);
  if (algorithm.oid === ED448) return edwards("ed448", "3043300506032b6571033a00", bits, 57);
  throw new NotKnown(algorithm.oid);
}

function rsaKey(algorithm, bits) {
  const fields = fieldsOf(parseDer(bits));
  const modulus = bigInteger(fields.required(INTEGER));
  const exponent = bigInteger(fields.required(INTEGER));
  must(modulus > 0n && exponent > 0n, "rsa key");
  const size = modulus.toString(2).length;
  const key = imported({ key: { kty: "RSA", n: base64url(modulus), e: base64url(exponent) },
    format: "jwk" });
  const pss = algorithm.oid === PSS ? keyPss(algorithm.parameters) : undefined;
  return { kind: "rsa", key, size, bytes: Math.ceil(size / 8), pss, methods: rsaMethods(size) };
}

function keyPss(parameters) {
  return isNull(parameters) ? null : knownPss(pssParameters(parameters));
}

function rsaMethods(size) {
  if (size < 1024) return ["rsa below 1024 bits"];
  if (size < 2048) return ["rsa below 2048 bits"];
  return size < 3072 ? ["rsa below 3072 bits"] : [];
}

function base64url(number) {
  const hex = number.toString(16);
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex").toString("base64url");
}

function imported(from) {
  try {
    return createPublicKey(from);
  } catch {
    throw new Malformed("key");
  }
}

function ecKey(algorithm, bits) {
  if (algorithm.parameters === null || algorithm.parameters.tag !== OID) throw new NotKnown("ec");
  const curve = oidText(algorithm.parameters);
  if (curve === SM2_CURVE) return { kind: "sm2", point: readPoint(bits), methods: ["sm2"] };
  const size = CURVES.get(curve);
  if (size === undefined) throw new NotKnown(curve);
  const oid = tlv(6, Buffer.from("2a8648ce3d0201", "hex"));
  const info = tlv(0x30, tlv(0x30, oid, algorithm.parameters.whole), tlv(3, Buffer.of(0), bits));
  const key = imported({ key: info, format: "der", type: "spki" });
  return { kind: "ec", key, size, methods: size < 256 ? ["ec below 256 bits"] : [] };
}

function edwards(kind, prefix, bits, length) {
  must(bits.length === length, "key length");
  const der = Buffer.concat([Buffer.from(prefix, "hex"), bits]);
  return { kind, key: imported({ key: der, format: "der", type: "spki" }), methods: [] };
}

/** Whether key and method belong together. */
function isFor(key, method) {
  if (method.kind !== "pss") return method.kind === key.kind && key.pss === undefined;
  return key.kind === "rsa" && (!key.pss || allowedByKey(key.pss, method));
}

/** Whether a signature is that of the key: true, false, or null if the method is not the key's. */
export function verifies(key, method, message, signature) {
  if (!isFor(key, method)) return null;
  if (method.kind === "pss") return verifiesPss(key, method, message, signature);
  if (method.kind === "sm2") return verifiesSm2(key.point, message, signature);
  if (method.kind === "rsa") return verifiesPkcs1(key, method, message, signature);
  try {
    return verify(method.kind === "ec" ? method.hash.node : null, message, key.key, signature);
  } catch {
    return false;
  }
}

function rawRsa(key, signature) {
  if (signature.length !== key.bytes) return null;
  try {
    return publicDecrypt({ key: key.key, padding: constants.RSA_NO_PADDING }, signature);
  } catch {
    return null;
  }
}

function oidBody(oid) {
  const arcs = oid.split(".").map(Number);
  const bytes = [];
  for (const arc of [arcs[0] * 40 + arcs[1], ...arcs.slice(2)]) {
    const group = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) group.unshift((rest & 0x7f) | 0x80);
    bytes.push(...group);
  }
  return Buffer.from(bytes);
}

/** RFC 8017, 8.2.2. */
function verifiesPkcs1(key, method, message, signature) {
  const encoded = rawRsa(key, signature);
  if (encoded === null) return false;
  const algorithm = tlv(0x30, tlv(6, oidBody(method.oid)), Buffer.of(5, 0));
  const info = tlv(0x30, algorithm, tlv(4, hash(method.hash.node, message)));
  const padding = key.bytes - info.length - 3;
  if (padding < 8) return false;
  const wanted = Buffer.concat([
    Buffer.of(0, 1), Buffer.alloc(padding, 0xff), Buffer.of(0), info,
  ]);
  return wanted.equals(encoded);
}

function mask(node, size, seed, length) {
  const blocks = [];
  for (let i = 0; i * size < length; i++) {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(i);
    blocks.push(hash(node, seed, counter));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** RFC 8017, 8.1.2 and 9.1.2. */
function verifiesPss(key, method, message, signature) {
  const raw = rawRsa(key, signature);
  if (raw === null) return false;
  const bits = key.size - 1;
  const length = Math.ceil(bits / 8);
  if (raw.length > length && raw[0] !== 0) return false;
  const encoded = raw.subarray(raw.length - length);
  const size = method.hash.size;
  const block = length - size - 1;
  if (block < method.salt + 1 || encoded[length - 1] !== 0xbc) return false;
  const digest = encoded.subarray(block, block + size);
  const over = mask(method.mask.node, method.mask.size, digest, block);
  const data = Buffer.from(encoded.subarray(0, block).map((byte, i) => byte ^ over[i]));
  const top = 8 * length - bits;
  if (encoded[0] >> (8 - top) !== 0) return false;
  data[0] &= 0xff >> top;
  const zeros = block - method.salt - 1;
  if (data.subarray(0, zeros).some((byte) => byte !== 0) || data[zeros] !== 1) return false;
  const inner = hash(method.hash.node, message);
  return hash(method.hash.node, Buffer.alloc(8), inner, data.subarray(zeros + 1)).equals(digest);
}

function allowedByKey(pss, method) {
  const same = pss.hash === method.hash && pss.mask === method.mask;
  return same && method.salt >= pss.salt;
}
