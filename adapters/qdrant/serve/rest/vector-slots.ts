import { matrix, type Matrix } from '../../../../src/core/matrix.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import { float32ArrayJson } from '../json/number.js';
import type { PendingBytes } from '../json/byte-edits.js';
import { checkCompact, checkDim } from '../rules.js';

const NOTHING = new Uint8Array(0);

/** The vectors of one request: collected first, then projected together and written into their slots. */
export class VectorSlots {
  readonly #served: ServedCollection;
  readonly #rows: Float32Array[] = [];
  readonly #slots: PendingBytes[] = [];

  constructor(served: ServedCollection) {
    this.#served = served;
  }

  get count(): number {
    return this.#rows.length;
  }

  /** Adds a vector and returns its slot. @throws Refusal for a wrong length or values that are not finite */
  add(values: Float32Array): PendingBytes {
    checkDim(values, this.#served);
    const slot = { bytes: NOTHING };
    this.#rows.push(values);
    this.#slots.push(slot);
    return slot;
  }

  /**
   * Writes the projected vectors.
   * @param y a row for each vector
   * @throws Refusal when a projected vector cannot be stored
   */
  fill({ data }: Matrix): void {
    const { outputDim } = this.#served;
    this.#slots.forEach((slot, i) => {
      const values = data.subarray(i * outputDim, (i + 1) * outputDim);
      checkCompact(values, this.#served);
      slot.bytes = float32ArrayJson(values);
    });
  }

  /** All vectors, n x inputDim. */
  get rows(): Matrix {
    const { inputDim } = this.#served;
    const [first] = this.#rows;
    if (this.#rows.length === 1 && first !== undefined) return matrix(1, inputDim, first);
    const x = matrix(this.#rows.length, inputDim);
    this.#rows.forEach((values, i) => x.data.set(values, i * inputDim));
    return x;
  }
}
