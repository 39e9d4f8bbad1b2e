import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { expectDefined, TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorkers, shareFloats } from '../core/worker-task.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import type { StorageKind } from '../store/collection.js';
import { bootstrapInterval, mean, recall } from './ranking.js';
import type { SearchResult, SearchTask } from './search-worker.js';

/** The true neighbours are the first ten of the full space. */
const TRUTH_K = 10;
/** Depths of the compact search: 10 without rescoring, 30 and 100 for rescoring as many results. */
const DEPTHS = [10, 30, 100] as const;
/** Results kept per query. */
export const FOUND_K = Math.max(...DEPTHS);

/** Share of the full space's top 10 among the compact space's first 10, 30 and 100. */
export interface NeighborRecall {
  readonly recallAt10: number;
  readonly r10At30: number;
  readonly r10At100: number;
  /** 95 % bootstrap interval of recallAt10 over queries. */
  readonly interval: readonly [number, number];
  /** recallAt10 of each query. */
  readonly perQuery: Float64Array;
}

/** Rows to search, queries that are not among them, and the true results. */
export interface Benchmark {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly truth: Int32Array;
  readonly distance: Distance;
}

/**
 * Creates a benchmark: finds the true top 10 of every query by exact search in the full space.
 * @example
 * ```ts
 * import { createBenchmark, matrix } from 'qdrant-tldr';
 *
 * const base = matrix(200, 8, Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i * i)));
 * const queries = matrix(10, 8, Float32Array.from({ length: 80 }, (_, i) => Math.cos(i * i)));
 * const { truth } = await createBenchmark({ base, queries, distance: 'cosine' }); // 10 rows for each query
 * ```
 */
export async function createBenchmark(
  data: { readonly base: Matrix; readonly queries: Matrix; readonly distance: Distance },
  run: RunOptions & { readonly threads?: number } = {},
): Promise<Benchmark> {
  const truth = await exactTopK(data.base, data.queries, { ...run, k: TRUTH_K, distance: data.distance });
  return { ...data, truth };
}

/**
 * Measures the recall of a network (or of one for points and one for queries) by exact search in its space.
 * @example
 * ```ts
 * // Given: enc.onnx
 * import { createBenchmark, Encoder, matrix, neighborRecall } from 'qdrant-tldr';
 *
 * const { network, inputDim, metadata } = await Encoder.load('enc.onnx');
 * const wave = (rows: number): Float32Array =>
 *   Float32Array.from({ length: rows * inputDim }, (_, i) => Math.sin(i * i + rows));
 * const benchmark = await createBenchmark({
 *   base: matrix(200, inputDim, wave(200)),
 *   queries: matrix(10, inputDim, wave(10)),
 *   distance: 'cosine',
 * });
 * const { compactDistance, seed } = metadata;
 * const { recallAt10, interval } = await neighborRecall(benchmark, { network, compactDistance, seed });
 * ```
 */
export async function neighborRecall(
  benchmark: Benchmark,
  candidate: {
    readonly network: EncoderNetwork;
    readonly queryNetwork?: EncoderNetwork;
    readonly compactDistance: Distance;
    readonly seed: number;
  },
  run: RunOptions & { readonly threads?: number } = {},
): Promise<NeighborRecall> {
  const { network, queryNetwork, compactDistance, seed } = candidate;
  const judged = { network, queryNetwork, distances: [compactDistance] };
  const [found] = await searchCompact(benchmark, [judged], run);
  return recallOf(benchmark, expectDefined(found?.[0], 'the search result'), seed);
}

/**
 * Finds the first `FOUND_K` base rows of every query by exact search in each network's space, for each of its
 * distances; -1 if there are fewer. The networks are divided among worker threads. Threads inside the native
 * products would help less, because half of the time is spent sorting.
 */
export async function searchCompact(
  { base, queries }: Pick<Benchmark, 'base' | 'queries'>,
  candidates: SearchTask['candidates'],
  options: RunOptions & {
    readonly threads?: number;
    /** Form in which compact vectors are stored and searched. Default: float32. */
    readonly storedAs?: StorageKind | undefined;
    readonly seed?: number;
  } = {},
): Promise<SearchResult> {
  const { threads = THREADS, signal, onProgress, storedAs = 'float32', seed = 0 } = options;
  const workers = Math.min(threads, candidates.length);
  const shared = {
    base: { ...base, data: shareFloats(base.data) },
    queries: { ...queries, data: shareFloats(queries.data) },
    k: FOUND_K,
    storedAs,
    seed,
    threads: Math.max(1, Math.floor(threads / workers)),
  };
  const tasks = Array.from({ length: workers }, (_, w): SearchTask => {
    const own = candidates.filter((_candidate, i) => i % workers === w);
    return {
      ...shared,
      candidates: own.map(({ network, queryNetwork, distances }) => ({ network, queryNetwork, distances })),
    };
  });
  const file = new URL('./search-worker.js', import.meta.url);
  const shares = await runInWorkers({ file, tasks, total: candidates.length, signal, onProgress });
  return candidates.map((_, i) => listsOf(shares[i % workers], Math.floor(i / workers)));
}

function listsOf(share: unknown, at: number): readonly Int32Array[] {
  const lists: unknown = Array.isArray(share) ? share[at] : undefined;
  if (!Array.isArray(lists) || !lists.every((list): list is Int32Array => list instanceof Int32Array))
    throw new TldrError('INTERNAL', 'the search of compact spaces returned no lists');
  return lists;
}

/** Measures the recall of ranked lists. @param found m x FOUND_K row indices, nearest first */
export function recallOf(
  { truth }: Pick<Benchmark, 'truth'>,
  found: Int32Array,
  seed: number,
): NeighborRecall {
  const perDepth = DEPTHS.map((depth) => perQueryRecall(found, { truth, depth }));
  const perQuery = perDepth[0]!;
  return {
    recallAt10: mean(perQuery),
    r10At30: mean(perDepth[1]!),
    r10At100: mean(perDepth[2]!),
    interval: bootstrapInterval(perQuery, seed),
    perQuery,
  };
}

/** For each query, the share of its true neighbours among the first `depth` results. */
function perQueryRecall(
  found: Int32Array,
  { truth, depth }: { truth: Int32Array; depth: number },
): Float64Array {
  return Float64Array.from({ length: truth.length / TRUTH_K }, (_, q) =>
    recall(found.subarray(q * FOUND_K, q * FOUND_K + depth), truth.subarray(q * TRUTH_K, (q + 1) * TRUTH_K)),
  );
}
