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

/**
 * Squared Euclidean norm of a vector. With one sum instead of four, each addition would wait for the last.
 */
export function squaredNorm(a: Float32Array): number {
  // Four variables, not an array of four: an array makes the loop five times as slow.
  let p = 0;
  let q = 0;
  let r = 0;
  let s = 0;
  let i = 0;
  for (; i + 3 < a.length; i += 4) {
    p += a[i]! * a[i]!;
    q += a[i + 1]! * a[i + 1]!;
    r += a[i + 2]! * a[i + 2]!;
    s += a[i + 3]! * a[i + 3]!;
  }
  for (; i < a.length; i++) p += a[i]! * a[i]!;
  return p + q + r + s;
}

/** The score that a collection reports for two vectors: a similarity, or a distance that is not squared. */
export function score(a: Float32Array, b: Float32Array, distance: Distance): number {
  switch (distance) {
    case 'cosine':
      return dot(a, b) / (Math.sqrt(squaredNorm(a) * squaredNorm(b)) || 1);
    case 'dot':
      return dot(a, b);
    case 'euclid':
      return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0));
    case 'manhattan':
      return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0);
  }
}

/** Scales every row to unit length in place; zero rows stay zero. */
export function normalizeRowsInPlace(x: Matrix): void {
  for (let start = 0; start < x.data.length; start += x.cols) {
    const values = x.data.subarray(start, start + x.cols);
    const norm = Math.sqrt(squaredNorm(values));
    if (norm === 0) continue;
    const scale = 1 / norm;
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * scale;
  }
}

/** A copy with unit rows; zero rows stay zero. */
export function normalizedRows(x: Matrix): Matrix {
  const copy = { rows: x.rows, cols: x.cols, data: x.data.slice() };
  normalizeRowsInPlace(copy);
  return copy;
}
