/**
 * DER as docs/proof-format.md, section 6, "What `form` reads" has it, and the matching of fields.
 *
 * A value is {tag, whole, body, children}: tag is the first byte without the bit "constructed".
 */

import { Malformed, must } from "./json.mjs";
import { seconds } from "./forms.mjs";

const MAX_DER_DEPTH = 40;
const MAX_OID = 64;

export const BOOLEAN = 1;
export const INTEGER = 2;
export const BIT_STRING = 3;
export const OCTET_STRING = 4;
export const OID = 6;
export const ENUMERATED = 10;
export const UTC_TIME = 23;
export const GENERALIZED_TIME = 24;
export const SEQUENCE = 16;
export const SET = 17;

const UNIVERSAL = 0;

/** The tag [number] of the class "context-specific". */
export function context(number) {
  return 0x80 | number;
}

function readValue(bytes, start, end, depth) {
  must(depth <= MAX_DER_DEPTH && end - start >= 2, "der");
  const first = bytes[start];
  must((first & 0x1f) !== 0x1f, "tag");
  const [length, begin] = readLength(bytes, start + 1, end);
  const stop = begin + length;
  must(stop <= end, "length");
  const tag = first & 0xdf;
  const constructed = (first & 0x20) !== 0;
  const whole = bytes.subarray(start, stop);
  const value = { tag, constructed, whole, body: bytes.subarray(begin, stop), children: null };
  checkUniversal(value);
  if (constructed) {
    value.children = [];
    for (let at = begin; at < stop;) {
      const child = readValue(bytes, at, stop, depth + 1);
      value.children.push(child);
      at += child.whole.length;
    }
  }
  return value;
}

function readLength(bytes, at, end) {
  const first = bytes[at];
  if (first < 0x80) return [first, at + 1];
  const count = first & 0x7f;
  must(count >= 1 && count <= 4 && at + 1 + count <= end, "length");
  const length = bytes.readUIntBE(at + 1, count);
  must(bytes[at + 1] !== 0 && length >= 0x80, "shortest length");
  return [length, at + 1 + count];
}

function checkUniversal(value) {
  if ((value.tag & 0xc0) !== UNIVERSAL) return;
  must(value.constructed === (value.tag === SEQUENCE || value.tag === SET), "constructed");
  if (value.tag === INTEGER) must(value.body.length > 0, "empty");
  if (value.tag === BOOLEAN) must(value.body.length === 1, "boolean");
  if (value.tag === OID) must(value.body.length <= MAX_OID && areArcs(value.body), "oid");
}

/** The one value that the bytes are. Throws Malformed. */
export function parseDer(bytes) {
  const value = readValue(bytes, 0, bytes.length, 1);
  must(value.whole.length === bytes.length, "bytes behind");
  return value;
}

/** Goes through the values of a SEQUENCE, matching them with fields in their order. */
export class Fields {
  constructor(value) {
    must(value.children !== null, "constructed");
    this.values = value.children;
    this.at = 0;
  }

  /** The next value if it has one of the tags, or null. */
  optional(...tags) {
    const value = this.values[this.at];
    if (value === undefined || !tags.includes(value.tag)) return null;
    this.at += 1;
    return value;
  }

  /** A required field that is not read: whatever stands in its place. */
  skip() {
    const value = this.values[this.at];
    must(value !== undefined, "field");
    this.at += 1;
    return value;
  }

  /** Where nothing may stand behind the fields. */
  end() {
    must(this.at === this.values.length, "field");
  }

  /** A field that is read, and of constructed or primitive type. */
  maybe(tag, constructed = tag === SEQUENCE || tag === SET) {
    const value = this.optional(tag);
    if (value !== null) must(value.constructed === constructed, "constructed");
    return value;
  }

  required(tag, constructed) {
    const value = this.maybe(tag, constructed);
    must(value !== null, "field");
    return value;
  }

  /** What an explicit tag holds, or null. */
  explicit(number) {
    const value = this.maybe(context(number), true);
    if (value === null) return null;
    must(value.children.length > 0, "explicit");
    return value.children[0];
  }
}

export function fieldsOf(value) {
  must(value !== undefined && value !== null && value.tag === SEQUENCE, "sequence");
  return new Fields(value);
}

export function expect(value, tag) {
  must(value !== undefined && value !== null && value.tag === tag, "tag");
  return value;
}

/** Whether bytes are arcs, each whole and in its shortest form (X.690, 8.19.2). */
function areArcs(body) {
  const starts = body.every((byte, i) => byte !== 0x80 || (i > 0 && (body[i - 1] & 0x80) !== 0));
  return body.length > 0 && starts && (body[body.length - 1] & 0x80) === 0;
}

/** An object identifier in dots. */
export function oidText(value) {
  const arcs = [];
  let arc = 0n;
  for (const byte of value.body) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte & 0x80) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const first = arcs[0] < 80n ? arcs[0] / 40n : 2n;
  return [first, arcs[0] - first * 40n, ...arcs.slice(1)].join(".");
}

export function bigInteger(value) {
  must(value.body.length > 0, "empty integer");
  const unsigned = BigInt(`0x${value.body.toString("hex")}`);
  return BigInt.asIntN(8 * value.body.length, unsigned);
}

/** A number that is not negative, or Infinity if it is large. */
export function smallInteger(value) {
  const number = bigInteger(value);
  must(number >= 0n, "negative");
  return number > 2n ** 48n ? Infinity : Number(number);
}

export function isTrue(value) {
  return value !== null && value.body[0] !== 0;
}

/** AlgorithmIdentifier: {oid, parameters (or null)}. */
export function algorithmOf(value) {
  const fields = fieldsOf(value);
  const oid = oidText(fields.required(OID));
  return { oid, parameters: fields.values[1] ?? null };
}

/** The bytes of a BIT STRING of whole bytes. */
export function bitBytes(value) {
  must(value.body.length >= 1 && value.body[0] === 0, "bits");
  return value.body.subarray(1);
}

/** Whether bit `number` of a BIT STRING is set: what is behind its last bit is none. */
export function hasBit(value, number) {
  must(value.body.length >= 1 && value.body[0] <= 7, "bits");
  if (number >= 8 * (value.body.length - 1) - value.body[0]) return false;
  const byte = value.body[1 + (number >> 3)];
  return byte !== undefined && (byte & (0x80 >> (number & 7))) !== 0;
}

const UTC = /^([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z$/;
const GENERALIZED =
  /^([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,12}))?Z$/;

/** A GeneralizedTime: whole seconds since 1970, and millionths (cut off). */
export function generalizedTime(value) {
  const found = GENERALIZED.exec(value.body.toString("latin1"));
  if (!found) throw new Malformed("time");
  const fraction = (found[7] ?? "").padEnd(6, "0").slice(0, 6);
  return {
    second: seconds(...found.slice(1, 7).map(Number)),
    micro: Number(fraction),
    fraction: found[7] !== undefined,
  };
}

/** A Time of X.509 (RFC 5280, 4.1.2.5): seconds since 1970. */
export function certificateTime(value) {
  must(value !== null && !value.constructed, "time");
  if (value.tag === GENERALIZED_TIME) {
    const time = generalizedTime(value);
    must(!time.fraction, "fraction");
    return time.second;
  }
  const found = UTC.exec(value.body.toString("latin1"));
  if (value.tag !== UTC_TIME || !found) throw new Malformed("time");
  const [year, ...rest] = found.slice(1).map(Number);
  return seconds(year >= 50 ? 1900 + year : 2000 + year, ...rest);
}
