import { expectDefined } from '../core/errors.js';
import { matrix, row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { EncoderLayer, EncoderNetwork } from './network.js';

/** Rounds of permuting, changing signs and mixing, after which every component depends on all others. */
const ROUNDS = 3;

/**
 * Returns the network with its output rotated by a random rotation of this seed. A rotation changes no inner product,
 * length or distance, only the components that quantisation rounds. It is part of the last layer and costs nothing.
 */
export function rotateOutput(network: EncoderNetwork, seed: number): EncoderNetwork {
  const last = expectDefined(network.layers.at(-1), 'the last layer');
  const { cols } = last.weight;
  if (last.relu) {
    const weight = rotateRows(identity(cols), seed);
    return { ...network, layers: [...network.layers, { weight, bias: null, relu: false }] };
  }
  const rotated: EncoderLayer = {
    ...last,
    weight: rotateRows(last.weight, seed),
    bias: last.bias === null ? null : rotateRows({ rows: 1, cols, data: last.bias }, seed).data,
  };
  return { ...network, layers: [...network.layers.slice(0, -1), rotated] };
}

/** Returns rows rotated by the random rotation of this seed. Rows of equal length are all rotated alike. */
export function rotateRows(x: Matrix, seed: number): Matrix {
  const { cols } = x;
  const rng = new Rng(seed);
  const rounds = Array.from({ length: ROUNDS }, () => ({
    order: rng.permutation(cols),
    signs: Float64Array.from({ length: cols }, () => (rng.int(2) === 0 ? 1 : -1)),
  }));
  const block = 2 ** Math.floor(Math.log2(cols));
  const data = new Float32Array(x.data.length);
  let values = new Float64Array(cols);
  let next = new Float64Array(cols);
  for (let i = 0; i < x.rows; i++) {
    values.set(row(x, i));
    for (const { order, signs } of rounds) {
      for (let j = 0; j < cols; j++) next[j] = signs[j]! * values[order[j]!]!;
      // Two blocks, which overlap, mix a number of components that is no power of two.
      mix(next.subarray(0, block));
      if (block < cols) mix(next.subarray(cols - block));
      [values, next] = [next, values];
    }
    data.set(values, i * cols);
  }
  return { rows: x.rows, cols, data };
}

/** The Walsh-Hadamard transform in place, scaled so that lengths stay as they are. */
function mix(values: Float64Array): void {
  for (let half = 1; half < values.length; half *= 2) {
    for (let start = 0; start < values.length; start += 2 * half) {
      for (let j = start; j < start + half; j++) {
        const [a, b] = [values[j]!, values[j + half]!];
        values[j] = (a + b) * Math.SQRT1_2;
        values[j + half] = (a - b) * Math.SQRT1_2;
      }
    }
  }
}

function identity(size: number): Matrix {
  const x = matrix(size, size);
  for (let i = 0; i < size; i++) x.data[i * size + i] = 1;
  return x;
}
