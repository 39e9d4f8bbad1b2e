import type { Span } from './scan-body.js';

/** Bytes that will be known later, see `VectorSlots`. */
export interface PendingBytes {
  bytes: Uint8Array;
}

/** Bytes to write: text with one byte per character, or bytes that will be known later. */
export type Chunk = string | PendingBytes;

/** Collects changes to a body, in any order. Every byte outside of them stays. */
export class ByteEdits {
  readonly #bytes: Buffer;
  readonly #list: { readonly start: number; readonly end: number; readonly texts: readonly Chunk[] }[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Number of changes so far. */
  get count(): number {
    return this.#list.length;
  }

  /** Returns the bytes of a span, one per character. */
  raw({ start, end }: Span): string {
    return this.#bytes.toString('latin1', start, end);
  }

  /** Returns the characters of a span, decoded for reading. */
  read({ start, end }: Span): string {
    return this.#bytes.toString('utf8', start, end);
  }

  /**
   * Replaces a span by texts. Lists of texts need no spread, since a call has a limited number of arguments.
   */
  replace({ start, end }: Span, ...texts: readonly (Chunk | readonly Chunk[])[]): void {
    // Many times faster than `flat()`, and called for every vector.
    const all: Chunk[] = [];
    for (const text of texts) {
      if (typeof text === 'string' || 'bytes' in text) all.push(text);
      else for (const one of text) all.push(one);
    }
    this.#list.push({ start, end, texts: all });
  }

  insert(at: number, ...texts: readonly (Chunk | readonly Chunk[])[]): void {
    this.replace({ start: at, end: at }, ...texts);
  }

  /** Returns the body with all changes. Changes at the same place keep the order in which they were added. */
  apply(): Buffer {
    if (this.#list.length === 0) return this.#bytes;
    const list = [...this.#list].sort((a, b) => a.start - b.start);
    let length = this.#bytes.length;
    for (const { start, end, texts } of list) {
      length -= end - start;
      for (const text of texts) length += lengthOf(text);
    }
    const out = Buffer.allocUnsafe(length);
    let from = 0;
    let to = 0;
    for (const { start, end, texts } of list) {
      to += this.#bytes.copy(out, to, from, start);
      for (const text of texts) {
        if (typeof text === 'string') out.write(text, to, 'latin1');
        else out.set(text.bytes, to);
        to += lengthOf(text);
      }
      from = end;
    }
    this.#bytes.copy(out, to, from);
    return out;
  }
}

function lengthOf(text: Chunk): number {
  return typeof text === 'string' ? text.length : text.bytes.length;
}

/** Returns a string as JSON in ASCII. */
export function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
