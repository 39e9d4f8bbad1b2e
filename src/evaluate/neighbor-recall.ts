import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../core/encoder-network.js';
import { Kernel } from '../core/kernel.js';
import type { Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run.js';
import { exactTopK } from '../knn/exact.js';
import { bootstrapInterval, mean, recall } from './ranking.js';

/** Neighbours that count as right: the full space's first ten. */
const TRUTH_K = 10;
/** Depths at which the compact space is asked: plain, and what rescoring of 30 or 100 candidates recovers. */
const DEPTHS = [10, 30, 100] as const;

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

/** A judge: rows to search, queries that are none of them, and the true answers. */
export interface Benchmark {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly truth: Int32Array;
  readonly distance: Distance;
}

/** Finds the true top 10 of every query in the full space by exact search. */
export async function createBenchmark(
  data: { readonly base: Matrix; readonly queries: Matrix; readonly distance: Distance },
  run: RunOptions & { readonly threads?: number } = {},
): Promise<Benchmark> {
  const truth = await exactTopK(data.base, data.queries, { ...run, k: TRUTH_K, distance: data.distance });
  return { ...data, truth };
}

/** Judges a network by exact search in its space under `compactDistance`. */
export async function neighborRecall(
  benchmark: Benchmark,
  candidate: { readonly network: EncoderNetwork; readonly compactDistance: Distance; readonly seed: number },
  run: RunOptions & { readonly threads?: number } = {},
): Promise<NeighborRecall> {
  const { base, queries, truth } = benchmark;
  const kernel = new Kernel(candidate.network);
  const k = Math.max(...DEPTHS);
  const found = await exactTopK(kernel.project(base), kernel.project(queries), {
    ...run,
    k,
    distance: candidate.compactDistance,
  });
  const perDepth = DEPTHS.map((depth) => perQueryRecall(found, k, { truth, depth }));
  const [perQuery, at30, at100] = [perDepth[0]!, perDepth[1]!, perDepth[2]!];
  return {
    recallAt10: mean(perQuery),
    r10At30: mean(at30),
    r10At100: mean(at100),
    interval: bootstrapInterval(perQuery, candidate.seed),
    perQuery,
  };
}

/** Per query the share of its true neighbours among the first `depth` found. */
function perQueryRecall(
  found: Int32Array,
  k: number,
  { truth, depth }: { truth: Int32Array; depth: number },
): Float64Array {
  return Float64Array.from({ length: truth.length / TRUTH_K }, (_, q) =>
    recall(found.subarray(q * k, q * k + depth), truth.subarray(q * TRUTH_K, (q + 1) * TRUTH_K)),
  );
}
