/**
 * The numbered steps, the verdict, the window and the assurance (docs/proof-format.md, sections 4,
 * 5 and 8).
 */

import { judgeAnchor, judgeHeader } from "./anchors.mjs";
import { parseProof } from "./fields.mjs";
import {
  characters, parse0xHex, parseHex, parseTime, sha256, writeTime,
} from "./forms.mjs";
import { canonical, must, orNull, parseJson } from "./json.mjs";
import { HASHES } from "./methods.mjs";
import {
  checkHistory, joinNotes, keyInForce, parseCheckpoint, parseKeyNote, parseStatement, signedBy,
} from "./note.mjs";
import { judgeRecord, readRecord } from "./record.mjs";
import { imprintIs, judgeToken, parseToken } from "./token.mjs";
import { leadsTo, logIncludes, logLeaf } from "./tree.mjs";
import { LEEWAY, WORTHS, judgeCanonical } from "./trust.mjs";
import { FAILED, PASSED, UNKNOWN } from "./x509.mjs";

const MAX_ORIGIN = 255;
const MAX_JUDGED_TIMESTAMPS = 64;
const DAY = 86400;

function outcome(passed) {
  return passed ? PASSED : FAILED;
}

class Report {
  constructor() {
    this.checks = [];
    this.window = { not_before: null, not_after: null, not_after_token: null,
      not_after_anchor: null, file_not_after: null };
    this.worths = {};
  }

  add(name, result, required = true) {
    this.checks.push({ name, outcome: result, required });
    return result;
  }

  get verdict() {
    if (this.checks.some((check) => check.outcome === FAILED)) return "failed";
    const required = this.checks.filter((check) => check.required);
    if (required.length === 0) return "undecided";
    return required.every((check) => check.outcome === PASSED) ? "verified" : "undecided";
  }
}

/** Judges the bytes of a proof file: {verdict, checks, window, assurance}. */
export function verifyProof(bytes, require_, trust) {
  const report = new Report();
  const proof = orNull(() => parseProof(bytes));
  report.add("proof", outcome(proof !== null));
  if (proof !== null) judgeProof(report, proof, require_, trust);
  const { verdict } = report;
  const assurance = verdict === "verified" ? assuranceOf(report, require_) : null;
  return { verdict, checks: report.checks, window: report.window, assurance };
}

function judgeProof(report, proof, require_, trust) {
  judgeFile(report, proof, trust);
  if (proof.inclusion === null) {
    report.add("inclusion", UNKNOWN);
    return;
  }
  const { position, size, root, path } = proof.inclusion;
  report.add("inclusion", outcome(leadsTo(proof.digest, position, size, path, root)));
  const tokens = judgeTokens(report, proof, require_, trust);
  const anchors = judgeAnchors(report, proof, require_, trust);
  const opening = judgeOpening(report, proof, trust);
  judgeLog(report, proof, opening, trust);
  judgeWindow(report, opening, { token: tokens, anchor: anchors }, require_, trust);
}

/** Step 2. */
function judgeFile(report, proof, trust) {
  report.add("digest", outcome(proof.digest.equals(trust.digest)));
  for (const [name, digest] of proof.digests) {
    const known = trust.digests.get(name);
    const result = known === undefined ? UNKNOWN : outcome(known.equals(digest));
    report.add(`digests.${name}`, result, result !== UNKNOWN);
  }
  proof.extensions.forEach(({ critical }, i) => report.add(`extensions[${i}]`, UNKNOWN, critical));
  const dated = [];
  proof.fileTokens.forEach((given, i) => {
    const judged = judgeFileToken(given, trust);
    for (const { name, outcome: result } of judged.checks) {
      report.add(`file_tokens[${i}].${name}`, result, result !== UNKNOWN);
    }
    if (judged.holds) dated.push(judged);
  });
  report.window.file_not_after = dateOf(dated);
}

function judgeFileToken(given, trust) {
  const token = orNull(() => parseToken(given.token));
  const algorithm = token === null ? null : HASHES.get(token.info.imprintOid);
  const digest = algorithm ? trust.digests.get(algorithm.name) : undefined;
  if (token !== null && digest === undefined) {
    return { checks: [{ name: "imprint", outcome: UNKNOWN }], holds: false };
  }
  const judge = (info) => outcome(info.digest.equals(digest));
  const judged = judgeToken(token, judge, given, trust);
  if (token === null || judged.genTime <= trust.second + LEEWAY) return judged;
  return { ...judged, checks: [...judged.checks, { name: "time", outcome: UNKNOWN }],
    holds: false };
}

/** Step 4. Returns the tokens and records that hold. */
function judgeTokens(report, proof, require_, trust) {
  const isKind = require_ !== "anchor";
  const { root } = proof.inclusion;
  const tokens = proof.tokens.map((given, i) => {
    const token = orNull(() => parseToken(given.token));
    const judged = judgeToken(token, imprintIs(root), given, trust);
    return { ...judged, prefix: `tokens[${i}]` };
  });
  const witnesses = [...tokens, ...judgeRecords(proof, trust)];
  if (witnesses.length === 0) report.add("tokens", UNKNOWN, isKind);
  addWitnesses(report, witnesses, isKind);
  return witnesses.filter(({ holds }) => holds);
}

