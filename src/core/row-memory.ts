import { matrix, type Matrix } from './matrix.js';

/** As many matrices as a scan and its reader have between them. */
const KEPT_MAX = 3;

/**
 * Memory for the vectors of one batch after the other. Fresh memory for each costs filling it with zeros, and a run of
 * the garbage collector for every few batches.
 */
export class RowMemory {
  readonly #kept: Float32Array[] = [];
  readonly #taken = new Set<ArrayBufferLike>();

  /** rows x cols values, with anything in them. */
  take(rows: number, cols: number): Matrix {
    const found = this.#kept.findIndex(({ length }) => length >= rows * cols);
    const memory = this.#kept.splice(Math.max(0, found), found < 0 ? 0 : 1)[0] ?? matrix(rows, cols).data;
    this.#taken.add(memory.buffer);
    return matrix(rows, cols, memory.subarray(0, rows * cols));
  }

  /** Takes back a matrix, or its first rows, that nobody reads or writes any more; one from elsewhere is left alone. */
  give({ data }: Matrix): void {
    if (!this.#taken.delete(data.buffer)) return;
    this.#kept.push(new Float32Array(data.buffer));
    // The oldest is too small by now, or one too many.
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
  }
}
