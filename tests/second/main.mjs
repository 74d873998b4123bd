/**
 * Judges cases from standard input, one JSON object a line, and writes one line for each.
 *
 *     node tests/second/main.mjs < cases.ndjson
 *
 * A case has `id` and `kind`, which is "proof" where it is absent:
 *
 * - proof: `bytes` (base64), `digest`, `now`, `require`, `trust`, `digests` as in
 *   tests/vectors/proof/proof.json. Answer: `verdict`, `checks` (name, outcome, required, in their
 *   order), `window` (not_before, not_after, not_after_token, not_after_anchor, file_not_after) and
 *   `assurance`, null where there is none.
 * - token: `bytes` of a TimeStampToken, `digest`, `now`, `trust`, and `certificates`, `crls`,
 *   `ocsps` (base64) that stand beside it. Answer: `checks`.
 * - record: `bytes` of an EvidenceRecord, `files` (digests by name, for each file), `group`, `now`,
 *   `trust`. Answer: `verdict` and `checks`.
 * - bundle: `bytes`. Answer: `verdict`, which is sound, unsound or refused.
 * - note: `note`, `key` (a vkey). Answer: `verdict`: verifies, refused or invalid.
 *
 * What goes wrong inside is told as `error`, and is a fault of this program.
 */

import { createInterface } from "node:readline";
import { isSound, parseBundle } from "./bundle.mjs";
import { orNull } from "./json.mjs";
import { parseCheckpoint, parseKey, signedBy } from "./note.mjs";
import { verifyProof } from "./proof.mjs";
import { verifyRecord } from "./record.mjs";
import { imprintIs, judgeToken, parseToken } from "./token.mjs";
import { readTrust } from "./trust.mjs";

const decode = (text) => Buffer.from(text, "base64");
const trusts = new Map();

/** Trust is read once for all cases that give the same. */
function trustOf(one) {
  const question = { ...one, digest: one.digest ?? "" };
  const { trust, now, digest, digests } = question;
  const key = JSON.stringify([trust, now, digest, digests]);
  if (!trusts.has(key)) {
    if (trusts.size > 1000) trusts.clear();
    trusts.set(key, readTrust(question));
  }
  return trusts.get(key);
}

const KINDS = {
  proof: (one) => verifyProof(decode(one.bytes), one.require ?? "both", trustOf(one)),
  token: (one) => {
    const beside = Object.fromEntries(["certificates", "crls", "ocsps"].map((name) => {
      return [name, (one[name] ?? []).map(decode)];
    }));
    const trust = trustOf(one);
    const token = orNull(() => parseToken(decode(one.bytes)));
    return { checks: judgeToken(token, imprintIs(trust.digest), beside, trust).checks };
  },
  record: (one) => verifyRecord(decode(one.bytes), one.files, one.group ?? false, trustOf(one)),
  bundle: (one) => {
    const bundle = orNull(() => parseBundle(decode(one.bytes)));
    if (bundle === null) return { verdict: "refused" };
    return { verdict: isSound(bundle) ? "sound" : "unsound" };
  },
  note: (one) => {
    const checkpoint = orNull(() => parseCheckpoint(one.note));
    if (checkpoint === null) return { verdict: "invalid" };
    const key = parseKey(one.key);
    const signed = key.name === checkpoint.origin && signedBy(checkpoint, key);
    return { verdict: signed ? "verifies" : "refused" };
  },
};

function answer(line) {
  let id = null;
  try {
    const one = JSON.parse(line);
    ({ id } = one);
    return { id, ...KINDS[one.kind ?? "proof"](one) };
  } catch (error) {
    return { id, error: String(error.stack ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line.trim() !== "") process.stdout.write(`${JSON.stringify(answer(line))}\n`);
}
