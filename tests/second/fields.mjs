/**
 * The members of a proof file (docs/proof-format.md, sections 2 and 10). Throws Malformed.
 *
 * What comes out is a plain object: bytes are Buffers, absent lists are empty, absent objects null.
 */

import { characters, parse0xHex, parseBase64, parseHex, sha256 } from "./forms.mjs";
import { canonical, decodeUtf8, must, parseJson } from "./json.mjs";
import { MAX_SIZE } from "./tree.mjs";

export const MAX_PROOF = 4194304;
const MAX_WITNESSES = 16;
const MAX_PATH = 64;
const MAX_DIGESTS = 8;
const MAX_EXTENSIONS = 16;
const MAX_EXTENSION_ID = 255;
const MAX_RECORD = 1048576;
const MAX_TOKEN = 65536;
const MAX_VOUCHERS = 8;
const MAX_CERTIFICATE = 16384;
const MAX_CRL = 524288;
const MAX_OCSP = 32768;
const MAX_HEADER = 16384;
const MAX_NODES = 64;
const MAX_NODE_READ = 1024;
const MAX_TEXT = 8192;
const MAX_CHECKPOINT = 131072;
const MAX_CHANGES = 256;
const MAX_KEY_NOTE = 8192;
const MAX_HINT = 1024;
const MAX_LINKS = 64;

const DIGEST_NAME = /^[a-z0-9_]{1,32}$/;

/** Reads members by their names; the rest is refused. */
class Members {
  constructor(value) {
    must(value instanceof Map, "object");
    this.values = value;
    this.known = new Set();
  }

  /** The value by its reader, or undefined if it is absent. */
  optional(name, read) {
    this.known.add(name);
    if (!this.values.has(name)) return undefined;
    return read(this.values.get(name));
  }

  required(name, read) {
    must(this.values.has(name), name);
    return this.optional(name, read);
  }

  object(name, read) {
    return this.optional(name, (value) => {
      must(value instanceof Map, "object");
      return read(value);
    }) ?? null;
  }

  list(name, most, read) {
    return this.optional(name, (value) => list(value, most, read)) ?? [];
  }

  end() {
    for (const name of this.values.keys()) must(this.known.has(name), "member");
  }
}

function members(value, read) {
  const fields = new Members(value);
  const result = read(fields);
  fields.end();
  return result;
}

function list(value, most, read) {
  must(Array.isArray(value) && value.length <= most, "list");
  return value.map(read);
}

function number(value) {
  must(typeof value === "number" && value >= 0, "number");
  return value;
}

function numberFrom(least) {
  return (value) => {
    must(number(value) >= least, "number");
    return value;
  };
}

function text(most) {
  return (value) => {
    must(typeof value === "string" && characters(value) <= most, "text");
    return value;
  };
}

function format(value) {
  must(value === "witnesstree-proof/1", "format");
  return value;
}

const digest32 = (value) => parseHex(value, 32);
const hash32 = (value) => parse0xHex(value, 32);
const bytesTo = (most) => (value) => parseBase64(value, 1, most);
const hexTo = (most) => (value) => parse0xHex(value, 1, most);
const path = (value) => list(value, MAX_PATH, digest32);

/** The proof that the bytes of a file are. Throws Malformed. */
export function parseProof(bytes) {
  must(bytes.length <= MAX_PROOF, "size");
  const value = parseJson(decodeUtf8(bytes));
  const proof = members(value, readProof);
  const witnesses = proof.tokens.length + proof.anchors.length + proof.records.length;
  const needs = witnesses > 0 || proof.opening !== null || proof.log !== null;
  must(proof.inclusion !== null || !needs, "inclusion");
  const rest = new Map(value);
  rest.delete("checksum");
  must(sha256(canonical(rest)).equals(proof.checksum), "checksum");
  proof.value = value;
  return proof;
}

