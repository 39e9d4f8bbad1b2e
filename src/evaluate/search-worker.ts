import { parentPort } from 'node:worker_threads';
import { shapeOf } from '../encoder/network.js';
import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import type { Matrix } from '../core/matrix.js';
import { projectSample } from '../encoder/native-projector.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';
import { exactSearch } from '../knn/exact-search.js';
import type { StorageKind } from '../store/collection.js';
import { asStored } from './stored-codes.js';

/** The task that `searchCompact` gives its workers; base and queries lie in shared memory. */
export interface SearchTask {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly candidates: readonly {
    readonly network: EncoderNetwork;
    /** The network for queries, if they have their own. */
    readonly queryNetwork?: EncoderNetwork | undefined;
    readonly distances: readonly Distance[];
  }[];
  readonly k: number;
  /** Form in which the compact vectors are stored, and seed of what is random in it. */
  readonly storedAs: StorageKind;
  readonly seed: number;
  readonly threads: number;
}

/** For each candidate and each of its distances: m x k row indices. */
export type SearchResult = readonly (readonly Int32Array[])[];

async function search(task: SearchTask): Promise<SearchResult> {
  const { base, queries, candidates, k, threads, storedAs, seed } = task;
  const results: Int32Array[][] = [];
  for (const [i, { network, queryNetwork, distances }] of candidates.entries()) {
    const [compactBase, compactQueries] = [
      await compact(network, base, threads),
      await compact(queryNetwork ?? network, queries, threads),
    ];
    const found: Int32Array[] = [];
    for (const distance of distances) {
      throwIfStopped();
      const stored = asStored({ base: compactBase, queries: compactQueries, distance }, storedAs, seed);
      found.push(
        await exactSearch(
          { ...stored, k, excludeSelf: false, threads },
          { throwIfStopped, onProgress: () => undefined },
        ),
      );
    }
    results.push(found);
    parentPort?.postMessage({
      kind: 'progress',
      progress: { step: 'judging', done: i + 1, total: candidates.length, unit: 'candidates' },
    });
  }
  return results;
}

async function compact(network: EncoderNetwork, x: Matrix, threads: number): Promise<Matrix> {
  const cols = shapeOf(network).outputDim;
  const out = new Float32Array(x.rows * cols);
  await projectSample(network, x, { out, threads, beforeBlock: throwIfStopped });
  return { rows: x.rows, cols, data: out };
}

try {
  const result = await search(workerTask() as SearchTask);
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
