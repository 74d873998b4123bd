/**
 * Evidence records (RFC 4998; docs/proof-format.md, section 6, "Records"; docs/forms.md, "Records
 * of others").
 */

import {
  INTEGER, OCTET_STRING, OID, SEQUENCE, SET, bigInteger, context, expect, fieldsOf,
  oidText, parseDer,
} from "./asn1.mjs";
import { hash } from "./forms.mjs";
import { must, orNull } from "./json.mjs";
import { HASHES, areSound } from "./methods.mjs";
import { judgeToken, parseToken } from "./token.mjs";
import { LEEWAY } from "./trust.mjs";
import { FAILED, PASSED, UNKNOWN } from "./x509.mjs";

export const MAX_RECORD = 4194304;
const MAX_CHAINS = 16;
const MAX_TIMESTAMPS = 64;
const MAX_LISTS = 64;
const MAX_HASHES = 16384;
const MAX_HASH = 64;
const MAX_ALGORITHMS = 16;
const MAX_ATTRIBUTES = 128;
const MAX_VOUCHERS = 64;

const ACCEPTED = new Set(["sha256", "sha384", "sha512"]);
const CERTIFICATE_VALUES = "1.2.840.113549.1.9.16.2.23";
const REVOCATION_VALUES = "1.2.840.113549.1.9.16.2.24";

/** {chains: [[{oid, lists, token, tokenBytes, whole}]], wholes, beside}. Throws Malformed. */
export function parseRecord(bytes) {
  must(bytes.length >= 1 && bytes.length <= MAX_RECORD, "record");
  const fields = fieldsOf(parseDer(bytes));
  must(bigInteger(fields.required(INTEGER)) === 1n, "version");
  const algorithms = fields.required(SEQUENCE).children;
  must(algorithms.length <= MAX_ALGORITHMS, "algorithms");
  const beside = parseCryptoInfos(fields.maybe(context(0), true));
  fields.optional(context(1));
  const chains = fields.required(SEQUENCE).children;
  must(chains.length >= 1 && chains.length <= MAX_CHAINS, "chains");
  const read = chains.map((chain) => {
    const stamps = expect(chain, SEQUENCE).children;
    must(stamps.length >= 1, "empty chain");
    return stamps.map(parseTimestamp);
  });
  must(read.flat().length <= MAX_TIMESTAMPS, "timestamps");
  return { chains: read, wholes: chains.map((chain) => chain.whole), beside };
}

function parseTimestamp(value) {
  const fields = fieldsOf(value);
  const algorithm = fields.maybe(context(0), true);
  fields.optional(context(1));
  const tree = fields.maybe(context(2), true);
  const content = fields.required(SEQUENCE);
  const token = parseToken(content.whole);
  let oid = token.info.imprintOid;
  if (algorithm !== null) {
    must(algorithm.children.length > 0, "algorithm");
    oid = oidText(expect(algorithm.children[0], OID));
  }
  return { oid, lists: tree === null ? null : parseLists(tree), token, tokenBytes: content.whole };
}

function parseLists(tree) {
  must(tree.children.length >= 1 && tree.children.length <= MAX_LISTS, "lists");
  const lists = tree.children.map((list) => {
    const hashes = expect(list, SEQUENCE).children.map((each) => expect(each, OCTET_STRING).body);
    must(hashes.length >= 1, "empty list");
    must(hashes.every(({ length }) => length >= 1 && length <= MAX_HASH), "hash");
    return hashes;
  });
  must(lists.flat().length <= MAX_HASHES, "hashes");
  return lists;
}

/** Certificates, CRLs and OCSP answers that stand in a record. */
function parseCryptoInfos(value) {
  const beside = { certificates: [], crls: [], ocsps: [] };
  if (value === null) return beside;
  must(value.children.length <= MAX_ATTRIBUTES, "attributes");
  for (const attribute of value.children) {
    const fields = fieldsOf(attribute);
    const type = oidText(fields.required(OID));
    const values = fields.required(SET).children;
    for (const each of values) addInfo(beside, type, each);
  }
  return beside;
}

