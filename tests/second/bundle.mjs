/** All proofs of a batch in one file (docs/bulk-proofs.md). */

import { MAX_PROOF, parseProof } from "./fields.mjs";
import { parseDecimal } from "./forms.mjs";
import { must } from "./json.mjs";
import { leadsTo, levelAbove } from "./tree.mjs";

const FORMAT = "witnesstree-proofs/1\n";
const DIGITS = 16;
const STEP = 6;
const BLOCK = 64;
const OPTIONAL = new Set([
  "inclusion", "opening", "digests", "file_tokens", "extensions", "records", "log", "certificates",
  "crls", "ocsps", "state", "keys", "links",
]);

/** {shared, size, levels}: level 0 and the kept ones, lists of hashes. Throws Malformed. */
export function parseBundle(bytes) {
  must(bytes.subarray(0, FORMAT.length).toString("latin1") === FORMAT, "format");
  const newline = bytes.indexOf("\n", FORMAT.length);
  const digits = bytes.subarray(FORMAT.length, newline).toString("latin1");
  must(newline > 0 && digits.length <= 7, "length");
  const length = parseDecimal(digits);
  const start = newline + 1;
  must(length <= MAX_PROOF && start + length <= bytes.length, "length");
  const shared = parseProof(bytes.subarray(start, start + length));
  checkShared(shared);
  const { size } = shared.inclusion;
  const begin = Math.ceil((start + length) / 32) * 32;
  must(bytes.subarray(start + length, begin).every((byte) => byte === 0), "padding");
  const counts = keptCounts(size);
  const nodes = counts.reduce((sum, count) => sum + count, 0);
  must(bytes.length === begin + 32 * nodes, "file's length");
  const levels = readLevels(bytes, begin, counts);
  must(levels[0][0].equals(shared.digest), "first digest");
  return { shared, size, levels };
}

function checkShared(shared) {
  must(shared.inclusion !== null && shared.inclusion.position === 0, "position");
  must(shared.digests.size === 0 && shared.fileTokens.length === 0, "of one file alone");
  must(Buffer.byteLength(written(shared.value)) + DIGITS <= MAX_PROOF, "too long");
}

/** How many nodes the digests and each kept level have. */
function keptCounts(size) {
  const counts = [size];
  for (let count = size, level = 1; count > 1; level++) {
    count = Math.ceil(count / 2);
    if (level % STEP === 0 && count > 1) counts.push(count);
  }
  return counts;
}

function readLevels(bytes, begin, counts) {
  let at = begin;
  return counts.map((count) => {
    const level = [];
    for (let i = 0; i < count; i++, at += 32) level.push(bytes.subarray(at, at + 32));
    return level;
  });
}

function indented(value, indent) {
  const inner = `${indent} `;
  const lines = value instanceof Map
    ? [...value].map(([name, each]) => `${JSON.stringify(name)}: ${indented(each, inner)}`)
    : Array.isArray(value) ? value.map((each) => indented(each, inner)) : null;
  if (lines === null) return JSON.stringify(value);
  const [open, close] = value instanceof Map ? "{}" : "[]";
  if (lines.length === 0) return open + close;
  return `${open}\n${lines.map((line) => inner + line).join(",\n")}\n${indent}${close}`;
}

function isEmpty(value) {
  return value instanceof Map ? value.size === 0 : Array.isArray(value) && value.length === 0;
}

/** Without empty optional members. What stands in the values of extensions is left as it is. */
function trimmed(value) {
  if (Array.isArray(value)) return value.map(trimmed);
  if (!(value instanceof Map)) return value;
  const kept = [...value].filter(([name, each]) => !OPTIONAL.has(name) || !isEmpty(each));
  return new Map(kept.map(([name, each]) => [name, name === "value" ? each : trimmed(each)]));
}

/** A proof as docs/proof-format.md, section 12, writes it. */
function written(value) {
  return `${indented(trimmed(value), "")}\n`;
}

/** Six levels above nodes, or as many as there are. */
function above(nodes) {
  let level = nodes;
  for (let i = 0; i < STEP && level.length > 1; i++) level = levelAbove(level);
  return level;
}

/** Whether each kept level follows from the one below, and all lead to the root. */
export function isSound(bundle) {
  const { shared, size, levels } = bundle;
  const { root, path } = shared.inclusion;
  const follows = levels.every((level, i) => {
    const next = i + 1 < levels.length ? levels[i + 1] : [root];
    const found = above(level);
    return found.length === next.length && found.every((node, j) => node.equals(next[j]));
  });
  return follows && leadsTo(shared.digest, 0, size, path, root);
}

/** The digest at a position, and its path. */
export function proofAt(bundle, position) {
  const path = [];
  let at = position;
  for (const level of bundle.levels) {
    const first = Math.floor(at / BLOCK) * BLOCK;
    let nodes = level.slice(first, first + BLOCK);
    let inner = at - first;
    for (let i = 0; i < STEP && nodes.length > 1; i++) {
      const sibling = nodes[inner ^ 1];
      if (sibling !== undefined) path.push(sibling);
      nodes = levelAbove(nodes);
      inner >>= 1;
    }
    at = Math.floor(at / BLOCK);
  }
  return { digest: bundle.levels[0][position], path };
}
