import { parentPort } from 'node:worker_threads';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';
import { exactSearch, type ExactTask } from './exact-search.js';

try {
  const task = workerTask() as ExactTask;
  const total = task.queries.rows;
  const result = await exactSearch(task, {
    throwIfStopped,
    onProgress: (share) =>
      parentPort?.postMessage({
        kind: 'progress',
        progress: { step: 'exact neighbours', done: Math.round(share * total), total, unit: 'vectors' },
      }),
  });
  parentPort?.postMessage({ kind: 'result', result }, [result.buffer as ArrayBuffer]);
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
