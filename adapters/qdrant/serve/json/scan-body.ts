import { isUtf8 } from 'node:buffer';
import { NumberReader } from './number-reader.js';

/** Bytes `start` (included) to `end` (excluded) of a body. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface JsonEntry {
  /** The key with resolved escapes. */
  readonly key: string;
  /** Offset of the key's opening quote. */
  readonly start: number;
  readonly value: JsonNode;
}

export interface JsonObjectNode extends Span {
  readonly kind: 'object';
  readonly entries: readonly JsonEntry[];
}

/** An array of numbers only, or an empty array, as float32. */
export interface JsonNumbersNode extends Span {
  readonly kind: 'numbers';
  readonly values: Float32Array;
}

export type JsonNode =
  | JsonObjectNode
  | JsonNumbersNode
  | (Span & { readonly kind: 'array'; readonly items: readonly JsonNode[] })
  /** `skipped`: validated, but not read. */
  | (Span & { readonly kind: 'string' | 'number' | 'true' | 'false' | 'null' | 'skipped' });

/** Thrown for a body that is no JSON, with the server's words. */
export class JsonError extends Error {}

/** The server's limit of nesting. */
const DEPTH_MAX = 127;
const NO_VALUES = new Float32Array(0);
const LITERALS = { true: Buffer.from('true'), false: Buffer.from('false'), null: Buffer.from('null') };
/** Keys whose objects have names that users choose as keys. */
const NAME_MAPS: ReadonlySet<string> = new Set(['vector', 'vectors']);
/** Keys whose values never hold a vector of a request. */
const SKIPPED: ReadonlySet<string> = new Set(['payload', 'payloads', 'filter', 'update_filter']);

/**
 * Returns the places of the values in a body, after validating it as JSON (RFC 8259, UTF-8) in one pass.
 * Payloads and filters are only validated.
 * @throws JsonError
 */
export function scanJson(bytes: Uint8Array): JsonNode {
  return new Scanner(bytes).document();
}

