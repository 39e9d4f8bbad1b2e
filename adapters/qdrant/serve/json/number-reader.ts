import { loadGenerated, type GeneratedCode } from '../../transport/load-webassembly.js';
import { NUMBER_READER_WASM_BASE64 } from './number-reader-wasm.js';

/** Bytes in which a number may begin, and further bytes in which it may continue. */
const WINDOW_BYTES = 65_536;
const SLACK_BYTES = 64;
/** Zeros behind the last byte, so that no older bytes are read. */
const ZERO_BYTES = 16;
const INPUT_AT = 4_096;
const OUTPUT_AT = INPUT_AT + WINDOW_BYTES + SLACK_BYTES + ZERO_BYTES;

/**
 * Why reading stopped:
 * - `more`: at the end of the window
 * - `closed`: at the closing bracket
 * - `slow`: at a number that needs the exact reader
 * - `other`: at a number that is followed by something else than a number
 */
export type Stop = 'more' | 'closed' | 'slow' | 'other';
const STOPS: readonly Stop[] = ['more', 'closed', 'slow', 'other'];

interface Reader {
  readonly read: GeneratedCode['run'];
  readonly bytes: Uint8Array;
  /** The reason of the last stop, and the count of numbers before it. */
  readonly result: Int32Array;
  readonly values: Float32Array;
}

let reader: Reader | undefined;

function load(): Reader {
  const { memory, run: read } = loadGenerated(NUMBER_READER_WASM_BASE64, 'read');
  return {
    read,
    bytes: new Uint8Array(memory.buffer),
    result: new Int32Array(memory.buffer, 0, 2),
    values: new Float32Array(memory.buffer, OUTPUT_AT),
  };
}

/** Reads the numbers of a text's arrays with WebAssembly; one text at a time. */
export class NumberReader {
  readonly #text: Uint8Array;
  readonly #reader: Reader;
  /** The part of the text that is in the reader's memory. */
  #from = 0;
  #to = 0;
  /** Offset at which the last read stopped. */
  at = 0;
  stop: Stop = 'more';

  constructor(text: Uint8Array) {
    this.#text = text;
    this.#reader = reader ??= load();
  }

  /**
   * Returns the numbers from `at` on as float32, valid until the next call. A number must begin at `at`.
   * `stop` and `this.at` say why and where reading ended. With `slow` and `other`, the number at which it
   * ended was not read.
   */
  read(at: number): Float32Array {
    const { read, result, values } = this.#reader;
    if (at < this.#from || at >= this.#to) this.#look(at);
    const last = this.#to === this.#text.length;
    const end = INPUT_AT + this.#to - this.#from;
    this.at = read(INPUT_AT + at - this.#from, end, last ? end : end + SLACK_BYTES, OUTPUT_AT) - INPUT_AT;
    this.at += this.#from;
    this.stop = STOPS[result[0]!]!;
    return values.subarray(0, result[1]);
  }

  #look(at: number): void {
    const text = this.#text;
    const { bytes } = this.#reader;
    this.#from = at;
    this.#to = text.length - at <= WINDOW_BYTES + SLACK_BYTES ? text.length : at + WINDOW_BYTES;
    const until = Math.min(text.length, this.#to + SLACK_BYTES);
    bytes.set(text.subarray(at, until), INPUT_AT);
    bytes.fill(0, INPUT_AT + until - at, INPUT_AT + until - at + ZERO_BYTES);
  }
}
