/**
 * Evidence records (RFC 4998; docs/proof-format.md, section 6, "Records"; docs/forms.md, "Records
 * of others").
 */

import {
  INTEGER, OCTET_STRING, OID, SEQUENCE, SET, algorithmOf, bigInteger, context, expect, fieldsOf,
  oidText, parseDer,
} from "./asn1.mjs";
import { hash } from "./forms.mjs";
import { Malformed, must } from "./json.mjs";
import { HASHES, areSound } from "./methods.mjs";
import { judgeToken, parseToken, restsOnUp } from "./token.mjs";
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

const CERTIFICATE_VALUES = "1.2.840.113549.1.9.16.2.23";
const REVOCATION_VALUES = "1.2.840.113549.1.9.16.2.24";

/** A record has more of something than is judged. */
class OverLimit extends Error {}

/** {record, outcome}: record is null where it is malformed (FAILED) or beyond a limit (UNKNOWN). */
export function readRecord(bytes) {
  try {
    return { record: parseRecord(bytes), outcome: PASSED };
  } catch (error) {
    if (error instanceof Malformed) return { record: null, outcome: FAILED };
    if (error instanceof OverLimit) return { record: null, outcome: UNKNOWN };
    throw error;
  }
}

function limit(count, most) {
  if (count > most) throw new OverLimit();
}

/** One at least, and at most so many. */
function some(values, most) {
  limit(values.length, most);
  must(values.length >= 1, "none");
  return values;
}

/** {chains: [[{oid, lists, token, tokenBytes}]], wholes, beside}. */
function parseRecord(bytes) {
  limit(bytes.length, MAX_RECORD);
  const fields = fieldsOf(parseDer(bytes));
  must(bigInteger(fields.required(INTEGER)) === 1n, "version");
  const algorithms = fields.required(SEQUENCE).children;
  const infos = fields.maybe(context(0), true);
  fields.maybe(context(1), true);
  const sequence = fields.required(SEQUENCE).children;
  fields.end();
  some(algorithms, MAX_ALGORITHMS).forEach(algorithmOf);
  const chains = some(sequence, MAX_CHAINS);
  const stamps = chains.map((chain) => expect(chain, SEQUENCE).children);
  limit(stamps.flat().length, MAX_TIMESTAMPS);
  const read = stamps.map((chain) => some(chain, MAX_TIMESTAMPS).map(parseTimestamp));
  return { chains: read, wholes: chains.map(({ whole }) => whole), beside: parseCryptoInfos(infos) };
}

function parseTimestamp(value) {
  const fields = fieldsOf(value);
  const algorithm = fields.maybe(context(0), true);
  fields.maybe(context(1), true);
  const tree = fields.maybe(context(2), true);
  const content = fields.required(SEQUENCE);
  fields.end();
  const token = parseToken(content.whole);
  let oid = token.info.imprintOid;
  if (algorithm !== null) {
    must(algorithm.children.length > 0, "algorithm");
    oid = oidText(expect(algorithm.children[0], OID));
  }
  return { oid, lists: tree === null ? null : parseLists(tree), token, tokenBytes: content.whole };
}

function parseLists(tree) {
  const lists = some(tree.children, MAX_LISTS).map((list) => expect(list, SEQUENCE).children);
  limit(lists.flat().length, MAX_HASHES);
  return lists.map((list) => {
    const hashes = list.map((each) => expect(each, OCTET_STRING).body);
    must(hashes.length >= 1, "empty list");
    must(hashes.every(({ length }) => length >= 1 && length <= MAX_HASH), "hash");
    return hashes;
  });
}

/** Certificates, CRLs and OCSP answers that stand in a record. */
function parseCryptoInfos(value) {
  const beside = { certificates: [], crls: [], ocsps: [] };
  if (value === null) return beside;
  for (const attribute of some(value.children, MAX_ATTRIBUTES)) {
    const fields = fieldsOf(attribute);
    const type = oidText(fields.required(OID));
    const values = fields.required(SET).children;
    fields.end();
    for (const each of values) addInfo(beside, type, each);
  }
  return beside;
}

function append(list, values, wrap = (bytes) => bytes) {
  limit(list.length + values.length, MAX_VOUCHERS);
  for (const { whole } of values) list.push(wrap(whole));
}

