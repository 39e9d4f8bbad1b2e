import { principalAxes } from '../baselines/pca.js';
import type { Moments } from '../baselines/moment-worker.js';
import type { Distance } from '../core/distance.js';
import { matrix, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { DIRECTIONS } from '../hyper-parameters/fit-of-candidates.js';
import { directionsFor } from '../knn/build-knn-graph.js';

/**
 * Directions (D x r, the strongest first) that replace the dimensions where all dimensions would be too slow.
 */
export interface Directions {
  /** All computed directions; they approximate the principal axes. */
  readonly axes: Matrix | undefined;
  /** Directions for finding neighbours; undefined if all dimensions or an HNSW index are as fast. */
  readonly forNeighbors: Matrix | undefined;
  /** Directions for training; undefined if too many would be needed. */
  readonly forTraining: Matrix | undefined;
}

/**
 * Computes the principal directions of x (n x D) from its moments. For Euclid they are centred on the mean;
 * otherwise they are uncentred, so that they keep inner products.
 */
export async function principalDirections(
  x: Pick<Matrix, 'rows' | 'cols'>,
  moments: Moments,
  { distance, ...run }: { readonly distance: Distance; readonly threads?: number } & RunOptions,
): Promise<Directions> {
  if (distance === 'manhattan') {
    return { axes: undefined, forNeighbors: undefined, forTraining: undefined };
  }
  const centred = distance === 'euclid';
  const d = Math.min(moments.basis?.cols ?? x.cols, DIRECTIONS.most);
  const { values, vectors } = await principalAxes(moments, {
    ...run,
    d,
    centred,
    iterations: DIRECTIONS.iterations,
  });
  const axes = matrix(x.cols, d, Float32Array.from(vectors));
  const forNeighbors = directionsFor(x.rows, x.cols);
  const forTraining = countFor(values, moments, centred);
  return {
    axes,
    forNeighbors: forNeighbors === null ? undefined : firstColumns(axes, forNeighbors),
    forTraining: forTraining === null ? undefined : firstColumns(axes, forTraining),
  };
}

/** The number of directions that hold the required share of the variance; null if too many are needed. */
function countFor(
  values: Float64Array,
  { mean, meanSquare: aboutOrigin }: Moments,
  centred: boolean,
): number | null {
  const aboutMean = aboutOrigin - mean.reduce((sum, value) => sum + value ** 2, 0);
  let left = centred ? aboutMean : aboutOrigin;
  for (const [r, value] of values.entries()) {
    left -= value;
    if (left <= (1 - DIRECTIONS.varianceShare) * aboutMean) return r + 1;
  }
  return left <= (1 - DIRECTIONS.varianceShareMin) * aboutMean ? values.length : null;
}

function firstColumns(a: Matrix, count: number): Matrix {
  if (count >= a.cols) return a;
  const kept = matrix(a.rows, count);
  for (let i = 0; i < a.rows; i++) {
    kept.data.set(a.data.subarray(i * a.cols, i * a.cols + count), i * count);
  }
  return kept;
}
