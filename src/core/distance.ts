import type { Matrix } from './matrix.js';

/** How a collection compares vectors. `cosine` and `dot`: larger is nearer; the others: smaller is nearer. */
export type Distance = 'cosine' | 'dot' | 'euclid' | 'manhattan';

export const DISTANCES: readonly Distance[] = ['cosine', 'dot', 'euclid', 'manhattan'];

/**
 * The distance of the compact space for a source distance: projections keep inner products and Euclidean
 * distances but not the L1 norm, so Manhattan collections are searched with Euclid.
 */
export function compactDistance(source: Distance): Distance {
  return source === 'manhattan' ? 'euclid' : source;
}

/** Inner product of two vectors of equal length. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Squared Euclidean norm of a vector. */
export function squaredNorm(a: Float32Array): number {
  return dot(a, a);
}

/** Scales every row to unit length in place; zero rows stay zero. */
export function normalizeRowsInPlace(x: Matrix): void {
  for (let start = 0; start < x.data.length; start += x.cols) {
    const values = x.data.subarray(start, start + x.cols);
    const norm = Math.sqrt(squaredNorm(values));
    if (norm === 0) continue;
    for (let i = 0; i < values.length; i++) values[i] = values[i]! / norm;
  }
}

/** A copy with unit rows; zero rows stay zero. */
export function normalizedRows(x: Matrix): Matrix {
  const copy = { rows: x.rows, cols: x.cols, data: x.data.slice() };
  normalizeRowsInPlace(copy);
  return copy;
}