class Scanner {
  readonly #bytes: Buffer;
  #at = 0;
  #depth = 0;
  /** Buffer for the numbers of an array that is read in parts. */
  #scratch = NO_VALUES;
  readonly #one = new Float32Array(1);
  readonly #reader: NumberReader;
  /** Whether the string read last holds escapes. */
  #escaped = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#reader = new NumberReader(this.#bytes);
  }

  document(): JsonNode {
    if (!isUtf8(this.#bytes)) throw this.#error('invalid unicode code point');
    const root = this.#value('', 0);
    this.#blank();
    if (this.#at < this.#bytes.length) throw this.#error('trailing characters');
    return root;
  }

  /**
   * @param key the key of this value, or that of the array around it
   * @param arrays number of arrays between the key and this value
   */
  #value(key: string, arrays: number): JsonNode {
    const byte = this.#blank();
    const start = this.#at;
    switch (byte) {
      case 0x7b:
        return this.#object(start, mayHoldNames(key, arrays));
      case 0x5b:
        return this.#array(start, key, arrays);
      case 0x22:
        this.#at++;
        this.#string();
        return { kind: 'string', start, end: this.#at };
      case 0x74:
        return this.#literal('true', start);
      case 0x66:
        return this.#literal('false', start);
      case 0x6e:
        return this.#literal('null', start);
      default:
        if (byte !== 0x2d && !isDigit(byte)) throw this.#unexpected('value', 'expected value');
        this.#number();
        return { kind: 'number', start, end: this.#at };
    }
  }

  #object(start: number, named: boolean): JsonNode {
    this.#enter();
    const entries: JsonEntry[] = [];
    for (let more = this.#blank() !== 0x7d; more; more = this.#separator(0x7d, 'object')) {
      if (this.#blank() !== 0x22) throw this.#unexpected('object', 'key must be a string');
      const keyStart = this.#at++;
      this.#string();
      const name = this.#text(keyStart, this.#at);
      if (this.#blank() !== 0x3a) throw this.#unexpected('object', 'expected `:`');
      this.#at++;
      const value = !named && SKIPPED.has(name) ? this.#skipped() : this.#value(name, 0);
      entries.push({ key: name, start: keyStart, value });
    }
    this.#leave();
    return { kind: 'object', start, end: this.#at, entries };
  }

  #array(start: number, key: string, arrays: number): JsonNode {
    this.#enter();
    const first = this.#blank();
    if (first === 0) throw this.#unexpected('list', 'expected value');
    if (first === 0x2d || isDigit(first)) {
      const values = this.#numbers();
      if (values !== null) {
        this.#leave();
        return { kind: 'numbers', start, end: this.#at, values };
      }
    }
    const items: JsonNode[] = [];
    for (let more = this.#blank() !== 0x5d; more; more = this.#separator(0x5d, 'list'))
      items.push(this.#value(key, arrays + 1));
    this.#leave();
    if (items.length === 0) return { kind: 'numbers', start, end: this.#at, values: NO_VALUES };
    return { kind: 'array', start, end: this.#at, items };
  }

  /**
   * Reads the rest of an array of numbers. If it holds something else, returns null and goes back to its
   * start.
   */
  #numbers(): Float32Array | null {
    const start = this.#at;
    let count = 0;
    for (;;) {
      const read = this.#reader.read(this.#at);
      const { at, stop } = this.#reader;
      this.#at = at;
      // Most arrays are read in one part: the only copy is the result.
      if (stop === 'closed' && count === 0) return read.slice();
      this.#keep(read, count);
      count += read.length;
      if (stop === 'more') continue;
      if (stop === 'other') break;
      if (stop === 'slow') {
        this.#one[0] = this.#number();
        this.#keep(this.#one, count++);
        const byte = this.#blank();
        if (byte === 0x2c) {
          this.#at++;
          const next = this.#blank();
          if (next === 0x2d || isDigit(next)) continue;
        }
        if (byte !== 0x5d) break;
      }
      return this.#scratch.slice(0, count);
    }
    this.#at = start;
    return null;
  }

  #keep(values: Float32Array, at: number): void {
    if (at + values.length > this.#scratch.length) {
      const grown = new Float32Array(2 * (at + values.length));
      grown.set(this.#scratch);
      this.#scratch = grown;
    }
    this.#scratch.set(values, at);
  }

  /** Validates a value without keeping it. */
  #skipped(): JsonNode {
    this.#blank();
    const start = this.#at;
    this.#skip();
    return { kind: 'skipped', start, end: this.#at };
  }

  #skip(): void {
    const byte = this.#blank();
    if (byte === 0x7b) {
      this.#enter();
      for (let more = this.#blank() !== 0x7d; more; more = this.#separator(0x7d, 'object')) {
        if (this.#blank() !== 0x22) throw this.#unexpected('object', 'key must be a string');
        this.#at++;
        this.#string();
        if (this.#blank() !== 0x3a) throw this.#unexpected('object', 'expected `:`');
        this.#at++;
        this.#skip();
      }
      this.#leave();
    } else if (byte === 0x5b) {
      this.#enter();
      if (this.#blank() === 0) throw this.#unexpected('list', 'expected value');
      for (let more = this.#blank() !== 0x5d; more; more = this.#separator(0x5d, 'list')) this.#skip();
      this.#leave();
    } else {
      this.#value('', 0);
    }
  }

  #enter(): void {
    if (++this.#depth > DEPTH_MAX) throw this.#error('recursion limit exceeded');
    this.#at++;
  }

  #leave(): void {
    this.#depth--;
    this.#at++;
  }

  /** Returns true after a comma; false at the closing byte, which `#leave` reads. */
  #separator(close: number, what: 'object' | 'list'): boolean {
    const byte = this.#blank();
    if (byte === close) return false;
    if (byte !== 0x2c) throw this.#unexpected(what, `expected \`,\` or \`${String.fromCharCode(close)}\``);
    this.#at++;
    if (this.#blank() === close) throw this.#error('trailing comma');
    if (this.#at >= this.#bytes.length) throw this.#eof('a value');
    return true;
  }

  /** Skips white space and returns the byte that follows; 0 at the end. */
  #blank(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < bytes.length) {
      const byte = bytes[at]!;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        this.#at = at;
        return byte;
      }
      at++;
    }
    this.#at = at;
    return 0;
  }

  #literal(name: 'true' | 'false' | 'null', start: number): JsonNode {
    const wanted = LITERALS[name];
    for (const byte of wanted) {
      if (this.#at >= this.#bytes.length) throw this.#eof('a value');
      if (this.#bytes[this.#at] !== byte) throw this.#error('expected ident');
      this.#at++;
    }
    return { kind: name, start, end: this.#at };
  }

  /** Validates a string from behind its opening quote to behind the closing one. */
  #string(): void {
    const bytes = this.#bytes;
    this.#escaped = false;
    for (;;) {
      if (this.#at >= bytes.length) throw this.#eof('a string');
      const byte = bytes[this.#at++]!;
      if (byte === 0x22) return;
      if (byte === 0x5c) this.#escape();
      else if (byte < 0x20) {
        this.#at--;
        throw this.#error('control character (\\u0000-\\u001F) found while parsing a string');
      }
    }
  }

  #escape(): void {
    this.#escaped = true;
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw this.#eof('a string');
    if (byte === 0x75) {
      const unit = this.#hex();
      if (unit >= 0xdc00 && unit <= 0xdfff) throw this.#error('lone leading surrogate in hex escape');
      if (unit < 0xd800 || unit > 0xdbff) return;
      if (this.#bytes[this.#at] !== 0x5c || this.#bytes[this.#at + 1] !== 0x75)
        throw this.#error('unexpected end of hex escape');
      this.#at += 2;
      const second = this.#hex();
      if (second < 0xdc00 || second > 0xdfff) throw this.#error('lone leading surrogate in hex escape');
    } else if (!'"\\/bfnrt'.includes(String.fromCharCode(byte))) {
      this.#at--;
      throw this.#error('invalid escape');
    }
  }

  #hex(): number {
    const text = this.#bytes.toString('latin1', this.#at, this.#at + 4);
    if (text.length < 4) throw this.#eof('a string');
    if (!/^[0-9a-fA-F]{4}$/.test(text)) throw this.#error('invalid escape');
    this.#at += 4;
    return Number.parseInt(text, 16);
  }

  /** Returns the text of a string with quotes at these ends. */
  #text(start: number, end: number): string {
    return this.#escaped
      ? String(JSON.parse(this.#bytes.toString('utf8', start, end)))
      : this.#bytes.toString('utf8', start + 1, end - 1);
  }

  /** Reads the numbers that `NumberReader` does not, and reports errors. */
  #number(): number {
    const start = this.#at;
    const whole = this.#bytes[start] === 0x2d ? start + 1 : start;
    let at = this.#digits(whole);
    if (at > whole + 1 && this.#bytes[whole] === 0x30) throw this.#badNumber(whole + 1);
    if (this.#bytes[at] === 0x2e) at = this.#digits(at + 1);
    if (this.#bytes[at] === 0x65 || this.#bytes[at] === 0x45) {
      const sign = this.#bytes[at + 1];
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    }
    this.#at = at;
    const value = Number(this.#bytes.toString('latin1', start, at));
    if (!Number.isFinite(value)) {
      this.#at = at - 1;
      throw this.#error('number out of range');
    }
    return value;
  }

  /** Skips digits and returns the offset behind them. There must be one at least. */
  #digits(start: number): number {
    let at = start;
    while (at < this.#bytes.length && isDigit(this.#bytes[at]!)) at++;
    if (at === start) throw this.#badNumber(at);
    return at;
  }

  #badNumber(at: number): JsonError {
    this.#at = at;
    return this.#unexpected('value', 'invalid number');
  }

  #unexpected(what: 'object' | 'list' | 'value', otherwise: string): JsonError {
    if (this.#at < this.#bytes.length) return this.#error(otherwise);
    return this.#eof(`${what === 'object' ? 'an' : 'a'} ${what}`);
  }

  #eof(within: string): JsonError {
    this.#at = this.#bytes.length;
    return this.#error(`EOF while parsing ${within}`);
  }

  #error(reason: string): JsonError {
    const lineStart = this.#at === 0 ? 0 : this.#bytes.lastIndexOf(0x0a, this.#at - 1) + 1;
    let line = 1;
    for (let at = 0; at < lineStart; at++) if (this.#bytes[at] === 0x0a) line++;
    const column = Math.min(this.#at + 1, this.#bytes.length) - lineStart;
    return new JsonError(`${reason} at line ${line} column ${column}`);
  }
}

/**
 * Returns whether the keys of an object may be names that users choose: a vector may be called `payload`. The
 * server also takes many structures as arrays of their fields' values. Then no key shows that an object holds
 * vectors by name.
 */
function mayHoldNames(key: string, arrays: number): boolean {
  return NAME_MAPS.has(key) || arrays > 1 || (arrays === 1 && key === 'batch');
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
