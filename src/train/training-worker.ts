import { parentPort } from 'node:worker_threads';
import type { Matrix } from '../core/matrix.js';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
import type { Neighbors } from './batches.js';
import { runTraining } from './run-training.js';
import type { TrainState } from './state.js';
import type { TldrOptions } from './options.js';

/** The task that `trainTldr` gives its worker; x lies in shared memory. */
export interface TrainTask {
  readonly x: Matrix;
  readonly graph: Neighbors;
  readonly options: TldrOptions;
  readonly resume: TrainState | undefined;
}

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const { x, graph, options, resume } = workerTask() as TrainTask;
  const outcome = await runTraining(x, graph, options, {
    resume,
    log: (level, message) => port.postMessage({ kind: 'event', event: { level, message } }),
    onProgress: (progress, loss) => {
      port.postMessage({ kind: 'progress', progress });
      port.postMessage({ kind: 'event', event: { loss } });
    },
    shouldStop: isStopped,
  });
  port.postMessage({ kind: 'result', result: outcome });
}

if (parentPort !== null) {
  try {
    await work(parentPort);
  } catch (error) {
    parentPort.postMessage(errorMessage(error));
  }
}
