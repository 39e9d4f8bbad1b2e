import { availableParallelism } from 'node:os';
import type { Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import { gatherRows, type Matrix } from '../core/matrix.js';
import { projectNatively } from '../encoder/project-natively.js';
import { Rng } from '../core/rng.js';
import type { RunOptions } from '../core/run-options.js';
import { runInWorkers, shareFloats } from '../core/worker-task.js';
import { DIRECTIONS, HNSW, NEIGHBORS } from '../hyper-parameters/fit-of-candidates.js';
import { exactTopK } from './exact-search-in-worker.js';
import type { HnswShard, HnswTask } from './hnsw-worker.js';
import type { KnnGraph } from './graph.js';

/** Options of `buildKnnGraph`. */
export interface KnnOptions extends RunOptions {
  readonly k: number;
  readonly distance: Distance;
  readonly seed: number;
  readonly method?: 'auto' | 'exact' | 'reduced' | 'hnsw';
  /**
   * D x r: directions that hold most of the rows' inner products, such as principal axes. If there are too
   * many rows to compare in all dimensions, they are compared along these directions.
   */
  readonly directions?: Matrix | undefined;
  readonly threads?: number;
  /** Links per node of the HNSW index (M in Malkov and Yashunin 2018). */
  readonly m?: number;
  readonly efConstruction?: number;
  readonly efSearch?: number;
}

/**
 * The number of principal directions along which to compare n x D rows; null if all D dimensions are as fast,
 * or an HNSW index is faster.
 */
export function directionsFor(rows: number, cols: number): number | null {
  if (rows * rows * cols <= NEIGHBORS.productsMax || rows > NEIGHBORS.reducedRowsMax) return null;
  const half = Math.min(DIRECTIONS.most, Math.floor(cols / 2));
  const count = Math.max(
    DIRECTIONS.fewest,
    Math.min(half, Math.floor(NEIGHBORS.productsMax / (rows * rows))),
  );
  return count <= half ? count : null;
}

/**
 * Finds the k nearest neighbours of every row of x (n x D) among the other rows, in worker threads. A row is
 * excluded from its own neighbours by its index, so an exact duplicate is a neighbour like any other. If n <=
 * k, the graph has n - 1 neighbours per row. The HNSW index (Malkov and Yashunin 2018) has no Manhattan
 * distance: it finds Euclidean neighbours, and their recall is measured against the true Manhattan
 * neighbours.
 * @throws INVALID_ARGUMENT for k below 1, fewer than two rows, or `reduced` without directions
 * @throws ABORTED when the signal fires
 * @example
 * ```ts
 * import { buildKnnGraph, matrix } from 'qdrant-tldr';
 *
 * const x = matrix(200, 8, Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i * i)));
 * const { neighbors } = await buildKnnGraph(x, { k: 5, distance: 'cosine', seed: 1 }); // 5 for each row
 * ```
 */
export async function buildKnnGraph(x: Matrix, options: KnnOptions): Promise<KnnGraph> {
  if (!Number.isSafeInteger(options.k) || options.k < 1) {
    throw new TldrError('INVALID_ARGUMENT', `k: got ${options.k}, expected a whole number from 1`);
  }
  if (x.rows < 2)
    throw new TldrError('INVALID_ARGUMENT', `neighbours of ${x.rows} rows: expected at least 2`);
  const shared = { ...x, data: shareFloats(x.data) };
  const settings = { ...options, k: Math.min(options.k, x.rows - 1) };
  const method = methodFor(x, options);
  if (method === 'exact') return exactGraph(shared, settings);
  const neighbors =
    method === 'reduced' ? await reducedNeighbors(shared, settings) : await hnswNeighbors(shared, settings);
  const recall = await measureRecall(shared, neighbors, settings);
  if (recall < NEIGHBORS.recallMin && (options.method ?? 'auto') === 'auto') {
    const reached = `approximate neighbours reach recall ${recall.toFixed(3)}`;
    if (options.distance !== 'manhattan') {
      options.log?.('warn', `${reached}: searching exactly instead`);
      return exactGraph(shared, settings);
    }
    options.log?.('warn', `${reached}: Euclidean neighbours are used instead of Manhattan ones`);
  }
  return { rows: x.rows, k: settings.k, neighbors, method, recall };
}

/** The method that finds the neighbours: the requested one, or with `auto` the fastest for n x D rows. */
export function methodFor(
  { rows, cols }: Pick<Matrix, 'rows' | 'cols'>,
  options: Pick<KnnOptions, 'method' | 'distance' | 'directions'>,
): KnnGraph['method'] {
  const { method = 'auto', distance, directions } = options;
  if (method !== 'auto') return method;
  if (distance === 'manhattan') return rows <= NEIGHBORS.manhattanExactRowsMax ? 'exact' : 'hnsw';
  if (directionsFor(rows, cols) === null) return rows <= NEIGHBORS.reducedRowsMax ? 'exact' : 'hnsw';
  return directions === undefined ? 'hnsw' : 'reduced';
}

/**
 * Exact search in the coordinates along the directions: by inner product (cosine, dot) or Euclidean distance.
 */
async function reducedNeighbors(x: Matrix, options: KnnOptions): Promise<Int32Array> {
  const { distance, directions } = options;
  if (directions === undefined) {
    throw new TldrError('INVALID_ARGUMENT', 'neighbours along directions: no directions were given');
  }
  const layers = [{ weight: directions, bias: null, relu: false }];
  const network = { normalizeInput: distance === 'cosine', layers, normalizeOutput: false };
  const reduced = await projectNatively(network, x, options);
  const kept = distance === 'cosine' ? 'dot' : distance;
  return exactTopK(reduced, reduced, { ...options, distance: kept, excludeSelf: true });
}

async function exactGraph(x: Matrix, options: KnnOptions): Promise<KnnGraph> {
  const neighbors = await exactTopK(x, x, { ...options, excludeSelf: true });
  return { rows: x.rows, k: options.k, neighbors, method: 'exact', recall: 1 };
}

async function hnswNeighbors(x: Matrix, options: KnnOptions): Promise<Int32Array> {
  const { k, distance, seed, threads = availableParallelism() } = options;
  const { m = HNSW.m, efConstruction = HNSW.efConstruction } = options;
  const efSearch = options.efSearch ?? Math.max(HNSW.efSearchMin, Math.ceil(HNSW.efSearchPerNeighbor * k));
  const count = Math.max(1, Math.min(HNSW.shardsMax, threads, Math.floor(x.rows / HNSW.shardRowsMin)));
  const tasks = Array.from({ length: count }, (_, i): HnswTask => {
    const start = Math.floor((i * x.rows) / count);
    const end = Math.floor(((i + 1) * x.rows) / count);
    return { x, start, end, k, distance, m, efConstruction, efSearch, seed };
  });
  const { signal, onProgress } = options;
  const file = new URL('./hnsw-worker.js', import.meta.url);
  const shards = await runInWorkers({ file, tasks, total: x.rows * (count + 1), signal, onProgress });
  return mergeShards(shards.map(asShard), x.rows, k);
}

function asShard(value: unknown): HnswShard {
  if (typeof value === 'object' && value !== null && 'neighbors' in value && 'distances' in value) {
    const { neighbors, distances } = value;
    if (neighbors instanceof Int32Array && distances instanceof Float32Array) return { neighbors, distances };
  }
  throw new TldrError('INTERNAL', 'a neighbour shard came back without its arrays');
}

/** Merges the sorted lists of all shards, row by row. */
function mergeShards(shards: readonly HnswShard[], rows: number, k: number): Int32Array {
  const merged = new Int32Array(rows * k).fill(-1);
  const heads = new Int32Array(shards.length);
  for (let i = 0; i < rows; i++) {
    heads.fill(i * k);
    for (let at = i * k; at < (i + 1) * k; at++) {
      let best = -1;
      shards.forEach(({ neighbors, distances }, s) => {
        const head = heads[s]!;
        if (head >= (i + 1) * k || neighbors[head]! < 0) return;
        if (best < 0 || distances[head]! < shards[best]!.distances[heads[best]!]!) best = s;
      });
      if (best < 0) break;
      merged[at] = shards[best]!.neighbors[heads[best]!]!;
      heads[best] = heads[best]! + 1;
    }
  }
  return merged;
}

async function measureRecall(x: Matrix, neighbors: Int32Array, options: KnnOptions): Promise<number> {
  const { k, seed } = options;
  const rows = new Rng(seed).permutation(x.rows).subarray(0, NEIGHBORS.recallQueries);
  // One more than k, because each query finds itself as well.
  const truth = await exactTopK(x, gatherRows(x, rows), { ...options, k: k + 1, onProgress: undefined });
  let found = 0;
  let wanted = 0;
  rows.forEach((anchor, i) => {
    const mine = new Set(neighbors.subarray(anchor * k, (anchor + 1) * k));
    const others = truth
      .subarray(i * (k + 1), (i + 1) * (k + 1))
      .filter((index) => index >= 0 && index !== anchor);
    for (const index of others.subarray(0, k)) {
      wanted++;
      if (mine.has(index)) found++;
    }
  });
  return wanted === 0 ? 1 : found / wanted;
}
