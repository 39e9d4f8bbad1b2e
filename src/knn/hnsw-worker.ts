import { createRequire } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type * as Hnsw from 'hnswlib-node';
import { normalizeRowsInPlace, type Distance } from '../core/distance.js';
import { matrix, row, type Matrix } from '../core/matrix.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';

/**
 * One shard of an approximate graph: an HNSW index (Malkov and Yashunin 2018) over rows `start` to `end`,
 * which is searched for the neighbours of all rows.
 */
export interface HnswTask {
  readonly x: Matrix;
  readonly start: number;
  readonly end: number;
  readonly k: number;
  readonly distance: Distance;
  readonly m: number;
  readonly efConstruction: number;
  readonly efSearch: number;
  readonly seed: number;
}

/** For each row, its k nearest rows of this shard and their distances; -1 if there are fewer. */
export interface HnswShard {
  readonly neighbors: Int32Array;
  readonly distances: Float32Array;
}

const PROGRESS_ROWS = 256;

/** Row i for hnswlib, normalised for cosine. Normalising all rows at once would need a copy as large as x. */
function vectorsOf(x: Matrix, distance: Distance): (i: number) => number[] {
  const copy = matrix(1, x.cols);
  return (i) => {
    copy.data.set(row(x, i));
    if (distance === 'cosine') normalizeRowsInPlace(copy);
    return Array.from(copy.data);
  };
}

function buildShard(task: HnswTask, hnsw: typeof Hnsw): HnswShard {
  const { x, start, end, k, distance } = task;
  const vectorAt = vectorsOf(x, distance);
  const space = distance === 'cosine' || distance === 'dot' ? 'ip' : 'l2';
  const index = new hnsw.HierarchicalNSW(space, x.cols);
  index.initIndex(end - start, task.m, task.efConstruction, task.seed);
  const report = (done: number): void => {
    throwIfStopped();
    parentPort?.postMessage({
      kind: 'progress',
      progress: { step: 'neighbour graph', done, total: end - start + x.rows, unit: 'vectors' },
    });
  };
  for (let i = start; i < end; i++) {
    index.addPoint(vectorAt(i), i);
    if (i % PROGRESS_ROWS === 0) report(i - start);
  }
  index.setEf(Math.max(task.efSearch, k + 1));
  const neighbors = new Int32Array(x.rows * k).fill(-1);
  const distances = new Float32Array(x.rows * k).fill(Infinity);
  const wanted = Math.min(k + 1, end - start);
  for (let i = 0; i < x.rows; i++) {
    const found = index.searchKnn(vectorAt(i), wanted);
    let at = i * k;
    found.neighbors.forEach((neighbor, rank) => {
      // Row i excludes itself by index: with duplicates or inner products it need not come first.
      if (neighbor === i || at === (i + 1) * k) return;
      neighbors[at] = neighbor;
      distances[at] = found.distances[rank]!;
      at++;
    });
    if (i % PROGRESS_ROWS === 0) report(end - start + i);
  }
  return { neighbors, distances };
}

try {
  // A native addon: its CommonJS exports are not visible to a static import.
  const hnsw = createRequire(import.meta.url)('hnswlib-node') as typeof Hnsw;
  const shard = buildShard(workerTask() as HnswTask, hnsw);
  parentPort?.postMessage({ kind: 'result', result: shard }, [
    shard.neighbors.buffer as ArrayBuffer,
    shard.distances.buffer as ArrayBuffer,
  ]);
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
