/**
 * A strict reader of JSON, and the canonical form (docs/proof-format.md, sections 1 and 2).
 *
 * Objects become Maps, and numbers are whole. Grammar: RFC 8259. Canonical form: RFC 8785.
 */

const MAX_DEPTH = 32;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const NUMBER = /-?[0-9][0-9.eE+-]*/y;
const WHOLE = /^-?(0|[1-9][0-9]*)$/;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;

/** The input breaks a rule of form. */
export class Malformed extends Error {}

export function must(condition, what) {
  if (!condition) throw new Malformed(what);
}

/** The value of a function, or null where its input is malformed. */
export function orNull(read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

/** The text of UTF-8 bytes. A byte order mark is kept. Throws Malformed. */
export function decodeUtf8(bytes) {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new Malformed("utf-8");
  }
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return null;
    this.at = pattern.lastIndex;
    return found[0];
  }

  space() {
    this.match(SPACE);
  }

  take(literal) {
    if (!this.text.startsWith(literal, this.at)) return false;
    this.at += literal.length;
    return true;
  }

  value(depth) {
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.list(depth);
    if (first === '"') return this.string();
    if (this.take("true")) return true;
    if (this.take("false")) return false;
    if (this.take("null")) return null;
    return this.number();
  }

  number() {
    const text = this.match(NUMBER);
    must(text !== null && WHOLE.test(text) && text !== "-0", "number");
    const number = Number(text);
    must(Number.isSafeInteger(number), "number");
    return number;
  }

  string() {
    this.at += 1;
    let result = "";
    for (;;) {
      result += this.match(PLAIN);
      const next = this.text[this.at];
      this.at += 1;
      if (next === '"') break;
      must(next === "\\", "text");
      result += this.escape();
    }
    must(result.isWellFormed(), "surrogate");
    return result;
  }

  escape() {
    const kind = this.text[this.at];
    this.at += 1;
    if (kind === "u") {
      const digits = this.text.slice(this.at, this.at + 4);
      must(/^[0-9a-fA-F]{4}$/.test(digits), "escape");
      this.at += 4;
      return String.fromCharCode(parseInt(digits, 16));
    }
    must(kind !== undefined && Object.hasOwn(ESCAPES, kind), "escape");
    return ESCAPES[kind];
  }

  list(depth) {
    must(depth <= MAX_DEPTH, "depth");
    const result = [];
    this.at += 1;
    this.space();
    if (this.take("]")) return result;
    for (;;) {
      this.space();
      result.push(this.value(depth + 1));
      this.space();
      if (this.take("]")) return result;
      must(this.take(","), "list");
    }
  }

  object(depth) {
    must(depth <= MAX_DEPTH, "depth");
    const result = new Map();
    this.at += 1;
    this.space();
    if (this.take("}")) return result;
    for (;;) {
      this.space();
      must(this.text[this.at] === '"', "member");
      const name = this.string();
      must(!result.has(name), "member twice");
      this.space();
      must(this.take(":"), "member");
      this.space();
      result.set(name, this.value(depth + 1));
      this.space();
      if (this.take("}")) return result;
      must(this.take(","), "object");
    }
  }
}

/** The value of a JSON text. Throws Malformed. */
export function parseJson(text) {
  const reader = new Reader(text);
  reader.space();
  const value = reader.value(1);
  reader.space();
  must(reader.at === text.length, "end");
  return value;
}

/** RFC 8785. JSON.stringify writes texts and whole numbers as it asks. */
export function canonical(value) {
  if (value instanceof Map) {
    const names = [...value.keys()].sort();
    const members = names.map((name) => `${JSON.stringify(name)}:${canonical(value.get(name))}`);
    return `{${members.join(",")}}`;
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  return JSON.stringify(value);
}