function readProof(fields) {
  const proof = {
    format: fields.required("format", format),
    digest: fields.required("digest", digest32),
    inclusion: fields.object("inclusion", (value) => members(value, readInclusion)),
    opening: fields.object("opening", (value) => members(value, readOpening)),
    digests: fields.object("digests", readDigests) ?? new Map(),
    fileTokens: fields.list("file_tokens", MAX_WITNESSES, readToken),
    extensions: fields.list("extensions", MAX_EXTENSIONS, readExtension),
    records: fields.list("records", MAX_WITNESSES, bytesTo(MAX_RECORD)),
    log: fields.object("log", (value) => members(value, readLog)),
    checksum: fields.required("checksum", digest32),
  };
  proof.tokens = fields.required("tokens", (value) => list(value, MAX_WITNESSES, readToken));
  proof.anchors = fields.required("anchors", (value) => list(value, MAX_WITNESSES, readAnchor));
  fields.required("hints", (value) => members(value, readHints));
  const ids = proof.extensions.map(({ id }) => id);
  must(new Set(ids).size === ids.length, "extension twice");
  return proof;
}

function readInclusion(fields) {
  const inclusion = {
    position: fields.required("position", number),
    size: fields.required("size", numberFrom(1)),
    root: fields.required("root", digest32),
    path: fields.required("path", path),
  };
  must(inclusion.size <= MAX_SIZE && inclusion.position < inclusion.size, "position");
  return inclusion;
}

function readOpening(fields) {
  return {
    record: fields.required("record", text(MAX_TEXT)),
    path: fields.required("path", path),
    header: fields.optional("header", hexTo(MAX_HEADER)) ?? null,
  };
}

function readDigests(value) {
  must(value.size <= MAX_DIGESTS, "digests");
  const result = new Map();
  for (const [name, digest] of value) {
    must(DIGEST_NAME.test(name) && name !== "sha256", "digest name");
    result.set(name, parseHex(digest, 1, 64));
  }
  return result;
}

function readToken(value) {
  return members(value, (fields) => ({
    token: fields.required("token", bytesTo(MAX_TOKEN)),
    certificates: fields.list("certificates", MAX_VOUCHERS, bytesTo(MAX_CERTIFICATE)),
    crls: fields.list("crls", MAX_VOUCHERS, bytesTo(MAX_CRL)),
    ocsps: fields.list("ocsps", MAX_VOUCHERS, bytesTo(MAX_OCSP)),
  }));
}

function readExtension(value) {
  return members(value, (fields) => ({
    id: fields.required("id", text(MAX_EXTENSION_ID)),
    value: fields.required("value", (any) => any),
    critical: fields.optional("critical", (flag) => {
      must(typeof flag === "boolean", "critical");
      return flag;
    }) ?? false,
  }));
}

function readAnchor(value) {
  return members(value, (fields) => ({
    chainId: fields.required("chain_id", numberFrom(1)),
    contract: fields.required("contract", (hex) => parse0xHex(hex, 20)),
    transaction: fields.optional("transaction", hash32),
    block: fields.required("block", (block) => members(block, readBlock)),
    state: fields.object("state", (state) => members(state, readState)),
  }));
}

function readBlock(fields) {
  return { number: fields.required("number", number), hash: fields.required("hash", hash32) };
}

function readState(fields) {
  const nodes = (value) => list(value, MAX_NODES, hexTo(MAX_NODE_READ));
  return {
    header: fields.required("header", hexTo(MAX_HEADER)),
    account: fields.required("account", nodes),
    storage: fields.required("storage", nodes),
  };
}

function readLog(fields) {
  return {
    statement: fields.required("statement", text(MAX_TEXT)),
    index: fields.required("index", number),
    path: fields.required("path", path),
    checkpoint: fields.required("checkpoint", text(MAX_CHECKPOINT)),
    keys: fields.list("keys", MAX_CHANGES, text(MAX_KEY_NOTE)),
  };
}

function readHints(fields) {
  fields.optional("name", text(MAX_HINT));
  fields.optional("size", number);
  fields.optional("cid", text(MAX_HINT));
  fields.list("links", MAX_LINKS, text(MAX_HINT));
}
