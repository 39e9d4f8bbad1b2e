import { matrix, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { sharedFloats } from '../../src/core/worker-task.js';
import { clusterCentres, fillClustered } from '../clustered-rows.js';

const CLUSTERS = 256;

/** Synthetic points and queries of the same distribution. */
export interface SyntheticRows {
  readonly points: Matrix;
  readonly queries: Matrix;
}

/**
 * Returns vectors whose variance falls along principal directions, as that of embeddings does. These directions are no
 * axes: every dimension carries a part of each.
 */
export function syntheticRows(of: {
  readonly rows: number;
  readonly queries: number;
  readonly dim: number;
  readonly seed: number;
}): SyntheticRows {
  const rng = new Rng(of.seed);
  const rows = of.rows + of.queries;
  // Shared, so that the exact search does not copy them.
  const x = matrix(rows, of.dim, sharedFloats(rows * of.dim));
  fillClustered(x, clusterCentres(CLUSTERS, of.dim, rng), rng);
  rotateRows(x, rng);
  return { points: rowRange(x, 0, of.rows), queries: rowRange(x, of.rows, x.rows) };
}

/** Turns all rows by the same random rotation: twice signs, a Hadamard transform of each block, and a new order. */
function rotateRows(x: Matrix, rng: Rng): void {
  const block = x.cols & -x.cols;
  const turned = new Float32Array(x.cols);
  for (let round = 0; round < 2; round++) {
    const signs = Float32Array.from({ length: x.cols }, () => (rng.int(2) === 0 ? 1 : -1) / Math.sqrt(block));
    const order = shuffled(x.cols, rng);
    for (let r = 0; r < x.rows; r++) {
      const own = x.data.subarray(r * x.cols, (r + 1) * x.cols);
      for (let j = 0; j < own.length; j++) own[j]! *= signs[j]!;
      for (let start = 0; start < own.length; start += block) hadamard(own.subarray(start, start + block));
      for (let j = 0; j < own.length; j++) turned[j] = own[order[j]!]!;
      own.set(turned);
    }
  }
}

function hadamard(values: Float32Array): void {
  for (let half = 1; half < values.length; half *= 2)
    for (let i = 0; i < values.length; i += 2 * half)
      for (let j = i; j < i + half; j++) {
        const [a, b] = [values[j]!, values[j + half]!];
        values[j] = a + b;
        values[j + half] = a - b;
      }
}

function shuffled(count: number, rng: Rng): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
