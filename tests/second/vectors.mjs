/**
 * Runs the test vectors: one line a file, with the names of the cases that differ.
 *
 *     node tests/second/vectors.mjs [FILE...]
 *
 * A case that is refused may be refused in either way (tests/vectors/README.md, "One loop").
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { auditLog } from "./audit.mjs";
import { isSound, parseBundle, proofAt } from "./bundle.mjs";
import { maxHeader, parseHeader, readSlot } from "./chain.mjs";
import { cosigned, parseCheckpoint, parseKey, parseNote, parseStatement, parseWitnessKey,
  signedBy, hasLineOf } from "./note.mjs";
import { sha256, writeTime } from "./forms.mjs";
import { decodeUtf8, must, orNull } from "./json.mjs";
import { verifyProof } from "./proof.mjs";
import { verifyRecord } from "./record.mjs";
import { tilePath, tileSet } from "./tiles.mjs";
import { imprintIs, judgeToken, parseToken } from "./token.mjs";
import {
  MAX_SIZE, batchPath, batchRoot, leadsTo, logContinues, logIncludes, logLeaf, logRoot,
} from "./tree.mjs";
import { readTrust } from "./trust.mjs";

const FOLDER = fileURLToPath(new URL("../vectors/", import.meta.url));
const decode = (text) => Buffer.from(text, "base64");
const hex = (text) => Buffer.from(text, "hex");
const encode = (bytes) => bytes.toString("base64");
const unhex = (text) => hex(text.slice(2));

/** Numbers beyond 2^53 - 1 become BigInts. */
function exact(name, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return BigInt(context.source);
}

function load(file) {
  return JSON.parse(readFileSync(FOLDER + file, "utf8"), exact);
}

function bytesOf(one, text) {
  return one.bytes === undefined ? Buffer.from(one[text]) : decode(one.bytes);
}

function isGood(expect) {
  return expect === "verifies" || expect === "accepted";
}

function* trees(data) {
  for (const one of data.cases) {
    const leaves = Array.from({ length: one.size }, (_, i) => sha256(String(i)));
    const paths = Object.fromEntries(Object.keys(one.paths).map((position) => {
      return [position, batchPath(leaves, Number(position)).map((each) => each.toString("hex"))];
    }));
    const found = { root: batchRoot(leaves).toString("hex"), paths };
    const wanted = { root: one.root, paths: one.paths };
    if (one.leaves) {
      found.leaves = leaves.map((leaf) => leaf.toString("hex"));
      wanted.leaves = one.leaves;
    }
    yield [`size ${one.size}`, found, wanted];
  }
}

function* paths(data) {
  for (const one of data.cases) {
    const { position, size } = one;
    const sizes = size >= 1 && size <= MAX_SIZE && position >= 0 && position < size;
    const path = one.path.map(hex);
    const lengths = [hex(one.digest), hex(one.root), ...path].every(({ length }) => length === 32);
    const leads = sizes && lengths && leadsTo(hex(one.digest), position, size, path, hex(one.root));
    yield [one.name, leads, isGood(one.expect)];
  }
}

function* statements(data) {
  for (const one of data.cases) {
    const read = orNull(() => parseStatement(decodeUtf8(bytesOf(one, "text"))));
    const found = read && { ...read, root: encode(read.root), opened: writeTime(read.opened),
      closed: writeTime(read.closed) };
    yield [one.name, found, one.statement ?? null];
  }
}

function inLog(leaf, index, size, path, root) {
  const hashes = [leaf, root, ...path].map(decode);
  if (size < 1n || index < 0n || !hashes.every(({ length }) => length === 32)) return false;
  return logIncludes(hashes[0], index, size, hashes.slice(2), hashes[1]);
}

function* inclusions(data) {
  for (const one of data.cases) {
    const got = inLog(one.leaf, BigInt(one.index), BigInt(one.size), one.path, one.root);
    yield [one.name, got, isGood(one.expect)];
  }
}

