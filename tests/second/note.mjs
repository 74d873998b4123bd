/**
 * Statements, signed notes, checkpoints and notes of key changes.
 *
 * docs/proof-format.md, section 5; docs/log.md, "Changing the ledger's key"; C2SP signed-note,
 * tlog-checkpoint and tlog-cosignature.
 */

import { createPublicKey, verify } from "node:crypto";
import {
  isName, isPlainText, parseBase64, parseDecimal, parseHex, parseTime, sha256,
} from "./forms.mjs";
import { must } from "./json.mjs";
import { EMPTY_LOG } from "./tree.mjs";

const MAX_STATEMENT = 2048;
const MAX_NOTE = 131072;
const MAX_SIGNATURES = 100;
const MAX_CHANGES = 256;

const ED25519 = 1;
const COSIGNATURE = 4;
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/** Seven lines about a batch. Throws Malformed. */
export function parseStatement(text) {
  must(isPlainText(text) && Buffer.byteLength(text) <= MAX_STATEMENT, "plain text");
  const lines = text.split("\n");
  must(lines.length === 8 && lines[7] === "", "seven lines");
  must(lines[0] === "witnesstree-batch/1" && isName(lines[1]), "origin");
  const count = parseDecimal(lines[3]);
  must(count >= 1, "count");
  return {
    origin: lines[1],
    sequence: parseDecimal(lines[2]),
    count,
    root: parseBase64(lines[4], 32),
    opened: parseTime(lines[5]),
    closed: parseTime(lines[6]),
  };
}

/** A C2SP verifier key of the given type. Throws Malformed. */
export function parseKey(text, type = ED25519) {
  const [name, id, ...rest] = text.split("+");
  must(isName(name) && id !== undefined && rest.length >= 1, "key");
  const keyId = parseHex(id, 4);
  const typed = parseBase64(rest.join("+"), 33);
  must(typed[0] === type, "key type");
  must(sha256(Buffer.from(`${name}\n`), typed).subarray(0, 4).equals(keyId), "key id");
  return { name, keyId, publicKey: typed.subarray(1), text };
}

export function parseWitnessKey(text) {
  return parseKey(text, COSIGNATURE);
}

