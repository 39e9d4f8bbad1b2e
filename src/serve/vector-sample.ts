import { expectDefined } from '../core/errors.js';
import { firstTooLargeRow, matrix, row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';

/** Vectors of one collection that stand for a number of searched ones. */
export interface VectorBatch {
  readonly rows: readonly Float32Array[];
  /** How many vectors the rows were drawn from. */
  readonly seen: number;
}

/** A uniform random sample of all vectors that were added: at most `rowsMax` of them are held. */
export class VectorSample {
  readonly #rows: Float32Array[] = [];
  readonly #cols: number;
  readonly #rowsMax: number;
  readonly #rng: Rng;
  #seen = 0;

  constructor({ cols, rowsMax, seed }: { cols: number; rowsMax: number; seed: number }) {
    this.#cols = cols;
    this.#rowsMax = rowsMax;
    this.#rng = new Rng(seed);
  }

  /** How many vectors were added, those included that are not held any more. */
  get seen(): number {
    return this.#seen;
  }

  /**
   * Adds a vector (algorithm R, Vitter 1985). A vector of other dimensions is left out, and one that training would
   * refuse: a client could spoil the file with it.
   */
  add(values: Float32Array): void {
    if (values.length !== this.#cols || isTooLarge(values)) return;
    this.#seen++;
    if (this.#rows.length < this.#rowsMax) this.#rows.push(values);
    else {
      const at = this.#rng.int(this.#seen);
      if (at < this.#rowsMax) this.#rows[at] = values;
    }
  }

  /** Adds a sample of other vectors, so that each of all vectors is as likely to be held. */
  merge({ rows: given, seen }: VectorBatch): void {
    const rows = given.filter((values) => values.length === this.#cols && !isTooLarge(values));
    if (rows.length === seen) for (const values of rows) this.add(values);
    if (rows.length === seen || rows.length === 0) return;
    const total = this.#seen + seen;
    const held = this.#rows.length;
    const size = Math.min(this.#rowsMax, held + rows.length);
    let taken = 0;
    for (let i = 0; i < size; i++) if (this.#rng.uniform() < seen / total) taken++;
    taken = Math.min(rows.length, Math.max(size - held, taken));
    const kept = this.#drawn(this.#rows, size - taken);
    this.#rows.length = 0;
    this.#rows.push(...kept, ...this.#drawn(rows, taken));
    this.#seen = total;
  }

  /** Returns what is held, and begins anew. */
  take(): VectorBatch {
    const batch = { rows: this.#rows.slice(), seen: this.#seen };
    this.#rows.length = 0;
    this.#seen = 0;
    return batch;
  }

  /** Returns a copy of the vectors that are held. */
  held(): Matrix {
    const x = matrix(this.#rows.length, this.#cols);
    this.#rows.forEach((values, i) => row(x, i).set(values));
    return x;
  }

  #drawn(rows: readonly Float32Array[], count: number): Float32Array[] {
    const order = this.#rng.permutation(rows.length).subarray(0, count);
    return Array.from(order, (i) => expectDefined(rows[i], 'a held vector'));
  }
}

const isTooLarge = (values: Float32Array): boolean =>
  firstTooLargeRow({ data: values, rows: 1, cols: values.length }) >= 0;
