import { parentPort } from 'node:worker_threads';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
import { TldrError } from '../core/errors.js';
import {
  alongBasis,
  closeProducts,
  largestEigenpairs,
  openProducts,
  type EigenTask,
  type TopEigen,
} from './largest-eigen.js';

async function expanded({ values, vectors }: TopEigen, task: EigenTask): Promise<TopEigen> {
  const products = await openProducts(task.threads);
  const coordinates = { rows: task.size, cols: task.d, data: vectors };
  const { data } = await alongBasis(coordinates, task.basis, products);
  await closeProducts(products);
  return { values, vectors: data };
}

try {
  const task = workerTask() as EigenTask;
  const found = await largestEigenpairs(task, {
    shouldStop: isStopped,
    onIteration: (done, total) =>
      parentPort?.postMessage({
        kind: 'progress',
        progress: { step: 'principal axes', done, total, unit: 'iterations' },
      }),
  });
  if (found === null) throw new TldrError('ABORTED', 'stopped before it was finished');
  const result = task.basis === null ? found : await expanded(found, task);
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
