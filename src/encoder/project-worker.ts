import { parentPort } from 'node:worker_threads';
import type { EncoderNetwork } from './network.js';
import type { Matrix } from '../core/matrix.js';
import { projectSample } from './native-projector.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';

/** The task that `projectNatively` gives its worker; x and out lie in shared memory. */
export interface ProjectTask {
  readonly network: EncoderNetwork;
  readonly x: Matrix;
  readonly out: Float32Array;
  readonly threads: number;
}

try {
  const { network, x, out, threads } = workerTask() as ProjectTask;
  await projectSample(network, x, {
    out,
    threads,
    beforeBlock: (done) => {
      throwIfStopped();
      parentPort?.postMessage({
        kind: 'progress',
        progress: { step: 'projecting', done, total: x.rows, unit: 'vectors' },
      });
    },
  });
  parentPort?.postMessage({ kind: 'result', result: null });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