function judgeRecords(proof, trust) {
  const known = new Map();
  const state = { left: MAX_JUDGED_TIMESTAMPS };
  return proof.records.map((bytes, i) => {
    const text = bytes.toString("latin1");
    if (!known.has(text)) known.set(text, judgeOneRecord(bytes, proof, trust, state));
    return { ...known.get(text), prefix: `records[${i}]` };
  });
}

function judgeOneRecord(bytes, proof, trust, state) {
  const only = (name, result) => ({ checks: [{ name, outcome: result }], holds: false });
  const { record, outcome: read } = readRecord(bytes);
  if (record === null) return only("record", read);
  const root = imprintIs(proof.inclusion.root)(record.chains[0][0].token.info);
  if (root === FAILED) return only("root", FAILED);
  const count = record.chains.flat().length;
  if (count > state.left) return only("root", UNKNOWN);
  state.left -= count;
  const judged = judgeRecord(record, [trust.digests], trust);
  return { ...judged, checks: [{ name: "root", outcome: PASSED }, ...judged.checks] };
}

function judgeAnchors(report, proof, require_, trust) {
  const isKind = require_ !== "token";
  if (proof.anchors.length === 0) report.add("anchors", UNKNOWN, isKind);
  const { root } = proof.inclusion;
  const witnesses = proof.anchors.map((anchor, i) => {
    return { ...judgeAnchor(anchor, root, trust), prefix: `anchors[${i}]` };
  });
  addWitnesses(report, witnesses, isKind);
  return witnesses.filter(({ holds }) => holds);
}

/** An UNKNOWN check of one witness is not required where another one holds. */
function addWitnesses(report, witnesses, isKind) {
  for (const witness of witnesses) {
    const another = witnesses.some((other) => other !== witness && other.holds);
    for (const { name, outcome: result } of witness.checks) {
      const optional = result === UNKNOWN && (another || name.endsWith("revocation"));
      report.add(`${witness.prefix}.${name}`, result, isKind && !optional);
    }
  }
}

const RECORD_MEMBERS = ["format", "origin", "batch", "checkpoint", "opened"];

/** Section 4. Throws Malformed. */
export function parseOpening(text) {
  const value = parseJson(text);
  must(value instanceof Map && canonical(value) === text, "canonical");
  for (const name of RECORD_MEMBERS) must(value.has(name), name);
  const count = RECORD_MEMBERS.length + (value.has("block") ? 1 : 0);
  must(value.size === count && value.get("format") === "witnesstree-opening/1", "members");
  const origin = value.get("origin");
  must(typeof origin === "string" && characters(origin) <= MAX_ORIGIN, "origin");
  must(isNumber(value.get("batch")), "batch");
  const opened = parseTime(value.get("opened"));
  const block = value.has("block") ? parseBlock(value.get("block")) : null;
  const checkpoint = parseHex(value.get("checkpoint"), 32).toString("hex");
  return { origin, batch: value.get("batch"), checkpoint, opened, block };
}

function isNumber(value) {
  return typeof value === "number" && value >= 0;
}

function parseBlock(value) {
  must(value instanceof Map && value.size === 3, "block");
  const [chainId, number] = [value.get("chain_id"), value.get("number")];
  must(isNumber(chainId) && chainId >= 1 && isNumber(number), "block");
  return { chainId, number, hash: parse0xHex(value.get("hash"), 32) };
}

/** Step 6. Returns what the record says, with `blockTime`, or null where it does not hold. */
function judgeOpening(report, proof, trust) {
  const { opening, inclusion } = proof;
  if (opening === null) {
    report.add("opening", UNKNOWN);
    return null;
  }
  const record = orNull(() => parseOpening(opening.record));
  const leaf = sha256(opening.record);
  const leads = leadsTo(leaf, 0, inclusion.size, opening.path, inclusion.root);
  const good = record !== null && leads;
  report.add("opening", outcome(good));
  if (!good) return null;
  return { ...record, ...judgeOpeningBlock(report, record.block, opening.header, trust) };
}

/** {blockTime, notBefore}: when the named block is from, and that if the check passed. */
function judgeOpeningBlock(report, block, bytes, trust) {
  if (block === null) {
    report.add("opening.block", bytes === null ? UNKNOWN : FAILED, bytes !== null);
    return { blockTime: null, notBefore: null };
  }
  const known = judgeCanonical(trust, block.chainId, block.number, block.hash);
  if (bytes === null) {
    report.add("opening.block", known === FAILED ? FAILED : UNKNOWN);
    return { blockTime: null, notBefore: null };
  }
  const judged = judgeHeader(bytes, block.chainId, block);
  if (judged.outcome !== PASSED) {
    report.add("opening.block", judged.outcome);
    return { blockTime: null, notBefore: null };
  }
  const blockTime = judged.header.second;
  report.add("opening.block", known, known !== UNKNOWN);
  return { blockTime, notBefore: known === PASSED ? blockTime : null };
}

