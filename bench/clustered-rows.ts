import { matrix, type Matrix } from '../src/core/matrix.js';
import type { Rng } from '../src/core/rng.js';

/** Centres of clusters, for `fillClustered`. */
export function clusterCentres(clusters: number, dim: number, rng: Rng): Matrix {
  const centres = matrix(clusters, dim);
  for (let i = 0; i < centres.data.length; i++) centres.data[i] = rng.normal();
  return centres;
}

/** Fills x with synthetic vectors: rows about random centres, of variances that fall with the column. */
export function fillClustered(x: Matrix, centres: Matrix, rng: Rng): void {
  for (let r = 0; r < x.rows; r++) {
    const at = rng.int(centres.rows) * x.cols;
    for (let j = 0; j < x.cols; j++)
      x.data[r * x.cols + j] = (centres.data[at + j]! + rng.normal()) / (1 + j / 8);
  }
}