function* othersInclusions(data) {
  for (const [i, one] of data.entries()) {
    const path = one.proof ?? [];
    const got = inLog(one.leafHash, BigInt(one.leafIdx), BigInt(one.treeSize), path, one.root);
    yield [`${i}: ${one.desc}`, got, !one.wantErr];
  }
}

function continues(older, newer, olderRoot, newerRoot, path) {
  const hashes = path.map(decode);
  if (older < 1n || !hashes.every(({ length }) => length === 32)) return false;
  return logContinues(older, newer, decode(olderRoot), decode(newerRoot), hashes);
}

function* consistencies(data) {
  for (const one of data.cases) {
    const [older, newer] = [BigInt(one.old), BigInt(one.new)];
    const lengths = [one.old_root, one.new_root].every((root) => decode(root).length === 32);
    const got = lengths && continues(older, newer, one.old_root, one.new_root, one.path);
    yield [one.name, got, isGood(one.expect)];
  }
}

function* othersConsistencies(data) {
  for (const [i, one] of data.entries()) {
    const [older, newer] = [BigInt(one.size1), BigInt(one.size2)];
    const got = continues(older, newer, one.root1, one.root2, one.proof ?? []);
    yield [`${i}: ${one.desc}`, got, !one.wantErr];
  }
}

function* keys(data, parse) {
  for (const one of data.cases) {
    const key = orNull(() => parse(one.text));
    const found = key && { name: key.name, key_id: key.keyId.toString("hex"),
      public_key: encode(key.publicKey) };
    yield [one.name, found, one.key ?? null];
  }
}

function* notes(data) {
  for (const one of data.cases) {
    const note = orNull(() => parseNote(one.note));
    const known = one.keys.map((key) => parseKey(key));
    const lined = note === null ? [] : known.filter((key) => hasLineOf(note, key));
    const good = lined.length > 0 && lined.every((key) => signedBy(note, key));
    yield [one.name, good ? note.text : null, one.text ?? null];
  }
}

function* checkpoints(data) {
  for (const one of data.cases) {
    const read = orNull(() => {
      const checkpoint = parseCheckpoint(decodeUtf8(bytesOf(one, "note")));
      const key = parseKey(one.key);
      must(key.name === checkpoint.origin && signedBy(checkpoint, key), "signature");
      return checkpoint;
    });
    const found = read && { origin: read.origin, size: read.size, root: encode(read.root),
      extensions: read.extensions };
    yield [one.name, found, one.checkpoint ?? null];
  }
}

function* headers(data) {
  for (const one of data.cases) {
    const bytes = unhex(one.header);
    const fits = bytes.length <= maxHeader(one.chain_id ?? 1);
    const read = fits ? orNull(() => parseHeader(bytes)) : null;
    const found = read && { hash: `0x${read.hash.toString("hex")}`, number: Number(read.number),
      time: Number(read.time), state_root: `0x${read.stateRoot.toString("hex")}` };
    const wanted = one.expect === "accepted"
      ? { hash: one.hash, number: one.number, time: one.time, state_root: one.state_root } : null;
    yield [one.name, found, wanted];
  }
}

function* slots(data) {
  for (const one of data.cases) {
    const read = orNull(() => {
      const header = parseHeader(unhex(one.header));
      const [account, storage] = [one.account.map(unhex), one.storage.map(unhex)];
      return readSlot(header.stateRoot, unhex(one.contract), unhex(one.root), account, storage);
    });
    const found = read && { code_hash: `0x${read.codeHash.toString("hex")}`,
      time: Number(read.time), block_number: Number(read.blockNumber),
      submitter: `0x${read.submitter.toString(16).padStart(40, "0")}` };
    const wanted = one.expect === "accepted" ? { code_hash: one.code_hash, time: one.time,
      block_number: one.block_number, submitter: one.submitter } : null;
    yield [one.name, found, wanted];
  }
}

