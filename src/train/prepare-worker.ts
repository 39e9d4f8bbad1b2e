import { parentPort } from 'node:worker_threads';
import type { Matrix } from '../core/matrix.js';
import { errorMessage, workerTask } from '../core/worker-task.js';
import { prepareSample, type PrepareOptions } from './prepare-sample.js';

/** The task that `prepareInWorker` gives its worker; x lies in shared memory. */
export interface PrepareTask {
  readonly x: Matrix;
  readonly options: PrepareOptions;
}

try {
  const { x, options } = workerTask() as PrepareTask;
  parentPort?.postMessage({ kind: 'result', result: await prepareSample(x, options) });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
