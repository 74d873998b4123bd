/** Signatures of SM2 with SM3 (GB/T 32918.2 and .5; GM/T 0009: the default name of a signer). */

import { INTEGER, bigInteger, fieldsOf, parseDer } from "./asn1.mjs";
import { hash } from "./forms.mjs";
import { must, orNull } from "./json.mjs";

const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn;
const A = P - 3n;
const B = 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n;
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;
const G = {
  x: 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n,
  y: 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n,
};
const NAME = Buffer.from("1234567812345678");

function mod(value, modulus = P) {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function power(base, exponent) {
  let result = 1n;
  let square = mod(base);
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = mod(result * square);
    square = mod(square * square);
  }
  return result;
}

/** Points are Jacobian: (x / z², y / z³). z is 0 at infinity. */
const INFINITY = { x: 1n, y: 1n, z: 0n };

function doubled({ x, y, z }) {
  if (z === 0n || y === 0n) return INFINITY;
  const yy = mod(y * y);
  const s = mod(4n * x * yy);
  const zz = mod(z * z);
  const m = mod(3n * (x - zz) * (x + zz));
  const x3 = mod(m * m - 2n * s);
  return { x: x3, y: mod(m * (s - x3) - 8n * yy * yy), z: mod(2n * y * z) };
}

function added(p, q) {
  if (p.z === 0n) return q;
  if (q.z === 0n) return p;
  const [pp, qq] = [mod(p.z * p.z), mod(q.z * q.z)];
  const [u1, u2] = [mod(p.x * qq), mod(q.x * pp)];
  const [s1, s2] = [mod(p.y * qq * q.z), mod(q.y * pp * p.z)];
  if (u1 === u2) return s1 === s2 ? doubled(p) : INFINITY;
  const h = mod(u2 - u1);
  const r = mod(s2 - s1);
  const [hh, v] = [mod(h * h), mod(u1 * h * h)];
  const x = mod(r * r - hh * h - 2n * v);
  return { x, y: mod(r * (v - x) - s1 * hh * h), z: mod(h * p.z * q.z) };
}

function multiplied({ x, y }, factor) {
  let result = INFINITY;
  for (let bit = 255n; bit >= 0n; bit--) {
    result = doubled(result);
    if ((factor >> bit) & 1n) result = added(result, { x, y, z: 1n });
  }
  return result;
}

function bytes32(value) {
  return Buffer.from(value.toString(16).padStart(64, "0"), "hex");
}

function number(bytes) {
  return BigInt(`0x${bytes.toString("hex")}`);
}

/** A key, not compressed. Throws Malformed. */
export function readPoint(bits) {
  must(bits.length === 65 && bits[0] === 4, "point");
  const [x, y] = [number(bits.subarray(1, 33)), number(bits.subarray(33))];
  must(x < P && y < P && mod(y * y) === mod(x * x * x + A * x + B), "point");
  return { x, y };
}

function signatureOf(bytes) {
  const fields = fieldsOf(parseDer(bytes));
  return [bigInteger(fields.required(INTEGER)), bigInteger(fields.required(INTEGER))];
}

/** GB/T 32918.2, 7.1. */
export function verifiesSm2(key, message, signature) {
  const read = orNull(() => signatureOf(signature));
  if (read === null || !read.every((part) => part >= 1n && part < N)) return false;
  const [r, s] = read;
  const t = mod(r + s, N);
  if (t === 0n) return false;
  const length = Buffer.of(0, 8 * NAME.length);
  const curve = [A, B, G.x, G.y, key.x, key.y].map(bytes32);
  const digest = number(hash("sm3", hash("sm3", length, NAME, ...curve), message));
  const point = added(multiplied(G, s), multiplied(key, t));
  if (point.z === 0n) return false;
  const x = mod(point.x * power(point.z * point.z, P - 2n));
  return mod(digest + x, N) === r;
}
