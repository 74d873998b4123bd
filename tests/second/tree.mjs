/** Trees of batches (docs/proof-format.md, section 3) and of the log (RFC 9162, 2.1). */

import { sha256 } from "./forms.mjs";

export const MAX_SIZE = 2 ** 48;

const ZERO = Buffer.of(0);
const ONE = Buffer.of(1);

/** The parent of two nodes of a batch: the lesser first. */
function pair(a, b) {
  return Buffer.compare(a, b) <= 0 ? sha256(a, b) : sha256(b, a);
}

export function pathLength(position, size) {
  let length = 0;
  while (size > 1) {
    const sibling = position % 2 === 0 ? position + 1 : position - 1;
    if (sibling < size) length += 1;
    position = Math.floor(position / 2);
    size = Math.floor((size + 1) / 2);
  }
  return length;
}

function pathRoot(leaf, path) {
  return path.reduce(pair, leaf);
}

export function leadsTo(leaf, position, size, path, root) {
  return path.length === pathLength(position, size) && pathRoot(leaf, path).equals(root);
}

/** The next level of a batch's tree. An odd last node moves up. */
export function levelAbove(nodes) {
  const above = [];
  for (let i = 0; i + 1 < nodes.length; i += 2) above.push(pair(nodes[i], nodes[i + 1]));
  if (nodes.length % 2 === 1) above.push(nodes[nodes.length - 1]);
  return above;
}

export function batchRoot(leaves) {
  let level = leaves;
  while (level.length > 1) level = levelAbove(level);
  return level[0];
}

export function batchPath(leaves, position) {
  const path = [];
  let level = leaves;
  while (level.length > 1) {
    const sibling = level[position ^ 1];
    if (sibling) path.push(sibling);
    level = levelAbove(level);
    position >>= 1;
  }
  return path;
}

export function logLeaf(entry) {
  return sha256(ZERO, entry);
}

export function logNode(left, right) {
  return sha256(ONE, left, right);
}

export const EMPTY_LOG = sha256();

/** RFC 9162, 2.1.3.2. Index and size are BigInts. */
export function logIncludes(leaf, index, size, path, root) {
  if (index >= size) return false;
  let fn = index;
  let sn = size - 1n;
  let node = leaf;
  for (const sibling of path) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      node = logNode(sibling, node);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      node = logNode(node, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && node.equals(root);
}

/** RFC 9162, 2.1.4.2. Sizes are BigInts, the first at least 1. */
export function logContinues(first, second, firstRoot, secondRoot, path) {
  if (first === second) return path.length === 0 && firstRoot.equals(secondRoot);
  if (first < 1n || first > second || path.length === 0) return false;
  const nodes = (first & (first - 1n)) === 0n ? [firstRoot, ...path] : [...path];
  let fn = first - 1n;
  let sn = second - 1n;
  while (fn & 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let older = nodes[0];
  let newer = nodes[0];
  for (const node of nodes.slice(1)) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      older = logNode(node, older);
      newer = logNode(node, newer);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      newer = logNode(newer, node);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && older.equals(firstRoot) && newer.equals(secondRoot);
}

/** The root of a log (RFC 9162, 2.1.1). */
export function logRoot(leaves) {
  if (leaves.length === 0) return EMPTY_LOG;
  if (leaves.length === 1) return leaves[0];
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return logNode(logRoot(leaves.slice(0, left)), logRoot(leaves.slice(left)));
}
