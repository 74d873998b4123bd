/**
 * Keccak-256, RLP, block headers and state proofs (docs/proof-format.md, section 7).
 *
 * RLP: Yellow Paper, appendix B. Tries: appendix D. Proofs: EIP-1186.
 */

import { LAST_SECOND } from "./forms.mjs";
import { must } from "./json.mjs";

const MAX_NODE = 532;
const MAX_HEADERS = new Map([[56, 8192], [137, 16384]]);
const DEFAULT_HEADER = 2048;
const UNKNOWN_CHAIN_HEADER = 16384;

/** Chains that this verifier knows, whose contracts see the number of their own block. */
export const OWN_NUMBER = new Set([1, 10, 56, 100, 137, 1030, 8453, 11155111, 1464423502]);
const KNOWN_CHAINS = new Set([...OWN_NUMBER, 42161]);
export const CODE_HASH = "4ed48e2d363496f17f2a2e7289bd82b442a968de2470517f240ed2270a321d28";
export const CONTRACT = "eddd42066a3856a4d9802d91cde4aae4d2cc16d2";

const ROUNDS = [
  0x00000000, 0x00000001, 0x00000000, 0x00008082, 0x80000000, 0x0000808a, 0x80000000, 0x80008000,
  0x00000000, 0x0000808b, 0x00000000, 0x80000001, 0x80000000, 0x80008081, 0x80000000, 0x00008009,
  0x00000000, 0x0000008a, 0x00000000, 0x00000088, 0x00000000, 0x80008009, 0x00000000, 0x8000000a,
  0x00000000, 0x8000808b, 0x80000000, 0x0000008b, 0x80000000, 0x00008089, 0x80000000, 0x00008003,
  0x80000000, 0x00008002, 0x80000000, 0x00000080, 0x00000000, 0x0000800a, 0x80000000, 0x8000000a,
  0x80000000, 0x80008081, 0x80000000, 0x00008080, 0x00000000, 0x80000001, 0x80000000, 0x80008008,
];
const ROTATIONS = [
  0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];
const RATE = 136;

function permute(low, high) {
  const columnLow = new Uint32Array(5);
  const columnHigh = new Uint32Array(5);
  const movedLow = new Uint32Array(25);
  const movedHigh = new Uint32Array(25);
  for (let round = 0; round < 24; round++) {
    for (let x = 0; x < 5; x++) {
      columnLow[x] = low[x] ^ low[x + 5] ^ low[x + 10] ^ low[x + 15] ^ low[x + 20];
      columnHigh[x] = high[x] ^ high[x + 5] ^ high[x + 10] ^ high[x + 15] ^ high[x + 20];
    }
    for (let x = 0; x < 5; x++) {
      const [left, right] = [(x + 4) % 5, (x + 1) % 5];
      const l = columnLow[left] ^ ((columnLow[right] << 1) | (columnHigh[right] >>> 31));
      const h = columnHigh[left] ^ ((columnHigh[right] << 1) | (columnLow[right] >>> 31));
      for (let y = 0; y < 25; y += 5) {
        low[x + y] ^= l;
        high[x + y] ^= h;
      }
    }
    for (let i = 0; i < 25; i++) {
      const x = i % 5;
      const y = (i - x) / 5;
      const to = y + 5 * ((2 * x + 3 * y) % 5);
      let shift = ROTATIONS[i];
      let [l, h] = [low[i], high[i]];
      if (shift >= 32) {
        [l, h] = [h, l];
        shift -= 32;
      }
      movedLow[to] = shift ? (l << shift) | (h >>> (32 - shift)) : l;
      movedHigh[to] = shift ? (h << shift) | (l >>> (32 - shift)) : h;
    }
    for (let y = 0; y < 25; y += 5) {
      for (let x = 0; x < 5; x++) {
        const [next, after] = [y + ((x + 1) % 5), y + ((x + 2) % 5)];
        low[y + x] = movedLow[y + x] ^ (~movedLow[next] & movedLow[after]);
        high[y + x] = movedHigh[y + x] ^ (~movedHigh[next] & movedHigh[after]);
      }
    }
    high[0] ^= ROUNDS[2 * round];
    low[0] ^= ROUNDS[2 * round + 1];
  }
}

/** Ethereum's hash: Keccak with 256 bits, and 0x01 as its padding. */
function keccak(...parts) {
  const message = Buffer.concat(parts);
  const padded = Buffer.alloc((Math.floor(message.length / RATE) + 1) * RATE);
  message.copy(padded);
  padded[message.length] ^= 0x01;
  padded[padded.length - 1] ^= 0x80;
  const low = new Uint32Array(25);
  const high = new Uint32Array(25);
  for (let start = 0; start < padded.length; start += RATE) {
    for (let i = 0; i < RATE / 8; i++) {
      low[i] ^= padded.readUInt32LE(start + 8 * i);
      high[i] ^= padded.readUInt32LE(start + 8 * i + 4);
    }
    permute(low, high);
  }
  const digest = Buffer.alloc(32);
  for (let i = 0; i < 4; i++) {
    digest.writeUInt32LE(low[i], 8 * i);
    digest.writeUInt32LE(high[i], 8 * i + 4);
  }
  return digest;
}

/** One item: {whole, list, body, end}. Lists are not read further. */
function rlpItem(bytes, start, end) {
  must(start < end, "rlp");
  const first = bytes[start];
  const list = first >= 0xc0;
  if (first < 0x80) {
    const byte = bytes.subarray(start, start + 1);
    return { list: false, whole: byte, body: byte, end: start + 1 };
  }
  const short = first - (list ? 0xc0 : 0x80);
  const [begin, length] =
    short <= 55 ? [start + 1, short] : longLength(bytes, start, end, short - 55);
  const stop = begin + length;
  must(stop <= end, "rlp length");
  must(list || length !== 1 || bytes[begin] >= 0x80, "rlp spelling");
  return { list, whole: bytes.subarray(start, stop), body: bytes.subarray(begin, stop), end: stop };
}