function* tokens(data) {
  for (const one of data.cases) {
    const roots = one.roots.map((name) => data.roots[name]);
    const now = data.tokens[one.token].time;
    const trust = readTrust({ digest: one.digest, now, trust: { roots } });
    const beside = { certificates: one.certificates.map(decode), crls: [], ocsps: [] };
    const token = orNull(() => parseToken(decode(data.tokens[one.token].token)));
    const { checks } = judgeToken(token, imprintIs(trust.digest), beside, trust);
    const found = Object.fromEntries(checks.map(({ name, outcome }) => [name, outcome]));
    yield [one.name, found, one.expect];
  }
}

function* proofs(data) {
  for (const one of data.cases) {
    const question = { ...data, ...one };
    const trust = readTrust(question);
    const got = verifyProof(bytesOf(one, "proof"), question.require, trust);
    const outcome = got.verdict === "failed" ? "failed" : "unknown";
    const checks = got.checks.filter((check) => {
      return check.outcome === outcome && (check.required || outcome === "failed");
    });
    const found = { expect: got.verdict, checks: checks.map(({ name }) => name) };
    const wanted = { expect: one.expect, checks: one.checks };
    if (one.assurance !== undefined) {
      found.assurance = got.assurance;
      wanted.assurance = one.assurance;
    }
    for (const [name, date] of Object.entries(one.dates ?? {})) {
      found[name] = got.window[name];
      wanted[name] = date;
    }
    yield [one.name, found, wanted];
  }
}

function* bundles(data) {
  const happy = parseBundle(decode(data.happy));
  const found = data.proofs.map((_, position) => {
    const { digest, path } = proofAt(happy, position);
    return { digest: digest.toString("hex"), path: path.map((each) => each.toString("hex")) };
  });
  yield ["the proofs of the happy path", found, data.proofs];
  for (const one of data.cases) {
    const bundle = orNull(() => parseBundle(decode(one.bytes)));
    const sound = bundle !== null && isSound(bundle);
    yield [one.name, bundle === null ? "refused" : sound ? "sound" : "unsound", one.expect];
  }
}

function rootsOf(list) {
  return list.map((certificate) => ({ certificate, assurance: "private" }));
}

function* records(data) {
  for (const one of data.cases) {
    const trust = readTrust({ digest: "", now: one.now, trust: { roots: rootsOf(one.roots) } });
    const got = verifyRecord(decode(one.record), one.files, one.group, trust);
    const { verdict, check } = one.expect;
    const outcome = verdict === "failed" ? "failed" : "unknown";
    const names = got.checks.filter((each) => each.outcome === outcome).map(({ name }) => name);
    const named = check === null || names.includes(check);
    yield [one.name, { verdict: got.verdict, named, names: named ? [] : names },
      { verdict, named: true, names: [] }];
  }
}

function fileOf(document) {
  if (document === null) return {};
  const bytes = Buffer.from(document);
  return { sha256: sha256(bytes).toString("hex") };
}

function* publicRecords(data) {
  for (const one of data.records) {
    const roots = rootsOf(one.roots.map((name) => data.roots[name]));
    const trust = readTrust({ digest: "", now: one.now, trust: { roots } });
    const got = verifyRecord(decode(one.record), [fileOf(one.document)], false, trust);
    yield [one.name, got.verdict === "failed" ? "invalid" : "valid", one.authors];
  }
}

function* logRoots(data) {
  const leaves = data.entries.map((entry) => logLeaf(Buffer.from(entry)));
  for (const [size, root] of data.roots.entries()) {
    yield [`root ${size}`, encode(logRoot(leaves.slice(0, size))), root];
  }
  for (const { entry, level, index, hash } of data.added) {
    const first = index * 2 ** level;
    const end = first + 2 ** level;
    yield [`level ${level}, index ${index}`, [end - 1, encode(logRoot(leaves.slice(first, end)))],
      [entry, hash]];
  }
}

function* othersRoots(data) {
  const leaves = data.map(({ entry }) => logLeaf(decode(entry)));
  for (const [i, { root }] of data.entries()) {
    yield [`root ${i + 1}`, encode(logRoot(leaves.slice(0, i + 1))), root];
  }
}