function addInfo(beside, type, value) {
  if (type === CERTIFICATE_VALUES) append(beside.certificates, expect(value, SEQUENCE).children);
  if (type !== REVOCATION_VALUES) return;
  const fields = fieldsOf(value);
  const [crls, ocsps] = [fields.explicit(0), fields.explicit(1)];
  fields.explicit(2);
  fields.end();
  if (crls !== null) append(beside.crls, expect(crls, SEQUENCE).children);
  if (ocsps !== null) append(beside.ocsps, expect(ocsps, SEQUENCE).children, asResponse);
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

/** Each hash that lists can lead to: a reading of docs/forms.md is that of the whole tree. */
function rootsOf(node, lists) {
  const readings = [false, true];
  return readings.flatMap((once) => readings.map((stored) => rootBy(node, lists, once, stored)));
}

/** `once`: a first list of one hash is hashed; `stored`: the node from below stands in a list. */
function rootBy(node, [first, ...rest], once, stored) {
  const start = first.length === 1 && !once ? first[0] : joined(node, first);
  return rest.reduce((below, list) => {
    const held = stored && list.length > 1 && list.some((each) => each.equals(below));
    return joined(node, held ? list : [...list, below]);
  }, start);
}

/**
 * Judges a record: {checks, holds, date, worth}.
 *
 * `files` are maps of digests by name, one a file; `group` asks for them and nothing else.
 */
export function judgeRecord(record, files, trust, group = false) {
  const stamps = record.chains.flatMap((chain, j) => chain.map((stamp, k) => ({ stamp, j, k })));
  const found = stamps.map((place, i) => {
    const previous = i === 0 ? null : stamps[i - 1].stamp.token.info.genTime;
    const next = i + 1 < stamps.length ? stamps[i + 1].stamp.token.info.genTime : trust.second;
    return judgeStamp(record, place, { files, group, trust, previous, next });
  });
  const checks = [{ name: "record", outcome: PASSED }, ...found.flatMap((each) => each.checks)];
  const { genTime } = stamps[stamps.length - 1].stamp.token.info;
  if (genTime > trust.second + LEEWAY) checks.push({ name: "window", outcome: UNKNOWN });
  else if (found[0].holds) checks.push({ name: "window", outcome: PASSED });
  const holds = found.every((each) => each.holds) && checks.every(isGood);
  const worth = holds ? Math.min(...found.map((each) => each.worth)) : null;
  return { checks, holds, date: stamps[0].stamp.token.info.date, worth };
}

function isGood({ name, outcome }) {
  return outcome === PASSED || (name.endsWith("revocation") && outcome === UNKNOWN);
}

/** One archive timestamp: {checks, holds, worth}. */
function judgeStamp(record, { stamp, j, k }, asked) {
  const algorithm = judgeAlgorithm(record.chains[j][0], stamp);
  const found = [{ name: "algorithm", outcome: algorithm }];
  let worth = null;
  if (algorithm === PASSED) {
    found.push(...judgeFirstList(record, j, k, asked));
    const judged = judgeToken(
      stamp.token, (info) => imprintOf(stamp, info), record.beside, asked.trust, false,
    );
    found.push(...judged.checks, { name: "time", outcome: judgeTime(judged, asked) });
    ({ worth } = judged);
  }
  const place = `chains[${j}].timestamps[${k}]`;
  const checks = found.map(({ name, outcome }) => ({ name: `${place}.${name}`, outcome }));
  return { checks, holds: checks.every(isGood), worth };
}

function judgeAlgorithm(first, stamp) {
  if (stamp.oid !== first.oid) return FAILED;
  return HASHES.has(stamp.oid) ? PASSED : UNKNOWN;
}

/** Without lists, what the imprint is for is compared by `data` or `previous`. */
function imprintOf(stamp, info) {
  if (info.imprintOid !== stamp.oid) return FAILED;
  if (stamp.lists === null) return PASSED;
  const roots = rootsOf(HASHES.get(stamp.oid).node, stamp.lists);
  return roots.some((root) => root.equals(info.digest)) ? PASSED : FAILED;
}

function judgeFirstList(record, j, k, { files, group }) {
  const chain = record.chains[j];
  const { node, name } = HASHES.get(chain[k].oid);
  const first = chain[k].lists === null ? [chain[k].token.info.digest] : chain[k].lists[0];
  const holds = (wanted) => wanted.every((each) => first.some((other) => other.equals(each)));
  if (k > 0) {
    const held = holds([hash(node, chain[k - 1].tokenBytes)]);
    return [{ name: "previous", outcome: held ? PASSED : FAILED }];
  }
  const options = wantedHashes(record, j, files, { node, name });
  if (options === null) return [{ name: "data", outcome: UNKNOWN }];
  const held = options.find(holds);
  const checks = [{ name: "data", outcome: held === undefined ? FAILED : PASSED }];
  if (!group) return checks;
  const wanted = held ?? options[0];
  const alone = first.every((each) => wanted.some((other) => other.equals(each)));
  return [...checks, { name: "group", outcome: alone ? PASSED : FAILED }];
}

/** The hashes that a first list has to hold: a list for each allowed reading, or null. */
function wantedHashes(record, j, files, { node, name }) {
  const digests = files.map((file) => file.get(name));
  if (digests.length === 0 || digests.includes(undefined)) return null;
  if (j === 0) return [digests];
  const older = hash(node, der(0x30, ...record.wholes.slice(0, j)));
  return [
    digests.map((digest) => hash(node, digest, older)),
    digests.map((digest) => joined(node, [digest, older])),
  ];
}

/** Order, and whether what a timestamp rests on was good when the next one was made. */
function judgeTime(judged, { previous, next }) {
  if (previous !== null && judged.genTime < previous) return FAILED;
  const rests = restsOnUp(judged);
  if (rests === null) return UNKNOWN;
  const lasting = rests.path.every(({ notAfter }) => next < notAfter);
  return lasting && areSound(rests.methods, next) ? PASSED : UNKNOWN;
}

/** A record by itself: {verdict, checks}. `files` have digests in hex, by name. */
export function verifyRecord(bytes, files, group, trust) {
  const known = files.map((file) => new Map(Object.entries(file).map(([name, hex]) => {
    return [name, Buffer.from(hex, "hex")];
  })));
  const { record, outcome } = readRecord(bytes);
  if (record === null) {
    const verdict = outcome === FAILED ? "failed" : "undecided";
    return { verdict, checks: [{ name: "record", outcome }] };
  }
  const { checks, holds } = judgeRecord(record, known, trust, group);
  const failed = checks.some((check) => check.outcome === FAILED);
  return { verdict: failed ? "failed" : holds ? "verified" : "undecided", checks };
}