/** Step 7. */
function judgeLog(report, proof, opening, trust) {
  const { log, inclusion } = proof;
  if (log === null) {
    report.add("log", UNKNOWN);
    return;
  }
  const statement = orNull(() => parseStatement(log.statement));
  const checkpoint = orNull(() => parseCheckpoint(log.checkpoint));
  report.add("log.statement", outcome(states(statement, inclusion, opening)));
  report.add("log.path", outcome(isLogged(log, statement, checkpoint)));
  const signed = judgeCheckpoint(checkpoint, log.keys, trust);
  report.add("log.checkpoint", signed, trust.keys.length > 0);
}

function states(statement, inclusion, opening) {
  if (statement === null || !statement.root.equals(inclusion.root)) return false;
  if (statement.count !== inclusion.size) return false;
  if (opening === null) return true;
  return statement.origin === opening.origin && statement.sequence === opening.batch &&
    statement.opened === opening.opened;
}

function isLogged(log, statement, checkpoint) {
  if (statement === null || checkpoint === null) return false;
  if (statement.origin !== checkpoint.origin) return false;
  const [index, size] = [BigInt(log.index), BigInt(checkpoint.size)];
  return logIncludes(logLeaf(log.statement), index, size, log.path, checkpoint.root);
}

function judgeCheckpoint(checkpoint, texts, trust) {
  const theirs = orNull(() => {
    const notes = texts.map((text) => parseKeyNote(text));
    checkHistory(notes);
    return notes;
  });
  if (theirs === null) return FAILED;
  if (checkpoint === null) {
    return trust.keys.length + trust.notes.length > 0 ? FAILED : UNKNOWN;
  }
  const ours = trust.notes.filter(({ origin }) => origin === checkpoint.origin);
  const notes = orNull(() => joinNotes(ours, theirs));
  if (notes === null) return FAILED;
  if (trust.keys.length === 0) return UNKNOWN;
  return outcome(isSigned(checkpoint, notes, trust.keys));
}

function isSigned(checkpoint, notes, keys) {
  const history = notes.filter(({ origin }) => origin === checkpoint.origin);
  const theirs = new Set(history.flatMap(({ older, newer }) => [older.text, newer.text]));
  if (keys.some(({ text }) => theirs.has(text))) {
    const same = history.filter(({ size }) => size === checkpoint.size);
    const agrees = same.every(({ root }) => root.equals(checkpoint.root));
    return agrees && signedBy(checkpoint, keyInForce(history, checkpoint.size));
  }
  const named = keys.filter(({ name }) => name === checkpoint.origin);
  return named.some((key) => signedBy(checkpoint, key));
}

/** The earliest date among those of the highest assurance, in seconds. */
function secondOf(witnesses) {
  if (witnesses.length === 0) return null;
  const best = Math.max(...witnesses.map(({ worth }) => worth));
  return Math.min(...witnesses.filter(({ worth }) => worth === best).map(({ date }) => date));
}

function dateOf(witnesses) {
  const second = secondOf(witnesses);
  return second === null ? null : writeTime(second);
}

/** Step 8. */
function judgeWindow(report, opening, witnesses, require_, trust) {
  const dates = { token: secondOf(witnesses.token), anchor: secondOf(witnesses.anchor) };
  const required = require_ === "both" ? ["token", "anchor"] : [require_];
  const needed = required.map((kind) => dates[kind]);
  const notAfter = needed.includes(null) ? null : Math.max(...needed);
  const contradicted = isContradicted(opening, [...witnesses.token, ...witnesses.anchor]);
  const ahead = needed.some((date) => date !== null && date > trust.second + LEEWAY);
  if (contradicted) report.add("window", FAILED);
  else if (ahead) report.add("window", UNKNOWN);
  else if (notAfter !== null) report.add("window", PASSED);
  const both = dates.token !== null && dates.anchor !== null;
  if (both && Math.abs(dates.token - dates.anchor) > DAY) report.add("window.gap", UNKNOWN, false);
  for (const kind of ["token", "anchor"]) {
    const found = witnesses[kind];
    report.worths[kind] = found.length === 0 ? null : Math.max(...found.map((each) => each.worth));
    report.window[`not_after_${kind}`] = dateOf(found);
  }
  reportWindow(report, opening?.notBefore ?? null, notAfter);
}

function reportWindow(report, notBefore, notAfter) {
  if (notAfter !== null) report.window.not_after = writeTime(notAfter);
  if (notBefore === null) return;
  report.window.not_before = writeTime(Math.min(notBefore, notAfter ?? notBefore));
}

function isContradicted(opening, witnesses) {
  if (opening === null || witnesses.length === 0) return false;
  const earliest = Math.min(...witnesses.map(({ date }) => date));
  const times = [opening.opened, opening.blockTime].filter((time) => time !== null);
  return times.some((time) => time > earliest + LEEWAY);
}

/** Section 8, "Assurance", rules 4 and 5. */
function assuranceOf(report, require_) {
  const kinds = require_ === "both" ? ["token", "anchor"] : [require_];
  return WORTHS[Math.min(...kinds.map((kind) => report.worths[kind]))];
}
