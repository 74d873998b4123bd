/** Hex, base64, numbers, times, names and texts (docs/proof-format.md, section 1). */

import { createHash } from "node:crypto";
import { Malformed, must } from "./json.mjs";

const MAX_NAME = 255;
export const LAST_SECOND = 253402300799;

const HEX = /^(?:[0-9a-f]{2})*$/;
const TIME = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z$/;
const DECIMAL = /^(0|[1-9][0-9]*)$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const WHITE =
  /[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const CONTROL = /[\u0000-\u001f]/;
const CONTROL_BUT_NEWLINE = /[\u0000-\u0009\u000b-\u001f]/;

export function hash(name, ...parts) {
  const state = createHash(name, name === "shake256" ? { outputLength: 64 } : {});
  for (const part of parts) state.update(part);
  return state.digest();
}

export function sha256(...parts) {
  return hash("sha256", ...parts);
}

/** How many code points a text has. */
export function characters(text) {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xdc00) count -= 1;
  }
  return count;
}

export function parseHex(text, least, most = least) {
  must(typeof text === "string" && HEX.test(text), "hex");
  must(text.length >= 2 * least && text.length <= 2 * most, "hex length");
  return Buffer.from(text, "hex");
}

export function parse0xHex(text, least, most = least) {
  must(typeof text === "string" && text.startsWith("0x"), "0xhex");
  return parseHex(text.slice(2), least, most);
}

/** Base64 in its canonical spelling. */
export function parseBase64(text, least, most = least) {
  must(typeof text === "string" && text.length % 4 === 0 && BASE64.test(text), "base64");
  const bytes = Buffer.from(text, "base64");
  must(bytes.toString("base64") === text, "base64 spelling");
  must(bytes.length >= least && bytes.length <= most, "base64 length");
  return bytes;
}

/** A number in the digits of a text. */
export function parseDecimal(text) {
  must(DECIMAL.test(text), "decimal");
  const number = Number(text);
  must(Number.isSafeInteger(number), "decimal");
  return number;
}

function isLeap(year) {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

/** Seconds since 1970 of a date that exists; the year is 1 to 9999. Throws Malformed. */
export function seconds(year, month, day, hour, minute, second) {
  const lengths = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  must(year >= 1 && year <= 9999 && month >= 1 && month <= 12, "date");
  must(day >= 1 && day <= lengths[month - 1], "day");
  must(hour <= 23 && minute <= 59 && second <= 59, "time of day");
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date.getTime() / 1000;
}

/** Seconds since 1970 of a *time*. */
export function parseTime(text) {
  const found = typeof text === "string" && TIME.exec(text);
  if (!found) throw new Malformed("time");
  return seconds(...found.slice(1).map(Number));
}

export function writeTime(second) {
  return new Date(second * 1000).toISOString().replace(".000Z", "Z");
}

export function isName(text) {
  if (text.length === 0 || characters(text) > MAX_NAME) return false;
  return !text.includes("+") && !WHITE.test(text) && !CONTROL.test(text) && text[0] !== "\ufeff";
}

export function isPlainText(text) {
  return !CONTROL_BUT_NEWLINE.test(text) && text[0] !== "\ufeff";
}
