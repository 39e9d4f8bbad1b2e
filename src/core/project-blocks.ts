import type { EncoderNetwork } from './encoder-network.js';
import { matrix, type Matrix } from './matrix.js';
import { openNativeProjector } from './native-projector.js';

const BLOCK_ROWS = 2048;

/** x: n x inputDim to n x outputDim with native products, block by block in this thread, into `out`. */
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
  const projector = await openNativeProjector(network, threads);
  for (let start = 0; start < x.rows; start += BLOCK_ROWS) {
    beforeBlock?.(start);
    const rows = Math.min(BLOCK_ROWS, x.rows - start);
    const block = new Float32Array(x.data.subarray(start * x.cols, (start + rows) * x.cols));
    const projected = await projector.project(matrix(rows, x.cols, block));
    out.set(projected.data, start * projected.cols);
  }
  await projector.close();
}
