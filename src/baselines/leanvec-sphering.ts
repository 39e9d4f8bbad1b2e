import type { Distance } from '../core/distance.js';
import type { EncoderNetworks } from '../encoder/network.js';
import { TldrError } from '../core/errors.js';
import { matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker } from '../core/worker-task.js';
import type { Moments } from './moment-worker.js';
import { linearNetwork } from './pca.js';
import type { SpheringTask } from './leanvec-sphering-worker.js';

/**
 * Returns two linear networks, one for points and one for queries, that best preserve the inner products
 * between them. This helps if queries are distributed differently from points: LeanVec-Sphering (Tepper et
 * al. 2024, "LeanVec: Searching vectors faster by making them fit"), here by the closed form in
 * `leanvec-sphering-worker.ts`. The second moment of few queries is noisy, so the points' moment is mixed in.
 * @param points,queries uncentred moments, along the same basis if there is one; of unit rows for cosine
 * @param options.pointsShare share of the points' moment in the mixture, with both scaled to the same size
 * @throws INVALID_ARGUMENT when the dimensions or bases differ
 * @throws ABORTED when the signal fires
 */
export async function leanvecSphering(
  points: Moments,
  queries: Moments,
  options: {
    readonly dim: number;
    readonly distance: Extract<Distance, 'cosine' | 'dot'>;
    readonly pointsShare: number;
    readonly threads?: number;
  } & RunOptions,
): Promise<EncoderNetworks> {
  const { dim, distance, pointsShare, threads = THREADS, signal, onProgress } = options;
  const dims = points.mean.length;
  if (queries.mean.length !== dims) {
    throw new TldrError('INVALID_ARGUMENT', `queries are ${queries.mean.length}-d, the points ${dims}-d`);
  }
  const { basis } = points;
  const size = basis?.cols ?? dims;
  if (queries.second.length !== points.second.length) {
    throw new TldrError('INVALID_ARGUMENT', 'the moments of queries and points have different bases');
  }
  const mixed = mix(queries.second, points.second, { pointsShare, size });
  const task: SpheringTask = { points: points.second, queries: mixed, size, d: dim, threads, basis };
  const file = new URL('./leanvec-sphering-worker.js', import.meta.url);
  const maps = await runInWorker({ file, data: task, signal, onProgress });
  if (typeof maps === 'object' && maps !== null && 'points' in maps && 'queries' in maps) {
    const network = (weights: unknown): EncoderNetworks['network'] => {
      if (!(weights instanceof Float64Array)) throw new TldrError('INTERNAL', 'the worker gave no weights');
      return linearNetwork(matrix(dims, dim, Float32Array.from(weights)), { distance, bias: null });
    };
    return { network: network(maps.points), queryNetwork: network(maps.queries) };
  }
  throw new TldrError('INTERNAL', 'the worker returned no networks');
}

/** Mixes both moments. Each is scaled to a trace of 1 first, so that its size does not change its share. */
function mix(
  queries: Float64Array,
  points: Float64Array,
  { pointsShare, size }: { readonly pointsShare: number; readonly size: number },
): Float64Array {
  const trace = (of: Float64Array): number => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += of[i * size + i]!;
    return sum;
  };
  const [own, other] = [(1 - pointsShare) / (trace(queries) || 1), pointsShare / (trace(points) || 1)];
  return queries.map((value, at) => value * own + points[at]! * other);
}
