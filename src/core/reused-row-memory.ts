import { matrix, type Matrix } from './matrix.js';

/** A scan and its reader hold at most this many matrices at the same time. */
const KEPT_MAX = 3;

/**
 * Memory that successive batches of vectors reuse. With new memory for each batch, Node would fill it with
 * zeros first and collect garbage every few batches.
 */
export class ReusedRowMemory {
  readonly #kept: Float32Array[] = [];
  readonly #taken = new Set<ArrayBufferLike>();

  /** A matrix of rows x cols whose values are arbitrary. */
  take(rows: number, cols: number): Matrix {
    const found = this.#kept.findIndex(({ length }) => length >= rows * cols);
    const memory = this.#kept.splice(Math.max(0, found), found < 0 ? 0 : 1)[0] ?? matrix(rows, cols).data;
    this.#taken.add(memory.buffer);
    return matrix(rows, cols, memory.subarray(0, rows * cols));
  }

  /**
   * Takes back the memory of a matrix, or of a view of its first rows, that is no longer in use. A matrix
   * that did not come from `take` is ignored.
   */
  give({ data }: Matrix): void {
    if (!this.#taken.delete(data.buffer)) return;
    this.#kept.push(new Float32Array(data.buffer));
    // The oldest is too small by now, or no longer needed.
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
  }
}
