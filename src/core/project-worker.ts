import { InferenceSession, Tensor } from 'onnxruntime-node';
import { parentPort } from 'node:worker_threads';
import { TldrError } from './errors.js';
import { networkToOnnx } from './encoder-onnx.js';
import type { EncoderNetwork } from './encoder-network.js';
import type { Matrix } from './matrix.js';
import { errorMessage, throwIfStopped, workerTask } from './worker-task.js';

/** What projectNatively hands to its worker: x and out lie in shared memory. */
export interface ProjectTask {
  readonly network: EncoderNetwork;
  readonly x: Matrix;
  readonly out: Float32Array;
  readonly threads: number;
}

const BLOCK_ROWS = 2048;

async function project({ network, x, out, threads }: ProjectTask): Promise<void> {
  const session = await InferenceSession.create(networkToOnnx(network), {
    intraOpNumThreads: threads,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  const cols = out.length / Math.max(1, x.rows);
  for (let start = 0; start < x.rows; start += BLOCK_ROWS) {
    throwIfStopped();
    const rows = Math.min(BLOCK_ROWS, x.rows - start);
    const block = x.data.slice(start * x.cols, (start + rows) * x.cols);
    const { projected } = await session.run({
      vectors: new Tensor('float32', new Float32Array(block), [rows, x.cols]),
    });
    if (!(projected?.data instanceof Float32Array)) throw new TldrError('INTERNAL', 'no projected vectors');
    out.set(projected.data, start * cols);
    parentPort?.postMessage({
      kind: 'progress',
      progress: { step: 'projecting', done: start + rows, total: x.rows, unit: 'vectors' },
    });
  }
  await session.release();
}

try {
  await project(workerTask() as ProjectTask);
  parentPort?.postMessage({ kind: 'result', result: null });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
