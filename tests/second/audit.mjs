/**
 * Follows a published log (docs/log.md, "Following a log"), without cosigners, anchors and changes
 * of key.
 *
 * A log is a Map of paths to bytes. Where a check fails that later ones need, `Stop` ends steps.
 */

import { parseProof } from "./fields.mjs";
import { sha256 } from "./forms.mjs";
import { decodeUtf8, must, orNull } from "./json.mjs";
import { parseCheckpoint, parseStatement, signedBy } from "./note.mjs";
import { parseOpening } from "./proof.mjs";
import { numberPath, tilePath } from "./tiles.mjs";
import { imprintIs, judgeToken, parseToken } from "./token.mjs";
import { EMPTY_LOG, leadsTo, logContinues, logLeaf, logNode, logRoot } from "./tree.mjs";
import { LEEWAY } from "./trust.mjs";
import { FAILED, PASSED, UNKNOWN } from "./x509.mjs";

const WIDTH = 256;
const HASH = 32;
const LEVELS = 6;

class Stop extends Error {}

class Audit {
  constructor(log, key, trust, deadline) {
    Object.assign(this, { log, key, trust, deadline, checks: [], records: [] });
    this.equivocation = false;
  }

  add(name, outcome, required = true) {
    this.checks.push({ name, outcome, required });
  }

  /** Adds a check that ends the steps where it is FAILED. */
  step(name, passed) {
    if (!passed) {
      this.add(name, FAILED);
      throw new Stop();
    }
    this.add(name, PASSED);
  }

  isSigned(checkpoint) {
    if (this.key === null) return true;
    return checkpoint.origin === this.key.name && signedBy(checkpoint, this.key);
  }

  read(path) {
    const bytes = this.log.get(path);
    must(bytes !== undefined, path);
    return bytes;
  }

  /** A tile of `width`, or the beginning of the full one. */
  tile(level, index, width) {
    const partial = this.log.get(tilePath(level, index, width));
    return partial ?? this.read(tilePath(level, index, WIDTH));
  }

  /** Hashes of a level of the tree, as tiles hold them, of the first `count`. */
  hashes(level, count) {
    const list = [];
    for (let first = 0; first < count; first += WIDTH) {
      const width = Math.min(WIDTH, count - first);
      const bytes = this.tile(level, first / WIDTH, width);
      must(bytes.length >= width * HASH, "tile");
      must(bytes.length === width * HASH || bytes.length === WIDTH * HASH, "tile");
      for (let i = 0; i < width; i++) list.push(bytes.subarray(i * HASH, (i + 1) * HASH));
    }
    return list;
  }

  /** Entries from one number to another, from the bundles that hold them. */
  entries(from, to) {
    const list = [];
    for (let first = from - (from % WIDTH); first < to; first += WIDTH) {
      const width = Math.min(WIDTH, to - first);
      const bytes = this.tile("entries", first / WIDTH, width);
      let at = 0;
      for (let i = 0; i < width; i++) {
        must(at + 2 <= bytes.length, "entry");
        const end = at + 2 + bytes.readUInt16BE(at);
        must(end <= bytes.length, "entry");
        if (first + i >= from) list.push(bytes.subarray(at + 2, end));
        at = end;
      }
      must(at === bytes.length || !this.log.has(tilePath("entries", first / WIDTH, width)), "end");
    }
    return list;
  }
}

