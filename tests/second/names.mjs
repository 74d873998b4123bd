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

/** What RFC 4518, 2.2 maps to nothing. */
const NOTHING = new RegExp(
  "[\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u06dd" +
    "\\u070f\\u1806\\u180b-\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2063\\u206a-\\u206f" +
    "\\ufe00-\\ufe0f\\ufeff\\ufff9-\\ufffc]",
  "g",
);
const SPACES = /[\s\u0085]+/g;

function decodeWide(bytes, width) {
  if (bytes.length % width !== 0) return null;
  let text = "";
  for (let at = 0; at < bytes.length; at += width) {
    const point = bytes.readUIntBE(at, width);
    if (point > 0x10ffff) return null;
    text += String.fromCodePoint(point);
  }
  return text;
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

/** RFC 4518: mapped, folded, normalised, and without insignificant spaces. */
function prepared(text) {
  const mapped = text.replace(NOTHING, "").normalize("NFKC").toUpperCase().toLowerCase();
  return mapped.normalize("NFKC").replace(SPACES, " ").trim();
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
  return { parts: parts.map((part) => part.key), text: parts.map((part) => part.key).join("\n"),
    attributes: parts.flatMap((part) => part.attributes), der: value.whole };
}

function generalName(value) {
  if (value.tag === DIRECTORY) {
    must(value.constructed && value.children.length > 0, "directory name");
    return { tag: DIRECTORY, name: parseName(value.children[0]), whole: value.whole };
  }
  must((value.tag & 0xc0) === 0x80, "general name");
  if (value.tag === IP) return { tag: IP, bytes: value.body, whole: value.whole };
  return { tag: value.tag, text: value.body.toString("latin1"), whole: value.whole };
}

export function parseGeneralNames(value) {
  must(value.children !== null, "general names");
  return value.children.map(generalName);
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


/** NameConstraints: {permitted, excluded}, lists of {base, odd}. */
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
    const base = generalName(fields.values[0]);
    fields.at = 1;
    const least = fields.maybe(context(0), false);
    const most = fields.maybe(context(1), false);
    const lengths = base.tag === IP ? [8, 32] : null;
    must(lengths === null || lengths.includes(base.bytes.length), "address");
    return { base, odd: most !== null || (least !== null && smallInteger(least) !== 0) };
  });
}

/** The names that constraints are about: the subject, SubjectAltName, or the subject's mail. */
function namesOf(certificate) {
  const names = [];
  const { subject } = certificate;
  if (subject.parts.length > 0) names.push({ tag: DIRECTORY, name: subject });
  if (certificate.alternative !== null) return [...names, ...certificate.alternative];
  for (const each of subject.attributes) {
    if (each.type !== EMAIL_ADDRESS) continue;
    names.push({ tag: MAIL, text: each.text ?? "" });
  }
  return names;
}

/** What the constraints in a path come to: "passed", "failed" or "unknown". */
export function checkNames(path) {
  const state = { comparisons: 0, unknown: false, broken: false };
  for (let above = 1; above < path.length; above++) {
    const { constraints } = path[above];
    if (constraints === null) continue;
    for (let below = 0; below < above; below++) {
      if (below > 0 && path[below].selfIssued) continue;
      for (const name of namesOf(path[below])) checkName(state, name, constraints);
      if (state.broken) return "failed";
      if (state.comparisons > MAX_COMPARISONS) return "unknown";
    }
  }
  return state.unknown ? "unknown" : "passed";
}

function checkName(state, name, constraints) {
  const permitted = constraints.permitted.filter(({ base }) => base.tag === name.tag);
  const excluded = constraints.excluded.filter(({ base }) => base.tag === name.tag);
  if (permitted.length + excluded.length === 0) return;
  if (name.tag === URI && hostOf(name.text) === null) {
    state.broken = true;
    return;
  }
  const known = [MAIL, DNS, DIRECTORY, URI, IP].includes(name.tag);
  if (!known || [...permitted, ...excluded].some(({ odd }) => odd)) {
    state.unknown = true;
    return;
  }
  const within = (trees) => trees.some(({ base }) => compare(state, name, base));
  const broken = within(excluded) || (permitted.length > 0 && !within(permitted));
  if (broken && state.comparisons <= MAX_COMPARISONS) state.broken = true;
}

function compare(state, name, base) {
  state.comparisons += 1;
  if (state.comparisons > MAX_COMPARISONS) return false;
  if (name.tag === DIRECTORY) {
    return base.name.parts.every((part, i) => part === name.name.parts[i]);
  }
  if (name.tag === DNS) return dnsWithin(name.text.toLowerCase(), base.text.toLowerCase());
  if (name.tag === MAIL) return mailWithin(name.text, base.text);
  if (name.tag === URI) return hostWithin(hostOf(name.text), base.text.toLowerCase());
  return addressWithin(name.bytes, base.bytes);
}

function dnsWithin(name, base) {
  if (base === "" || name === base) return true;
  return name.endsWith(base.startsWith(".") ? base : `.${base}`);
}

function hostWithin(host, base) {
  if (base === "") return true;
  if (host === null) return false;
  return base.startsWith(".") ? host.endsWith(base) : host === base;
}

function mailWithin(mail, base) {
  const at = mail.lastIndexOf("@");
  const host = mail.slice(at + 1).toLowerCase();
  const baseAt = base.lastIndexOf("@");
  if (baseAt < 0) return hostWithin(at < 0 ? null : host, base.toLowerCase());
  const sameHost = host === base.slice(baseAt + 1).toLowerCase();
  return at >= 0 && sameHost && mail.slice(0, at) === base.slice(0, baseAt);
}

function hostOf(uri) {
  const found = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:]*)/.exec(uri);
  const host = found ? found[1].toLowerCase() : "";
  return host === "" || host.startsWith("[") || /^[0-9.]+$/.test(host) ? null : host;
}

function addressWithin(address, base) {
  const half = base.length / 2;
  if (address.length !== half) return false;
  return address.every((byte, i) => ((byte ^ base[i]) & base[half + i]) === 0);
}
