/** Anchors (docs/proof-format.md, section 7). */

import { CODE_HASH, CONTRACT, OWN_NUMBER, maxHeader, parseHeader, readSlot } from "./chain.mjs";
import { LAST_SECOND } from "./forms.mjs";
import { orNull } from "./json.mjs";
import { isChainNamed, judgeCanonical } from "./trust.mjs";

const [LOCAL, PRIVATE, PUBLIC] = [0, 1, 2];
const PUBLIC_CHAINS = new Set([1, 10, 56, 100, 137, 1030, 8453, 42161]);
const EMBEDDED_CHAIN = 1464423502;

/** A header against the block that it should be: {outcome, header}. */
export function judgeHeader(bytes, chainId, block) {
  if (bytes.length > maxHeader(chainId)) return { outcome: "unknown", header: null };
  const header = orNull(() => parseHeader(bytes));
  const right = header !== null && header.hash.equals(block.hash) &&
    header.number === BigInt(block.number);
  return right ? { outcome: "passed", header } : { outcome: "failed", header: null };
}

/** {checks, holds, date, worth} of one anchor. */
export function judgeAnchor(anchor, root, trust) {
  const checks = [];
  const { chainId, block } = anchor;
  const judged = anchor.state === null ? null : judgeState(anchor, root, checks);
  if (anchor.state === null) checks.push({ name: "state", outcome: "unknown" });
  const canonical = judgeCanonical(trust, chainId, block.number, block.hash);
  checks.push({ name: "canonical", outcome: canonical });
  const holds = checks.every(({ outcome }) => outcome === "passed");
  return { checks, holds, date: holds ? judged : null, worth: worthOf(chainId, block, trust) };
}

/** Adds the checks up to the first that is not PASSED. Returns the date that the anchor proves. */
function judgeState(anchor, root, checks) {
  const { state, chainId } = anchor;
  const { outcome, header } = judgeHeader(state.header, chainId, anchor.block);
  checks.push({ name: "block", outcome });
  if (outcome !== "passed") return null;
  const slot = orNull(
    () => readSlot(header.stateRoot, anchor.contract, root, state.account, state.storage),
  );
  checks.push({ name: "state", outcome: slot === null ? "failed" : "passed" });
  if (slot === null) return null;
  const good = isOurContract(slot, header, chainId);
  checks.push({ name: "contract", outcome: good ? "passed" : "failed" });
  if (anchor.contract.toString("hex") !== CONTRACT) return header.second;
  return Math.min(Number(slot.time), LAST_SECOND);
}

function isOurContract(slot, header, chainId) {
  const numbered = !OWN_NUMBER.has(chainId) || slot.blockNumber <= header.number;
  return slot.codeHash.toString("hex") === CODE_HASH && slot.time <= header.time && numbered;
}

/** Section 8, "Assurance", rule 3. */
function worthOf(chainId, block, trust) {
  if (chainId === EMBEDDED_CHAIN) return LOCAL;
  const named = isChainNamed(trust, chainId, block.number, block.hash);
  return PUBLIC_CHAINS.has(chainId) && named ? PUBLIC : PRIVATE;
}