/** {checks, equivocation, verdict}. `seen` is what the last audit kept, or null. */
export function auditLog(log, key, trust, deadline, seen) {
  const audit = new Audit(log, key, trust, deadline);
  try {
    followSteps(audit, seen);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  for (const record of audit.records) judgeStamped(audit, record);
  const failed = audit.checks.some(({ outcome }) => outcome === FAILED);
  const open = audit.checks.some(({ outcome, required }) => required && outcome === UNKNOWN);
  const verdict = failed ? "failed" : open ? "undecided" : "sound";
  return { checks: audit.checks, equivocation: audit.equivocation, verdict };
}

function followSteps(audit, seen) {
  const checkpoint = orNull(() => parseCheckpoint(decodeUtf8(audit.read("checkpoint"))));
  if (audit.key === null && checkpoint !== null) audit.add("checkpoint", UNKNOWN);
  else audit.step("checkpoint", checkpoint !== null && audit.isSigned(checkpoint));
  const before = seen === null ? null : parseCheckpoint(seen.checkpoint);
  if (before !== null) judgeConsistency(audit, before, checkpoint);
  const from = before === null ? 0 : before.size;
  const entries = orNull(() => audit.entries(from, checkpoint.size));
  const leaves = entries === null ? [] : entries.map((entry) => logLeaf(entry));
  const range = entries === null ? null : orNull(() => seenRange(audit, before, checkpoint.size));
  audit.step("entries", range !== null && extended(range, leaves).equals(checkpoint.root));
  audit.add("tiles", judgeTiles(audit, from, leaves, checkpoint.size) ? PASSED : FAILED);
  const statements = entries.map((entry, i) => readStatement(audit, entry, from + i, checkpoint));
  audit.step("statements", !statements.includes(null));
  readRecords(audit, statements, leaves, seen, range, { from, origin: checkpoint.origin });
}

/** Step 2: also finds two signed histories. */
function judgeConsistency(audit, before, checkpoint) {
  const same = before.origin === checkpoint.origin && before.size === checkpoint.size;
  if (same && !before.root.equals(checkpoint.root)) audit.equivocation = true;
  if (before.origin !== checkpoint.origin || before.size > checkpoint.size || same) {
    audit.step("consistency", same && before.root.equals(checkpoint.root));
    return;
  }
  const leaves = orNull(() => audit.hashes(0, checkpoint.size));
  const path = leaves === null ? null : consistencyPath(leaves, before.size);
  const then = leaves === null ? null : logRoot(leaves.slice(0, before.size));
  const sizes = [BigInt(before.size), BigInt(checkpoint.size)];
  const leads = (root) => logContinues(...sizes, root, checkpoint.root, path);
  if (before.size === 0) {
    audit.step("consistency", before.root.equals(EMPTY_LOG));
    return;
  }
  audit.equivocation = path !== null && !then.equals(before.root) && leads(then);
  audit.step("consistency", path !== null && leads(before.root));
}

/** RFC 9162, 2.1.4.1. */
function consistencyPath(leaves, older, whole = true) {
  if (older === leaves.length) return whole ? [] : [logRoot(leaves)];
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  if (older <= left) {
    return [...consistencyPath(leaves.slice(0, left), older, whole), logRoot(leaves.slice(left))];
  }
  const path = consistencyPath(leaves.slice(left), older - left, false);
  return [...path, logRoot(leaves.slice(0, left))];
}

/** The roots of the complete subtrees of what was seen, the largest first. Throws Malformed. */
function seenRange(audit, before, size) {
  if (before === null || before.size === 0) return [];
  const leaves = audit.hashes(0, size).slice(0, before.size);
  const range = leaves.reduce(added, []);
  must(rangeRoot(range).equals(before.root), "seen");
  return range;
}

function added(range, leaf) {
  const result = [...range, { size: 1, hash: leaf }];
  while (result.length > 1 && result.at(-1).size === result.at(-2).size) {
    const [left, right] = result.splice(-2);
    result.push({ size: left.size * 2, hash: logNode(left.hash, right.hash) });
  }
  return result;
}

function rangeRoot(range) {
  if (range.length === 0) return EMPTY_LOG;
  return range.map(({ hash }) => hash).reduceRight((right, left) => logNode(left, right));
}

function extended(range, leaves) {
  return rangeRoot(leaves.reduce(added, range));
}

/** Step 4: tiles of all levels are those of the entries since `from`. */
function judgeTiles(audit, from, leaves, size) {
  return orNull(() => {
    const below = audit.hashes(0, size);
    must(leaves.every((leaf, i) => leaf.equals(below[from + i])), "tile");
    let level = below;
    for (let i = 1; i <= LEVELS && level.length >= WIDTH; i++) {
      const count = Math.floor(level.length / WIDTH);
      const roots = Array.from({ length: count }, (_, j) => {
        return logRoot(level.slice(j * WIDTH, (j + 1) * WIDTH));
      });
      must(audit.hashes(i, count).every((hash, j) => hash.equals(roots[j])), "tile");
      level = roots;
    }
    return true;
  }) ?? false;
}

/** Step 5, for one entry: the statement, or null. */
function readStatement(audit, entry, index, checkpoint) {
  const statement = orNull(() => parseStatement(decodeUtf8(entry)));
  if (statement === null || statement.origin !== checkpoint.origin) return null;
  if (statement.sequence !== index) return null;
  return statement.closed <= audit.trust.second + LEEWAY ? statement : null;
}

/** Step 6. */
function readRecords(audit, statements, leaves, seen, range, { from, origin }) {
  const state = { range, named: seen?.named ?? 0, digests: new Map() };
  if (seen === null) {
    const first = orNull(() => readFirst(audit, origin));
    if (first === null) audit.step("opening", false);
    state.digests.set(0, first);
  } else {
    seen.digests.forEach((digest, i) => state.digests.set(seen.named + i, digest));
  }
  for (const text of seen?.waiting ?? []) {
    const statement = parseStatement(text);
    const record = orNull(() => readRecord(audit, statement));
    if (record === null) audit.step("opening", false);
    audit.records.push({ statement, proof: record.proof });
  }
  statements.forEach((statement, i) => {
    const good = orNull(() => followRecord(audit, state, statement, leaves[i])) !== null;
    if (!good) audit.step(`batch[${from + i}].opening`, false);
  });
  audit.add("opening", PASSED);
}

/** The SHA-256 of the signed checkpoint of the empty log. Throws Malformed. */
function readFirst(audit, origin) {
  const note = decodeUtf8(audit.read("checkpoint-0"));
  const checkpoint = parseCheckpoint(note);
  must(checkpoint.size === 0 && checkpoint.root.equals(EMPTY_LOG), "empty log");
  must(checkpoint.origin === origin && audit.isSigned(checkpoint), "signed");
  return sha256(note).toString("hex");
}

/** The record of a batch against its statement. Throws Malformed. */
function readRecord(audit, statement) {
  const proof = parseProof(audit.read(`batch/${numberPath(statement.sequence)}.json`));
  const { inclusion, opening } = proof;
  must(inclusion !== null && opening !== null && proof.log !== null, "members");
  must(inclusion.root.equals(statement.root) && inclusion.size === statement.count, "root");
  const leaf = sha256(opening.record);
  must(proof.digest.equals(leaf) && inclusion.position === 0, "opening record");
  must(leadsTo(leaf, 0, inclusion.size, inclusion.path, inclusion.root), "path");
  const record = parseOpening(opening.record);
  must(record.origin === statement.origin && record.batch === statement.sequence, "origin");
  must(record.opened === statement.opened, "opened");
  return { proof, record };
}

/** The record of the batch that comes next. Throws Malformed. */
function followRecord(audit, state, statement, leaf) {
  const index = statement.sequence;
  const { proof, record } = readRecord(audit, statement);
  const named = [...state.digests].find(([size, digest]) => {
    return digest === record.checkpoint && size >= state.named && size <= index;
  });
  must(named !== undefined, "checkpoint");
  [state.named] = named;
  const checkpoint = parseCheckpoint(proof.log.checkpoint);
  must(checkpoint.origin === statement.origin && checkpoint.size === index + 1, "head");
  must(audit.isSigned(checkpoint), "signed");
  state.range = added(state.range, leaf);
  must(rangeRoot(state.range).equals(checkpoint.root), "head");
  state.digests.set(index + 1, sha256(proof.log.checkpoint).toString("hex"));
  audit.records.push({ statement, proof });
  return true;
}

/** Step 8, for one batch: its tokens, and whether the earliest is in time. */
function judgeStamped(audit, { statement, proof }) {
  const name = `batch[${statement.sequence}].stamped`;
  const due = statement.closed + audit.deadline;
  const judged = proof.tokens.map((given) => {
    const token = orNull(() => parseToken(given.token));
    return judgeToken(token, imprintIs(statement.root), given, audit.trust);
  });
  const failed = judged.some(({ checks }) => checks.some(({ outcome }) => outcome === FAILED));
  const dates = judged.filter(({ holds }) => holds).map(({ date }) => date);
  if (failed || (dates.length > 0 && Math.min(...dates) > due)) audit.add(name, FAILED);
  else if (dates.length > 0) audit.add(name, PASSED);
  else if (judged.length > 0) audit.add(name, UNKNOWN);
  else if (audit.trust.second > due) audit.add(name, FAILED);
  else audit.add(name, UNKNOWN, false);
}