function* tiles(data) {
  for (const one of data.paths) {
    yield [one.path, tilePath(one.level, one.index, one.width), one.path];
  }
  for (const one of data.sets) {
    yield [`from ${one.old} to ${one.new}`, tileSet(one.old, one.new).sort(), one.paths.sort()];
  }
}

const LEEWAY = 600n;

function* cosignatures(data) {
  for (const one of data.cases) {
    const note = orNull(() => parseNote(one.note));
    if (note === null) {
      yield [one.name, "invalid", one.expect];
      continue;
    }
    const witnesses = [...new Set(one.witnesses)].map(parseWitnessKey);
    const found = witnesses.map((key) => ({ key, ...cosigned(note, key) }));
    const latest = BigInt(one.now) + LEEWAY;
    const counted = found.filter(({ times }) => times.some((time) => time > 0n && time <= latest));
    const signed = found.filter(({ newest }) => newest !== null);
    const list = signed.map(({ key, newest }) => ({ name: key.name, time: String(newest) }));
    const wanted = (one.cosigned ?? []).map(({ name, time }) => ({ name, time: String(time) }));
    const met = counted.length >= one.quorum ? "met" : "unmet";
    yield [one.name, [met, list], [one.expect, wanted]];
  }
}

function* audits(data) {
  for (const one of data.cases) {
    const question = { ...data, ...one };
    const roots = rootsOf(question.roots);
    const now = new Date(question.now).toISOString().replace(".000Z", "Z");
    const trust = readTrust({ digest: "", now, trust: { roots } });
    const files = Object.entries({ ...data.logs[one.log], ...one.changed });
    const log = new Map(files.filter(([, bytes]) => bytes !== null).map(([path, bytes]) => {
      return [path, decode(bytes)];
    }));
    const key = question.key === null ? null : parseKey(question.key);
    const got = auditLog(log, key, trust, question.deadline, one.seen ?? null);
    const outcome = got.verdict === "failed" ? "failed" : "unknown";
    const checks = got.checks.filter((check) => check.outcome === outcome && check.required);
    const found = { expect: got.verdict, checks: checks.map(({ name }) => name),
      equivocation: got.equivocation };
    yield [one.name, found,
      { expect: one.expect, checks: one.checks, equivocation: one.equivocation }];
  }
}

const FILES = {
  "tree/tree.json": trees,
  "tree/path.json": paths,
  "log/statement.json": statements,
  "log/inclusion.json": inclusions,
  "merkle/inclusion.json": othersInclusions,
  "checkpoint/key.json": (data) => keys(data, (text) => parseKey(text)),
  "checkpoint/note.json": notes,
  "checkpoint/checkpoint.json": checkpoints,
  "chain/header.json": headers,
  "chain/slot.json": slots,
  "token/tokens.json": tokens,
  "proof/proof.json": proofs,
  "bundle/bundle.json": bundles,
  "record/records.json": records,
  "record/public.json": publicRecords,
  "log/root.json": logRoots,
  "merkle/roots.json": othersRoots,
  "log/consistency.json": consistencies,
  "merkle/consistency.json": othersConsistencies,
  "tiles/tiles.json": tiles,
  "cosignature/key.json": (data) => keys(data, parseWitnessKey),
  "cosignature/cosignature.json": cosignatures,
  "audit/audit.json": audits,
};

function run(file) {
  const differing = [];
  let total = 0;
  for (const [name, found, wanted] of FILES[file](load(file))) {
    total += 1;
    const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (a !== b) differing.push(`  ${name}: ${a}, not ${b}`);
  }
  console.log(`${file}: ${total - differing.length}/${total}`);
  for (const line of differing) console.log(line);
  return total > 0 && differing.length === 0;
}

const asked = process.argv.slice(2);
const results = (asked.length > 0 ? asked : Object.keys(FILES)).map(run);
process.exitCode = results.every(Boolean) ? 0 : 1;
