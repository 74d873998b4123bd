/**
 * Hash trees after RFC 4998, 4.2, and random values that come again with the same seed. Written apart from the contract
 * and from Python.
 */

import { createHash } from "node:crypto";

export type Node = Buffer;

/** `FUZZ_SEED=…` plays other values than every day's. */
export const SEED = process.env.FUZZ_SEED ?? "witnesstree";

export const sha256 = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest();
export const hex = (bytes: Buffer): string => `0x${bytes.toString("hex")}`;

export const parent = (a: Node, b: Node): Node => sha256(Buffer.concat([a, b].sort(Buffer.compare)));

/** The levels of a tree, leaves first; the last level is the root alone. */
export function levels(leaves: Node[]): Node[][] {
  if (leaves.length === 1) return [leaves];
  const above: Node[] = [];
  for (let i = 0; i < leaves.length; i += 2) {
    above.push(i + 1 < leaves.length ? parent(leaves[i], leaves[i + 1]) : leaves[i]);
  }
  return [leaves, ...levels(above)];
}

export const rootOf = (leaves: Node[]): Node => levels(leaves).at(-1)![0];

/** The siblings from the leaf at `position` up to the root; a node without a sibling adds nothing. */
export function pathOf(leaves: Node[], position: number): Node[] {
  return levels(leaves).flatMap((level, height) => {
    const sibling = (position >> height) ^ 1;
    return sibling < level.length && level.length > 1 ? [level[sibling]] : [];
  });
}

/** Deterministic random values: `below(n)` is a number from 0 to n - 1, `bytes32()` a digest. */
export class Random {
  private count = 0;
  private readonly label: string;

  constructor(label: string) {
    this.label = label;
  }

  bytes32(): Buffer {
    return sha256(Buffer.from(`${SEED}/${this.label}/${this.count++}`));
  }

  below(limit: number): number {
    return this.bytes32().readUInt32BE() % limit;
  }

  /** A copy of `node` with one bit flipped. */
  flipped(node: Node): Node {
    const copy = Buffer.from(node);
    copy[this.below(32)] ^= 1 << this.below(8);
    return copy;
  }
}
