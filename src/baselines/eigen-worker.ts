import { parentPort } from 'node:worker_threads';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
import { TldrError } from '../core/errors.js';
import { largestEigen, type EigenTask } from './largest-eigen.js';

try {
  const result = await largestEigen(workerTask() as EigenTask, {
    shouldStop: isStopped,
    onIteration: (done, total) =>
      parentPort?.postMessage({
        kind: 'progress',
        progress: { step: 'principal axes', done, total, unit: 'iterations' },
      }),
  });
  if (result === null) throw new TldrError('ABORTED', 'stopped before it was finished');
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
