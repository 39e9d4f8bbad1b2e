import { parentPort } from 'node:worker_threads';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
import type { Neighbors } from './batches.js';
import type { PreparedSample } from './prepare-sample.js';
import { runTraining } from './run-training.js';
import type { TimeLimit, TrainState } from './state.js';
import type { TldrOptions } from './options.js';

/** The task that `trainTldr` gives its worker; the sample lies in shared memory. */
export interface TrainTask {
  readonly prepared: PreparedSample;
  readonly graph: Neighbors;
  readonly options: TldrOptions;
  readonly resume: TrainState | undefined;
  readonly limit: TimeLimit | undefined;
  readonly pauseAt: number | undefined;
}

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const { prepared, graph, options, resume, limit, pauseAt } = workerTask() as TrainTask;
  const outcome = await runTraining(prepared, graph, options, {
    resume,
    limit,
    pauseAt,
    onState: (state) => port.postMessage({ kind: 'event', event: { state } }),
    log: (level, message) => port.postMessage({ kind: 'event', event: { level, message } }),
    onProgress: (progress, loss) => {
      port.postMessage({ kind: 'progress', progress });
      port.postMessage({ kind: 'event', event: { loss } });
    },
    shouldStop: isStopped,
    isStopped,
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
