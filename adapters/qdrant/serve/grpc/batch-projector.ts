import type { Matrix } from '../../../../src/core/matrix.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import type { GrpcLookups } from './lookups.js';
import { checkCompact, checkDim } from '../rules.js';

/**
 * Collects the vectors of one request, to project them in one product. Each vector gets the bytes of its
 * compact form at once. `fill` writes them later: until then, they may be built into messages but not read.
 */
export class BatchProjector {
  readonly #inputs: Float32Array[] = [];
  readonly #outputs: Float32Array[] = [];

  constructor(
    readonly served: ServedCollection,
    readonly kind: 'points' | 'queries',
  ) {}

  get count(): number {
    return this.#inputs.length;
  }

  /** Adds a vector and returns the bytes of its compact form. @throws Refusal for a vector of another size */
  add(values: Float32Array): Uint8Array {
    checkDim(values, this.served);
    const output = new Float32Array(this.served.outputDim);
    this.#inputs.push(values);
    this.#outputs.push(output);
    return new Uint8Array(output.buffer);
  }

  /** All vectors, n x inputDim. */
  get rows(): Matrix {
    const { inputDim } = this.served;
    const rows = this.#inputs.length;
    const [first] = this.#inputs;
    // A single vector is projected without a copy.
    const data = rows === 1 && first !== undefined ? first : new Float32Array(rows * inputDim);
    if (rows > 1) this.#inputs.forEach((values, i) => data.set(values, i * inputDim));
    return { rows, cols: inputDim, data };
  }

  /**
   * @param compact a row for each vector
   * @throws Refusal when a projected vector cannot be stored
   */
  fill(compact: Matrix): void {
    const { outputDim } = this.served;
    this.#outputs.forEach((output, i) => {
      const values = compact.data.subarray(i * outputDim, (i + 1) * outputDim);
      checkCompact(values, this.served);
      output.set(values);
    });
  }
}

/** One request that is being rewritten. */
export interface Job {
  readonly collections: readonly ServedCollection[];
  /** The collection that the request addresses; null if it is not served. */
  readonly served: ServedCollection | null;
  readonly lookups: GrpcLookups;
}

/** A request to a served collection. */
export interface ServedJob extends Job {
  readonly served: ServedCollection;
  readonly projections: BatchProjector;
}

export function isServed(job: Job): job is ServedJob {
  return job.served !== null;
}