function append(list, values, wrap = (bytes) => bytes) {
  must(list.length + values.length <= MAX_VOUCHERS, "vouchers");
  for (const { whole } of values) list.push(wrap(whole));
}

function addInfo(beside, type, value) {
  if (type === CERTIFICATE_VALUES && value.tag === SEQUENCE) {
    append(beside.certificates, value.children);
  }
  if (type !== REVOCATION_VALUES || value.tag !== SEQUENCE) return;
  for (const group of value.children) {
    const [list] = group.children ?? [];
    if (list === undefined || list.tag !== SEQUENCE) continue;
    if (group.tag === context(0)) append(beside.crls, list.children);
    if (group.tag === context(1)) append(beside.ocsps, list.children, asResponse);
  }
}

function der(tag, ...parts) {
  const body = Buffer.concat(parts);
  const head = body.length < 0x80 ? [body.length]
    : [0x83, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff];
  const long = body.length >= 0x80 && body.length < 0x100 ? [0x81, body.length]
    : body.length >= 0x100 && body.length < 0x10000 ? [0x82, body.length >> 8, body.length & 0xff]
      : head;
  return Buffer.concat([Buffer.of(tag, ...long), body]);
}

/** An OCSPResponse around a BasicOCSPResponse (RFC 6960, 4.2.1). */
function asResponse(basic) {
  const oid = Buffer.from("06092b0601050507300101", "hex");
  const inner = der(0x30, oid, der(4, basic));
  return der(0x30, Buffer.of(0x0a, 1, 0), der(0xa0, inner));
}

function byHash(a, b) {
  return Buffer.compare(a, b);
}

function joined(node, hashes) {
  return hash(node, ...[...hashes].sort(byHash));
}

/** Each hash that lists can lead to, by the readings that docs/forms.md allows. */
function rootsOf(node, lists) {
  const [first, ...rest] = lists;
  let nodes = listNodes(node, first);
  for (const list of rest) {
    nodes = nodes.flatMap((below) => {
      const held = list.some((each) => each.equals(below));
      return listNodes(node, held ? list : [...list, below]);
    });
    const unique = new Map(nodes.map((each) => [each.toString("hex"), each]));
    nodes = [...unique.values()];
  }
  return nodes;
}

function listNodes(node, hashes) {
  const once = joined(node, hashes);
  return hashes.length === 1 ? [hashes[0], once] : [once];
}

/**
 * Judges a record: {checks, holds, date, worth}.
 *
 * `files` are maps of digests by name, one a file; `group` asks for them and nothing else.
 */
export function judgeRecord(record, files, trust, group = false) {
  const checks = [{ name: "record", outcome: PASSED }];
  const stamps = record.chains.flatMap((chain, j) => chain.map((stamp, k) => ({ stamp, j, k })));
  const judged = stamps.map(({ stamp }) => {
    return judgeToken(stamp.token, (info) => imprintOf(stamp, info), record.beside, trust,
      false);
  });
  stamps.forEach(({ j, k }, i) => {
    const place = `chains[${j}].timestamps[${k}]`;
    const found = judgeStamp(record, j, k, files, group);
    found.push(...tokenChecks(judged[i]));
    found.push({ name: "time", outcome: judgeTime(stamps, judged, i, trust) });
    for (const { name, outcome } of found) checks.push({ name: `${place}.${name}`, outcome });
  });
  const newest = judged[judged.length - 1];
  const ahead = newest.genTime > trust.second + LEEWAY;
  checks.push({ name: "window", outcome: ahead ? UNKNOWN : PASSED });
  const holds = checks.every(({ name, outcome }) => {
    return outcome === PASSED || (name.endsWith(".revocation") && outcome === UNKNOWN);
  });
  const worth = holds ? Math.min(...judged.map((each) => each.worth)) : null;
  return { checks, holds, date: judged[0].date, worth };
}

/** Where there are no lists, the hash that is wanted first is the imprint (judgeStamp). */
function imprintOf(stamp, info) {
  const known = HASHES.get(stamp.oid);
  if (known === undefined || !ACCEPTED.has(known.name)) return UNKNOWN;
  if (info.imprintOid !== stamp.oid) return FAILED;
  if (stamp.lists === null) return PASSED;
  const roots = rootsOf(known.node, stamp.lists);
  return roots.some((root) => root.equals(info.digest)) ? PASSED : FAILED;
}

