import { gatherRows, type Matrix } from '../core/matrix.js';
import type { Rng } from '../core/rng.js';

const CENTROIDS = 256;
const FITTED_ROWS_MAX = 10_000;
/** Rounds of k-means. Databases go up to 100; the later ones move recall by less than a tenth of a point. */
const ROUNDS = 12;

/**
 * Returns the rows as product codes hold them: every `width` components together become the nearest of 256 centroids,
 * which k-means finds for these components.
 */
export function productCodes(base: Matrix, width: number, rng: Rng): Matrix {
  if (base.rows <= CENTROIDS) return base;
  const data = new Float32Array(base.data.length);
  const order = rng.permutation(base.rows).subarray(0, FITTED_ROWS_MAX).sort();
  for (let from = 0; from < base.cols; from += width) {
    const all = columnsOf(base, from, Math.min(base.cols, from + width));
    const centroids = fitCentroids(gatherRows(all, order), rng);
    const nearest = nearestCentroids(all, centroids);
    for (let i = 0; i < base.rows; i++) {
      const centroid = nearest[i]! * all.cols;
      for (let j = 0; j < all.cols; j++) data[i * base.cols + from + j] = centroids[centroid + j]!;
    }
  }
  return { ...base, data };
}

function columnsOf(x: Matrix, from: number, to: number): Matrix {
  const cols = to - from;
  const data = new Float32Array(x.rows * cols);
  for (let i = 0; i < x.rows; i++) data.set(x.data.subarray(i * x.cols + from, i * x.cols + to), i * cols);
  return { rows: x.rows, cols, data };
}

function fitCentroids(x: Matrix, rng: Rng): Float32Array {
  const centroids = x.data.slice(0, CENTROIDS * x.cols);
  for (let round = 0; round < ROUNDS; round++) {
    const nearest = nearestCentroids(x, centroids);
    const sums = new Float64Array(centroids.length);
    const counts = new Uint32Array(CENTROIDS);
    for (let i = 0; i < x.rows; i++) {
      const centroid = nearest[i]!;
      counts[centroid] = counts[centroid]! + 1;
      for (let j = 0; j < x.cols; j++)
        sums[centroid * x.cols + j] = sums[centroid * x.cols + j]! + x.data[i * x.cols + j]!;
    }
    for (let c = 0; c < CENTROIDS; c++) {
      // A centroid that is nearest to no row moves to a random one.
      const moved = counts[c] === 0 ? rng.int(x.rows) : -1;
      for (let j = 0; j < x.cols; j++)
        centroids[c * x.cols + j] =
          moved < 0 ? sums[c * x.cols + j]! / counts[c]! : x.data[moved * x.cols + j]!;
    }
  }
  return centroids;
}

/** The index of the nearest centroid of each row, by Euclidean distance. */
function nearestCentroids(x: Matrix, centroids: Float32Array): Uint8Array {
  const { cols } = x;
  const nearest = new Uint8Array(x.rows);
  for (let i = 0; i < x.rows; i++) {
    let best = Infinity;
    for (let c = 0; c < CENTROIDS; c++) {
      let sum = 0;
      for (let j = 0; j < cols && sum < best; j++) {
        const difference = x.data[i * cols + j]! - centroids[c * cols + j]!;
        sum += difference * difference;
      }
      if (sum >= best) continue;
      best = sum;
      nearest[i] = c;
    }
  }
  return nearest;
}