export function ed25519(publicKey, message, signature) {
  if (signature.length !== 64) return false;
  try {
    const der = Buffer.concat([SPKI, publicKey]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}

function parseSignature(line) {
  must(line.startsWith("— "), "signature line");
  const space = line.indexOf(" ", 2);
  must(space > 0, "signature line");
  const name = line.slice(2, space);
  must(isName(name), "key name");
  const bytes = parseBase64(line.slice(space + 1), 5, Infinity);
  return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

/** A signed note: its text, with the last newline, and its signatures. Throws Malformed. */
export function parseNote(note) {
  must(isPlainText(note) && Buffer.byteLength(note) <= MAX_NOTE, "plain text");
  const split = note.lastIndexOf("\n\n");
  must(split >= 0 && note.endsWith("\n"), "empty line");
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split("\n");
  must(note.length > split + 2 && lines.length <= MAX_SIGNATURES, "signature lines");
  return { text, signatures: lines.map(parseSignature) };
}

/** A signed checkpoint. Throws Malformed. */
export function parseCheckpoint(note) {
  const parsed = parseNote(note);
  const lines = parsed.text.slice(0, -1).split("\n");
  must(lines.length >= 3 && isName(lines[0]), "checkpoint");
  const extensions = lines.slice(3);
  must(extensions.every((line) => line !== ""), "extension lines");
  const root = parseBase64(lines[2], 32);
  return { ...parsed, origin: lines[0], size: parseDecimal(lines[1]), root, extensions };
}

/** Whether the key signed: there is a line of it, and each one verifies. */
export function signedBy(note, key) {
  const lines = note.signatures.filter(
    (line) => line.name === key.name && line.keyId.equals(key.keyId),
  );
  const text = Buffer.from(note.text);
  return lines.length > 0 && lines.every((line) => ed25519(key.publicKey, text, line.signature));
}

/** Whether a line of a note is one of this key, right or wrong. */
export function hasLineOf(note, key) {
  return note.signatures.some((line) => line.name === key.name && line.keyId.equals(key.keyId));
}

/** A note of a change of key, which holds by itself. Throws Malformed. */
export function parseKeyNote(note) {
  const parsed = parseNote(note);
  const lines = parsed.text.slice(0, -1).split("\n");
  must(lines.length === 7 && lines[0] === "witnesstree-key/1" && isName(lines[1]), "key note");
  const change = {
    text: parsed.text,
    origin: lines[1],
    number: parseDecimal(lines[2]),
    older: parseKey(lines[3]),
    newer: parseKey(lines[4]),
    size: parseDecimal(lines[5]),
    root: parseBase64(lines[6], 32),
  };
  must(change.number >= 1 && change.number <= MAX_CHANGES, "number of the change");
  must(change.older.name === lines[1] && change.newer.name === lines[1], "names of the keys");
  must(change.older.text !== change.newer.text, "same key");
  must(change.size > 0 || change.root.equals(EMPTY_LOG), "root of the empty log");
  checkSigners(parsed, change);
  return change;
}

function checkSigners(note, change) {
  must(note.signatures.length === 2, "two signatures");
  [change.older, change.newer].forEach((key, i) => {
    const line = note.signatures[i];
    must(line.name === key.name && line.keyId.equals(key.keyId), "order of signatures");
    must(ed25519(key.publicKey, Buffer.from(note.text), line.signature), "signature");
  });
}

/** Notes in order of their numbers, each leading on from the one before. Throws Malformed. */
export function checkHistory(notes) {
  for (let i = 1; i < notes.length; i++) {
    const [before, after] = [notes[i - 1], notes[i]];
    must(after.origin === before.origin, "origin");
    must(after.number === before.number + 1, "number");
    must(after.older.text === before.newer.text, "leads on");
    must(after.size >= before.size, "size");
    must(after.size > before.size || after.root.equals(before.root), "root");
  }
  const keys = notes.map((note) => note.newer.text);
  if (notes.length > 0) keys.unshift(notes[0].older.text);
  must(new Set(keys).size === keys.length, "a key that comes back");
}

/** The notes of a proof, joined with the verifier's by their numbers. Throws Malformed. */
export function joinNotes(ours, theirs) {
  const byNumber = new Map();
  for (const note of [...theirs, ...ours]) {
    const other = byNumber.get(note.number);
    must(other === undefined || other.text === note.text, "two notes of one number");
    byNumber.set(note.number, note);
  }
  const notes = [...byNumber.values()].sort((a, b) => a.number - b.number);
  checkHistory(notes);
  return notes;
}

/** The key in force at a size. */
export function keyInForce(notes, size) {
  const next = notes.find((note) => note.size >= size);
  return next ? next.older : notes[notes.length - 1].newer;
}

/** Whose cosignatures hold: name and the newest time of each key (C2SP tlog-cosignature). */
export function cosigned(note, key) {
  let newest = null;
  const times = [];
  for (const line of note.signatures) {
    if (line.name !== key.name || !line.keyId.equals(key.keyId)) continue;
    const time = cosignedAt(note, key, line.signature);
    if (time === null) continue;
    times.push(time);
    if (newest === null || time > newest) newest = time;
  }
  return { newest, times };
}

function cosignedAt(note, key, signature) {
  if (signature.length !== 72) return null;
  const time = signature.readBigUInt64BE(0);
  if (time > 2n ** 63n - 1n) return null;
  const message = Buffer.from(`cosignature/v1\ntime ${time}\n${note.text}`);
  return ed25519(key.publicKey, message, signature.subarray(8)) ? time : null;
}
