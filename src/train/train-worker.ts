import { parentPort, workerData } from 'node:worker_threads';
import type { Matrix } from '../core/matrix.js';
import { yieldToEventLoop } from '../core/run.js';
import { errorMessage } from '../core/worker-task.js';
import type { Neighbors } from './batches.js';
import { runTraining } from './run-training.js';
import type { TrainState } from './train-state.js';
import type { TldrOptions } from './train-options.js';

/** What trainTldr hands to its worker; x lies in shared memory. */
export interface TrainTask {
  readonly x: Matrix;
  readonly graph: Neighbors;
  readonly options: TldrOptions;
  readonly resume: TrainState | undefined;
}

const STOP_CHECK_MS = 50;

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const { x, graph, options, resume } = workerData as TrainTask;
  let stop = false;
  let checkedAtMs = performance.now();
  port.on('message', () => {
    stop = true;
  });
  const outcome = await runTraining(x, graph, options, {
    resume,
    log: (level, message) => port.postMessage({ kind: 'event', event: { level, message } }),
    onProgress: (progress, loss) => {
      port.postMessage({ kind: 'progress', progress });
      port.postMessage({ kind: 'event', event: { loss } });
    },
    // Steps block this thread: give the stop message a chance now and then.
    shouldStop: async () => {
      if (performance.now() - checkedAtMs < STOP_CHECK_MS) return stop;
      await yieldToEventLoop();
      checkedAtMs = performance.now();
      return stop;
    },
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
