import { matrix, row, type Matrix } from '../../../src/core/matrix.js';

/** The first dimensions of vectors: training takes a fraction of the time, where the number of dimensions is not the point. */
export function firstColumns(x: Matrix, cols: number): Matrix {
  const narrow = matrix(x.rows, cols);
  for (let i = 0; i < x.rows; i++) narrow.data.set(row(x, i).subarray(0, cols), i * cols);
  return narrow;
}
