/** What a verifier trusts and knows (docs/proof-format.md, section 8, "Input"). */

import { parseTime } from "./forms.mjs";
import { parseKey, parseKeyNote } from "./note.mjs";
import { readCertificate } from "./x509.mjs";

export const WORTHS = ["local", "private", "public"];
export const LEEWAY = 600;

/**
 * Roots with what they are worth (the lower where one is named twice), block hashes, checkpoint
 * keys, key notes, the clock in seconds, and digests of the file by name.
 */
export function readTrust(question) {
  const given = question.trust ?? {};
  const roots = new Map();
  for (const { certificate, assurance } of given.roots ?? []) {
    const root = readCertificate(Buffer.from(certificate, "base64"));
    if (root === null) continue;
    const worth = WORTHS.indexOf(assurance ?? "private");
    roots.set(root, Math.min(worth, roots.get(root) ?? worth));
  }
  const others = (given.certificates ?? []).map((each) => {
    return readCertificate(Buffer.from(each, "base64"));
  });
  const digests = new Map(Object.entries(question.digests ?? {}).map(([name, hex]) => {
    return [name, Buffer.from(hex, "hex")];
  }));
  const digest = Buffer.from(question.digest, "hex");
  digests.set("sha256", digest);
  return {
    digest,
    digests,
    second: parseTime(question.now),
    roots,
    pool: [...roots.keys(), ...others.filter((each) => each !== null)],
    blocks: given.blocks ?? [],
    keys: (given.checkpoint_keys ?? []).map((text) => parseKey(text)),
    notes: (given.key_notes ?? []).map((text) => parseKeyNote(text)),
  };
}

/** Whether a block is part of its chain, as far as the verifier knows (section 7, step 4). */
export function judgeCanonical(trust, chainId, number, hash) {
  const hex = `0x${hash.toString("hex")}`;
  const onChain = trust.blocks.filter(({ chain_id: id }) => id === chainId);
  if (onChain.some((block) => block.number === number && block.hash !== hex)) return "failed";
  const known = trust.blocks.some((block) => isSameBlock(block, chainId, number, hex));
  return known ? "passed" : "unknown";
}

/** A block counts if it has this hash, and this chain and number where it has any. */
function isSameBlock(block, chainId, number, hex) {
  return block.hash === hex && (block.chain_id ?? chainId) === chainId &&
    (block.number ?? number) === number;
}

/** Whether a trusted block that counts says of which chain it is. */
export function isChainNamed(trust, chainId, number, hash) {
  const hex = `0x${hash.toString("hex")}`;
  return trust.blocks.some((block) => {
    return isSameBlock(block, chainId, number, hex) && block.chain_id === chainId;
  });
}
