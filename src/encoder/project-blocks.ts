import { InferenceSession, Tensor } from 'onnxruntime-node';
import { shapeOf } from './network.js';
import { normalizeRowsInPlace } from '../core/distance.js';
import type { EncoderNetwork } from './network.js';
import { networkToOnnx } from './onnx.js';
import { TldrError } from '../core/errors.js';
import { rowsPerBlock, type Matrix } from '../core/matrix.js';

const BLOCK_ROWS = 2048;

/**
 * Projects x, n x inputDim, into `out`, n x outputDim, with native products, block by block in this thread.
 * Rows are normalised in float64, because in float32 the squares of large components overflow.
 */
export async function projectBlocks(
  network: EncoderNetwork,
  x: Matrix,
  options: {
    readonly out: Float32Array;
    readonly threads: number;
    readonly beforeBlock?: (rowsDone: number) => void;
  },
): Promise<void> {
  const { out, threads, beforeBlock } = options;
  const session = await InferenceSession.create(
    networkToOnnx({ ...network, normalizeInput: false, normalizeOutput: false }),
    {
      intraOpNumThreads: threads,
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    },
  );
  const cols = shapeOf(network).outputDim;
  const blockRows = rowsPerBlock(x.cols, BLOCK_ROWS);
  for (let start = 0; start < x.rows; start += blockRows) {
    beforeBlock?.(start);
    const rows = Math.min(blockRows, x.rows - start);
    const block = new Float32Array(x.data.subarray(start * x.cols, (start + rows) * x.cols));
    if (network.normalizeInput) normalizeRowsInPlace({ rows, cols: x.cols, data: block });
    const { projected } = await session.run({ vectors: new Tensor('float32', block, [rows, x.cols]) });
    if (!(projected?.data instanceof Float32Array)) throw new TldrError('INTERNAL', 'no projected vectors');
    if (network.normalizeOutput) normalizeRowsInPlace({ rows, cols, data: projected.data });
    out.set(projected.data, start * cols);
  }
  await session.release();
}
