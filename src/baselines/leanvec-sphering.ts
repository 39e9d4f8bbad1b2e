import type { Distance } from '../core/distance.js';
import type { EncoderNetworks } from '../encoder/network.js';
import { TldrError } from '../core/errors.js';
import { matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run.js';
import { runInWorker } from '../core/worker-task.js';
import type { Moments } from './moment-worker.js';
import { linearNetwork } from './pca.js';
import type { SpheringTask } from './sphering-worker.js';

/**
 * Two linear maps of which the inner products of queries and points survive best, for queries that are distributed
 * otherwise than the points: LeanVec-Sphering (Tepper et al. 2024, "LeanVec: Searching vectors faster by making them
 * fit"), by its own closed form in `sphering-worker.ts`. The moment of few queries is noisy, so that of the points is
 * mixed in.
 * @param points,queries uncentred moments, along the same basis if there is one; taken of unit rows for cosine
 * @param options.pointsShare share of the points' moment in that of the queries, both scaled to the same size
 * @throws INVALID_ARGUMENT where dimensions differ, ABORTED
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
  const { dim, distance, pointsShare, threads = 2, signal, onProgress } = options;
  const dims = points.mean.length;
  if (queries.mean.length !== dims) {
    throw new TldrError('INVALID_ARGUMENT', `queries are ${queries.mean.length}-d, the points ${dims}-d`);
  }
  const { basis } = points;
  const size = basis?.cols ?? dims;
  if (queries.second.length !== points.second.length) {
    throw new TldrError('INVALID_ARGUMENT', 'moments of queries and points are along different bases');
  }
  const mixed = mix(queries.second, points.second, { pointsShare, size });
  const task: SpheringTask = { points: points.second, queries: mixed, size, d: dim, threads, basis };
  const file = new URL('./sphering-worker.js', import.meta.url);
  const maps = await runInWorker({ file, data: task, signal, onProgress });
  if (typeof maps === 'object' && maps !== null && 'points' in maps && 'queries' in maps) {
    const network = (weights: unknown): EncoderNetworks['network'] => {
      if (!(weights instanceof Float64Array)) throw new TldrError('INTERNAL', 'a map came back empty');
      return linearNetwork(matrix(dims, dim, Float32Array.from(weights)), { distance, bias: null });
    };
    return { network: network(maps.points), queryNetwork: network(maps.queries) };
  }
  throw new TldrError('INTERNAL', 'the maps came back without their weights');
}

/** Both moments scaled to a trace of 1, so that neither's scale decides the shares. */
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
