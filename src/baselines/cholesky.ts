import type { DoubleMatrix } from '../encoder/native-matmul.js';

/** Pivots below this share of the largest diagonal value are treated as rounding errors. */
const PIVOT_MIN = 1e-13;

/**
 * The Cholesky factor of a symmetric a: upper triangular R with R^T R = a; null if a is not safely definite.
 */
export function upperCholesky({ rows: n, data: a }: DoubleMatrix): DoubleMatrix | null {
  const r = new Float64Array(n * n);
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, a[i * n + i]!);
  for (let i = 0; i < n; i++) {
    const rest = a.slice(i * n, (i + 1) * n);
    for (let k = 0; k < i; k++) {
      const factor = r[k * n + i]!;
      for (let j = i; j < n; j++) rest[j] = rest[j]! - factor * r[k * n + j]!;
    }
    if (!(rest[i]! > largest * PIVOT_MIN)) return null;
    const pivot = Math.sqrt(rest[i]!);
    for (let j = i; j < n; j++) r[i * n + j] = rest[j]! / pivot;
  }
  return { rows: n, cols: n, data: r };
}

/** R^-1 of an upper triangular R without zeros on its diagonal. */
export function inverseOfUpper({ rows: n, data: r }: DoubleMatrix): DoubleMatrix {
  const inverse = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    const to = inverse.subarray(i * n, (i + 1) * n);
    to[i] = 1;
    for (let k = i + 1; k < n; k++) {
      const factor = r[i * n + k]!;
      for (let j = k; j < n; j++) to[j] = to[j]! - factor * inverse[k * n + j]!;
    }
    for (let j = i; j < n; j++) to[j] = to[j]! / r[i * n + i]!;
  }
  return { rows: n, cols: n, data: inverse };
}
