/**
 * Names and their constraints (RFC 5280, 4.2.1.6, 4.2.1.10 and 7.1; RFC 4518).
 */

import {
  OID, SEQUENCE, SET, context, expect, fieldsOf, oidText, smallInteger,
} from "./asn1.mjs";
import { must } from "./json.mjs";

const MAX_COMPARISONS = 20000;

const EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
const MAIL = context(1);
const DNS = context(2);
const DIRECTORY = context(4);
const URI = context(6);
const IP = context(7);

/** What RFC 4518, 2.2 maps to nothing, and what to a space. */
const NOTHING = new RegExp(
  "[\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u06dd" +
    "\\u070f\\u1806\\u180b-\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2063\\u206a-\\u206f" +
    "\\ufe00-\\ufe0f\\ufeff\\ufff9-\\ufffc\\u{1d173}-\\u{1d17a}\\u{e0001}\\u{e0020}-\\u{e007f}]",
  "gu",
);
const SPACES =
  /[\u0009-\u000d\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;
const SURROGATE = 0xd800;

function decodeWide(bytes, width) {
  if (bytes.length % width !== 0) return null;
  let text = "";
  for (let at = 0; at < bytes.length; at += width) {
    const point = bytes.readUIntBE(at, width);
    if (point > 0x10ffff || (width === 4 && (point & 0xfffff800) === SURROGATE)) return null;
    text += String.fromCodePoint(point);
  }
  return text.isWellFormed() ? text : null;
}

/** The text of a string type, or null if it is of another type or no text. */
function stringOf(value) {
  if (value.tag === 12) {
    const text = value.body.toString("utf8");
    return Buffer.from(text).equals(value.body) ? text : null;
  }
  if ([19, 20, 22].includes(value.tag)) {
    return value.body.every((byte) => byte < 0x80) ? value.body.toString("latin1") : null;
  }
  if (value.tag === 30) return decodeWide(value.body, 2);
  return value.tag === 28 ? decodeWide(value.body, 4) : null;
}

/** Full case folding (CaseFolding.txt, C and F) of one character. */
function folded(character) {
  const point = character.codePointAt(0);
  if (character === "\u0131" || (point >= 0x13a0 && point <= 0x13f5)) return character;
  if (point >= 0x13f8 && point <= 0x13fd) return String.fromCodePoint(point - 8);
  if (point >= 0xab70 && point <= 0xabbf) return String.fromCodePoint(point - 0x97d0);
  return character === "\u1e9e" ? "ss" : character.toUpperCase().toLowerCase();
}

/** RFC 4518: mapped, folded, normalised, and without insignificant spaces. */
function prepared(text) {
  const mapped = text.replace(NOTHING, "").replace(SPACES, " ").normalize("NFKC");
  const same = [...mapped].map(folded).join("").normalize("NFKC");
  return same.split(" ").filter((word) => word !== "").join(" ");
}

function attribute(value) {
  const fields = fieldsOf(value);
  const type = oidText(fields.required(OID));
  const content = fields.values[1];
  must(fields.values.length === 2, "value of an attribute");
  const text = stringOf(content);
  const key = text === null ? `#${content.whole.toString("hex")}` : `=${prepared(text)}`;
  return { type, text, key: JSON.stringify([type, key]) };
}

/** A Name: its relative names in a form in which equal ones are the same text. */
export function parseName(value) {
  const parts = expect(value, SEQUENCE).children.map((part) => {
    const attributes = expect(part, SET).children.map(attribute);
    const keys = new Set(attributes.map((each) => each.key));
    return { attributes, key: [...keys].sort().join("+") };
  });
  const keys = parts.map((part) => part.key);
  const attributes = parts.flatMap((part) => part.attributes);
  return { parts: keys, text: JSON.stringify(keys), attributes, der: value.whole };
}

function generalName(value, addressSizes) {
  const number = value.tag & 0x1f;
  must((value.tag & 0xc0) === 0x80 && number <= 8, "general name");
  must(value.constructed === [0, 3, 4, 5].includes(number), "constructed");
  if (value.tag === DIRECTORY) {
    must(value.children.length > 0, "directory name");
    return { tag: DIRECTORY, name: parseName(value.children[0]), whole: value.whole };
  }
  if (value.tag === IP) {
    must(addressSizes.includes(value.body.length), "address");
    return { tag: IP, bytes: value.body, whole: value.whole };
  }
  must(![MAIL, DNS, URI].includes(value.tag) || value.body.every((byte) => byte < 0x80), "ascii");
  return { tag: value.tag, text: value.body.toString("latin1"), whole: value.whole };
}

/** GeneralNames; `addressSizes` are the bytes that an IP address may have. */
export function parseGeneralNames(value, addressSizes) {
  must(value.children !== null, "general names");
  return value.children.map((each) => generalName(each, addressSizes));
}

/** SubjectAltName. */
export function parseAlternative(value) {
  return parseGeneralNames(expect(value, SEQUENCE), [4, 16]);
}

/** Whether two general names are the same. */
export function sameGeneralName(a, b) {
  if (a.tag === DIRECTORY && b.tag === DIRECTORY) return a.name.text === b.name.text;
  return a.whole.equals(b.whole);
}

/** The directory names among general names. */
export function directoryNames(names) {
  return names.filter((each) => each.tag === DIRECTORY).map((each) => each.name);
}


/** NameConstraints: {permitted, excluded}, lists of general names. */
export function parseConstraints(value) {
  const fields = fieldsOf(value);
  const permitted = subtrees(fields.maybe(context(0), true));
  const excluded = subtrees(fields.maybe(context(1), true));
  return { permitted, excluded };
}

function subtrees(value) {
  if (value === null) return [];
  return value.children.map((each) => {
    const fields = fieldsOf(each);
    must(fields.values.length > 0, "base");
    const base = generalName(fields.values[0], [8, 32]);
    fields.at = 1;
    const least = fields.maybe(context(0), false);
    must(least === null || smallInteger(least) === 0, "minimum");
    must(fields.maybe(context(1), false) === null, "maximum");
    must(base.tag !== MAIL || !base.text.includes("@") || isMailbox(base.text), "mailbox");
    return base;
  });
}

/** The names that constraints are about: the subject, SubjectAltName, or the subject's mail. */
function namesOf(certificate) {
  const names = [];
  const { subject } = certificate;
  if (subject.parts.length > 0) names.push({ tag: DIRECTORY, name: subject });
  if (certificate.hasAlternative) return [...names, ...certificate.alternative ?? []];
  for (const each of subject.attributes) {
    if (each.type !== EMAIL_ADDRESS) continue;
    names.push({ tag: MAIL, text: each.text ?? "" });
  }
  return names;
}

/** What the constraints in a path come to: "passed", "failed" or "unknown". */
export function checkNames(path) {
  const above = [];
  const state = { left: MAX_COMPARISONS, unknown: false, broken: false };
  for (const certificate of [...path].reverse()) {
    if (certificate === path[0] || !certificate.selfIssued) {
      checkCertificate(state, namesOf(certificate), above);
    }
    if (certificate.constraints !== null) above.push(certificate.constraints);
  }
  if (state.broken) return "failed";
  return state.unknown ? "unknown" : "passed";
}

function checkCertificate(state, names, above) {
  const pairs = above.flatMap((constraints) => names.map((name) => {
    const limits = (list) => list.filter((base) => base.tag === name.tag);
    const [permitted, excluded] = [limits(constraints.permitted), limits(constraints.excluded)];
    return { name, permitted, excluded };
  }));
  for (const { permitted, excluded } of pairs) state.left -= permitted.length + excluded.length;
  if (state.left < 0) state.unknown = true;
  else for (const pair of pairs) checkName(state, pair);
}

function checkName(state, { name, permitted, excluded }) {
  if (permitted.length + excluded.length === 0) return;
  if (![MAIL, DNS, DIRECTORY, URI, IP].includes(name.tag)) {
    state.unknown = true;
    return;
  }
  const within = (trees) => trees.some((base) => compare(name, base));
  const odd = (name.tag === URI && hostOf(name.text) === null) ||
    (name.tag === MAIL && !isMailbox(name.text));
  if (odd || within(excluded) || (permitted.length > 0 && !within(permitted))) {
    state.broken = true;
  }
}

function compare(name, base) {
  if (name.tag === DIRECTORY) {
    return base.name.parts.every((part, i) => part === name.name.parts[i]);
  }
  if (name.tag === DNS) return dnsWithin(asHost(name.text), asHost(base.text));
  if (name.tag === MAIL) return mailWithin(name.text, base.text);
  if (name.tag === URI) return hostWithin(hostOf(name.text), asHost(base.text));
  return addressWithin(name.bytes, base.bytes);
}

/** A host as it is compared: a dot at its end means nothing. */
function asHost(text) {
  return text.toLowerCase().replace(/\.$/, "");
}

function dnsWithin(name, base) {
  if (base === "" || name === base) return true;
  return name.endsWith(base.startsWith(".") ? base : `.${base}`);
}

function hostWithin(host, base) {
  if (base === "") return true;
  return base.startsWith(".") ? host.endsWith(base) : host === base;
}

/** Whether a text is a mail address: ASCII, with something on both sides of its last "@". */
function isMailbox(text) {
  return /^[\u0000-\u007f]+@[^@]+$/.test(text) && /^[\u0000-\u007f]*$/.test(text);
}

function splitMail(text) {
  const at = text.lastIndexOf("@");
  return [text.slice(0, Math.max(at, 0)), asHost(text.slice(at + 1))];
}

function mailWithin(mail, base) {
  const [user, host] = splitMail(mail);
  const [baseUser, baseHost] = splitMail(base);
  if (base.includes("@")) return user === baseUser && host === baseHost;
  return hostWithin(host, baseHost);
}

/** The host name in a URI, or null if there is none or an address in its place. */
function hostOf(uri) {
  const found = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(uri);
  const authority = found ? found[1] : "";
  const host = asHost(authority.slice(authority.lastIndexOf("@") + 1).split(":")[0]);
  return host.startsWith("[") || /^[0-9.]*$/.test(host) ? null : host;
}

function addressWithin(address, base) {
  const half = base.length / 2;
  if (address.length !== half) return false;
  return address.every((byte, i) => ((byte ^ base[i]) & base[half + i]) === 0);
}
