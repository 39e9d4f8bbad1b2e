import { principalAxes } from '../baselines/pca.js';
import type { Moments } from '../baselines/moment-worker.js';
import type { Distance } from '../core/distance.js';
import { matrix, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run.js';
import { directionsFor, DIRECTIONS_MAX } from '../knn/build-knn-graph.js';

/** Directions along which a sample is looked at instead of along all its dimensions, D x r, the strongest first. */
export interface Directions {
  /** All that were computed: near the principal axes. */
  readonly axes: Matrix | undefined;
  /** To find neighbours along; undefined where all pairs can be compared in full, or an index is faster. */
  readonly forNeighbors: Matrix | undefined;
  /** To train along; undefined where too many would be needed. */
  readonly forTraining: Matrix | undefined;
}

/** Of the eigenvectors' subspace: nearly principal axes serve as well. */
const ITERATIONS = 4;
/** Training looks along as many directions as hold this share of the variance (docs/research.md). */
const SHARE_WANTED = 0.96;
/** Where even the most directions hold less than this, training looks at the rows themselves. */
const SHARE_MIN = 0.9;

/** Principal directions of x (n x D) from its moments: about the origin, whose inner products they keep, or the mean. */
export async function principalDirections(
  x: Pick<Matrix, 'rows' | 'cols'>,
  moments: Moments,
  { distance, ...run }: { readonly distance: Distance; readonly threads?: number } & RunOptions,
): Promise<Directions> {
  if (distance === 'manhattan') {
    return { axes: undefined, forNeighbors: undefined, forTraining: undefined };
  }
  const centred = distance === 'euclid';
  const d = Math.min(moments.basis?.cols ?? x.cols, DIRECTIONS_MAX);
  const { values, vectors } = await principalAxes(moments, { ...run, d, centred, iterations: ITERATIONS });
  const axes = matrix(x.cols, d, Float32Array.from(vectors));
  const forNeighbors = directionsFor(x.rows, x.cols);
  const forTraining = countFor(values, moments, centred);
  return {
    axes,
    forNeighbors: forNeighbors === null ? undefined : firstColumns(axes, forNeighbors),
    forTraining: forTraining === null ? undefined : firstColumns(axes, forTraining),
  };
}

/** How many of the directions hold the wanted share of the variance about the mean. */
function countFor(
  values: Float64Array,
  { mean, meanSquare: aboutOrigin }: Moments,
  centred: boolean,
): number | null {
  const aboutMean = aboutOrigin - mean.reduce((sum, value) => sum + value ** 2, 0);
  let left = centred ? aboutMean : aboutOrigin;
  for (const [r, value] of values.entries()) {
    left -= value;
    if (left <= (1 - SHARE_WANTED) * aboutMean) return r + 1;
  }
  return left <= (1 - SHARE_MIN) * aboutMean ? values.length : null;
}

function firstColumns(a: Matrix, count: number): Matrix {
  if (count >= a.cols) return a;
  const kept = matrix(a.rows, count);
  for (let i = 0; i < a.rows; i++) {
    kept.data.set(a.data.subarray(i * a.cols, i * a.cols + count), i * count);
  }
  return kept;
}