function longLength(bytes, start, end, count) {
  must(count <= 6 && start + 1 + count <= end, "rlp length");
  const length = bytes.readUIntBE(start + 1, count);
  must(bytes[start + 1] !== 0 && length > 55, "rlp spelling");
  return [start + 1 + count, length];
}

function rlpOne(bytes) {
  const item = rlpItem(bytes, 0, bytes.length);
  must(item.end === bytes.length, "rlp end");
  return item;
}

function rlpList(item) {
  must(item.list, "rlp list");
  const items = [];
  for (let at = 0; at < item.body.length;) {
    const next = rlpItem(item.body, at, item.body.length);
    items.push(next);
    at = next.end;
  }
  return items;
}

function rlpText(item, least, most) {
  must(item !== undefined && !item.list, "rlp text");
  must(item.body.length >= least && item.body.length <= most, "rlp text length");
  return item.body;
}

function rlpInteger(item, most) {
  const body = rlpText(item, 0, most);
  must(body.length === 0 || body[0] !== 0, "leading zero");
  return body.length === 0 ? 0n : BigInt(`0x${body.toString("hex")}`);
}

export function maxHeader(chainId) {
  if (MAX_HEADERS.has(chainId)) return MAX_HEADERS.get(chainId);
  return KNOWN_CHAINS.has(chainId) ? DEFAULT_HEADER : UNKNOWN_CHAIN_HEADER;
}

/** What is read of a block's header. Number and time are BigInts. Throws Malformed. */
export function parseHeader(bytes) {
  const fields = rlpList(rlpOne(bytes));
  must(fields.length >= 15, "header fields");
  const header = {
    hash: keccak(bytes),
    stateRoot: rlpText(fields[3], 32, 32),
    number: rlpInteger(fields[8], 8),
    time: rlpInteger(fields[11], 8),
  };
  const last = BigInt(LAST_SECOND);
  header.second = Number(header.time > last ? last : header.time);
  return header;
}

function nibbles(bytes) {
  const result = [];
  for (const byte of bytes) result.push(byte >> 4, byte & 15);
  return result;
}

/** A path in hex-prefix encoding (appendix C): its nibbles, and whether it is a leaf's. */
function hexPrefix(item) {
  const encoded = nibbles(rlpText(item, 1, 33));
  const flag = encoded[0];
  must(flag <= 3 && (flag & 1 || encoded[1] === 0), "hex prefix");
  return { leaf: flag >= 2, path: encoded.slice(flag & 1 ? 1 : 2) };
}

/** The value that nodes lead to, from the root down. All of them are used. Throws Malformed. */
function walkTrie(root, keyBytes, nodes) {
  const key = nibbles(keyBytes);
  let used = 0;
  const next = (digest) => {
    must(used < nodes.length, "node missing");
    const node = nodes[used];
    used += 1;
    must(node.length >= 32 || used === 1, "a short node is in its parent");
    must(node.length <= MAX_NODE && keccak(node).equals(digest), "node");
    return rlpOne(node);
  };
  let item = next(root);
  for (;;) {
    const step = descend(item, key);
    if (step.value !== undefined) {
      must(used === nodes.length, "node left over");
      return step.value;
    }
    item = step.child.list ? inlined(step.child) : next(rlpText(step.child, 32, 32));
  }
}

function inlined(child) {
  must(child.whole.length < 32, "node in its parent");
  return child;
}

/** One node: the value at its end, or its child. The key's nibbles are taken off. */
function descend(item, key) {
  const items = rlpList(item);
  if (items.length === 17) return branch(items, key);
  must(items.length === 2, "node form");
  const { leaf, path } = hexPrefix(items[0]);
  const fits = path.every((nibble, i) => nibble === key[i]);
  must(fits && (leaf ? path.length === key.length : path.length > 0), "key");
  key.splice(0, path.length);
  return leaf ? { value: rlpText(items[1], 1, Infinity) } : { child: childOf(items[1]) };
}

function branch(items, key) {
  items.slice(0, 16).forEach((item) => must(isChild(item), "branch"));
  must(!items[16].list && key.length > 0, "branch value");
  const child = items[key.shift()];
  must(child.list || child.body.length > 0, "absent");
  return { child };
}

function isChild(item) {
  return item.list ? item.whole.length < 32 : item.body.length === 0 || item.body.length === 32;
}

function childOf(item) {
  must(isChild(item) && (item.list || item.body.length === 32), "child");
  return item;
}

function parseAccount(bytes) {
  const fields = rlpList(rlpOne(bytes));
  must(fields.length === 4, "account");
  rlpInteger(fields[0], 8);
  rlpInteger(fields[1], 32);
  return { storageRoot: rlpText(fields[2], 32, 32), codeHash: rlpText(fields[3], 32, 32) };
}

/** What the contract holds of a root: code hash, submitter, block number, time. */
export function readSlot(stateRoot, contract, root, account, storage) {
  must(account.length > 0 && storage.length > 0, "nodes");
  const found = parseAccount(walkTrie(stateRoot, keccak(contract), account));
  const slot = keccak(root, Buffer.alloc(32));
  const value = rlpInteger(rlpOne(walkTrie(found.storageRoot, keccak(slot), storage)), 32);
  const time = value & 0xffffffffffffn;
  must(time !== 0n, "time");
  return {
    codeHash: found.codeHash,
    submitter: value >> 96n,
    blockNumber: (value >> 48n) & 0xffffffffffffn,
    time,
  };
}