function tokenChecks(judged) {
  return judged.checks.filter(({ name, outcome }) => name !== "form" || outcome !== PASSED);
}

/** What is asked of a timestamp's algorithm and first list. */
function judgeStamp(record, j, k, files, group) {
  const chain = record.chains[j];
  const stamp = chain[k];
  const known = HASHES.get(stamp.oid);
  const same = stamp.oid === chain[0].oid;
  const accepted = known !== undefined && ACCEPTED.has(known.name);
  const algorithm = !same ? FAILED : accepted ? PASSED : UNKNOWN;
  const checks = [{ name: "algorithm", outcome: algorithm }];
  if (k > 0) {
    checks.push({ name: "previous", outcome: judgePrevious(chain, k, accepted) });
    return checks;
  }
  const options = accepted ? wantedHashes(record, j, files, known) : null;
  const first = stamp.lists === null ? null : stamp.lists[0];
  checks.push({ name: "data", outcome: judgeData(first, options, stamp) });
  if (group) checks.push({ name: "group", outcome: judgeGroup(first, options) });
  return checks;
}

function judgePrevious(chain, k, accepted) {
  if (!accepted) return UNKNOWN;
  const wanted = hash(HASHES.get(chain[k].oid).node, chain[k - 1].tokenBytes);
  const first = chain[k].lists === null ? [chain[k].token.info.digest] : chain[k].lists[0];
  return first.some((each) => each.equals(wanted)) ? PASSED : FAILED;
}

/** The hashes that a first list has to hold: a list for each allowed reading, or null. */
function wantedHashes(record, j, files, known) {
  const digests = files.map((file) => file.get(known.name));
  if (digests.includes(undefined)) return null;
  if (j === 0) return [digests];
  const older = hash(known.node, der(0x30, ...record.wholes.slice(0, j)));
  return [
    digests.map((digest) => hash(known.node, digest, older)),
    digests.map((digest) => joined(known.node, [digest, older])),
  ];
}

function judgeData(first, options, stamp) {
  if (options === null) return UNKNOWN;
  const list = first ?? [stamp.token.info.digest];
  const holds = (wanted) => wanted.every((each) => list.some((other) => other.equals(each)));
  return options.some(holds) ? PASSED : FAILED;
}

function judgeGroup(first, options) {
  if (options === null) return UNKNOWN;
  const isOnly = (wanted) => (first ?? []).every(
    (each) => wanted.some((other) => other.equals(each)),
  );
  return options.some(isOnly) ? PASSED : FAILED;
}

/** Order, and whether what a timestamp rests on was good when the next one was made. */
function judgeTime(stamps, judged, i, trust) {
  const mine = judged[i];
  if (i > 0 && mine.genTime < judged[i - 1].genTime) return FAILED;
  const next = i + 1 < judged.length ? judged[i + 1].genTime : trust.second;
  const lasting = (mine.path ?? []).every(({ notAfter }) => Math.floor(next) <= notAfter);
  const tree = HASHES.get(stamps[i].stamp.oid)?.name;
  const sound = areSound([...mine.methods, ...(tree ? [tree] : [])], next);
  return lasting && sound ? PASSED : UNKNOWN;
}


/** A record by itself: {verdict, checks}. `files` have digests in hex, by name. */
export function verifyRecord(bytes, files, group, trust) {
  const known = files.map((file) => new Map(Object.entries(file).map(([name, hex]) => {
    return [name, Buffer.from(hex, "hex")];
  })));
  const record = orNull(() => parseRecord(bytes));
  if (record === null) {
    return { verdict: "failed", checks: [{ name: "record", outcome: FAILED }] };
  }
  const { checks, holds } = judgeRecord(record, known, trust, group);
  const failed = checks.some(({ outcome }) => outcome === FAILED);
  return { verdict: failed ? "failed" : holds ? "verified" : "undecided", checks };
}
