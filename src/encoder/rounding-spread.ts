import { shapeOf, type EncoderLayer, type EncoderNetwork } from './network.js';
import { Kernel } from './projection-kernel.js';
import { gatherRows, largestDifference, matrix, row } from '../core/matrix.js';
import { Rng } from '../core/rng.js';

const ORDERS = 8;

/** The same network with its inputs and hidden units in another order. */
interface Reordered {
  readonly order: Int32Array;
  readonly kernel: Kernel;
}

/**
 * Estimates the rounding difference between two projections of the same vector that add in different orders.
 * If a vector is nearly orthogonal to the compact space, or near the mean that the encoder subtracts, its
 * projection consists mostly of rounding errors. Two correct projections may then differ a lot.
 */
export class RoundingSpread {
  readonly #inputDim: number;
  readonly #reordered: readonly Reordered[];

  constructor(network: EncoderNetwork) {
    const rng = new Rng(1);
    this.#inputDim = shapeOf(network).inputDim;
    this.#reordered = Array.from({ length: ORDERS }, () => reorder(network, rng));
  }

  /**
   * Returns the largest difference between a component of `projected` (the kernel's projection of x) and the
   * same component in one of the other orders; NaN if any component is NaN.
   */
  around(x: Float32Array, projected: Float32Array): number {
    let largest = 0;
    for (const { order, kernel } of this.#reordered) {
      const shuffled = matrix(
        1,
        this.#inputDim,
        Float32Array.from(order, (at) => x[at]!),
      );
      largest = Math.max(largest, largestDifference(kernel.project(shuffled).data, projected));
    }
    return largest;
  }
}

function reorder(network: EncoderNetwork, rng: Rng): Reordered {
  const order = rng.permutation(shapeOf(network).inputDim);
  let inputs = order;
  const layers = network.layers.map((layer, i): EncoderLayer => {
    const { cols } = layer.weight;
    const outputs =
      i < network.layers.length - 1 ? rng.permutation(cols) : Int32Array.from({ length: cols }, (_, j) => j);
    const reordered = reorderLayer(layer, inputs, outputs);
    inputs = outputs;
    return reordered;
  });
  return { order, kernel: new Kernel({ ...network, layers }) };
}

function reorderLayer(
  { weight, bias, relu }: EncoderLayer,
  inputs: Int32Array,
  outputs: Int32Array,
): EncoderLayer {
  const rows = gatherRows(weight, inputs);
  const shuffled = matrix(weight.rows, weight.cols);
  for (let i = 0; i < shuffled.rows; i++) row(shuffled, i).set(gather(row(rows, i), outputs));
  return {
    weight: shuffled,
    bias: bias === null ? null : gather(bias, outputs),
    relu,
  };
}

/** The values in that order. */
const gather = (values: Float32Array, order: Int32Array): Float32Array =>
  Float32Array.from(order, (at) => values[at]!);
