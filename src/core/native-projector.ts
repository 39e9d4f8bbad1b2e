import { normalizedRows, normalizeRowsInPlace, squaredNorm } from './distance.js';
import type { EncoderNetwork } from './encoder-network.js';
import { networkToOnnx } from './encoder-onnx.js';
import { TldrError } from './errors.js';
import { matrix, row, type Matrix } from './matrix.js';

/** Rows whose squared length is this near to 1 count as scaled: float32 components come no nearer. */
const UNIT_TOLERANCE = 1e-6;

/** A network as native products: rows by the hundred take half the time that the kernel of single queries needs. */
export interface NativeProjector {
  /** x: n x inputDim, not in shared memory, to n x outputDim. Blocks its thread while it computes. */
  project(x: Matrix): Promise<Matrix>;
  close(): Promise<void>;
}

export async function openNativeProjector(
  network: EncoderNetwork,
  threads: number,
): Promise<NativeProjector> {
  // Loaded when it is needed: processes that project queries alone save its memory.
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { normalizeInput, normalizeOutput, layers } = network;
  // Rows are scaled here: squares of float32 overflow in its own scaling.
  const products = networkToOnnx({ layers, normalizeInput: false, normalizeOutput: false });
  const session = await InferenceSession.create(products, {
    intraOpNumThreads: threads,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  const cols = layers.at(-1)?.weight.cols ?? 0;
  return {
    async project(x) {
      const { data } = normalizeInput && !isUnit(x) ? normalizedRows(x) : x;
      const { projected } = await session.run({ vectors: new Tensor('float32', data, [x.rows, x.cols]) });
      if (!(projected?.data instanceof Float32Array)) throw new TldrError('INTERNAL', 'no projected vectors');
      const y = matrix(x.rows, cols, projected.data);
      if (normalizeOutput) normalizeRowsInPlace(y);
      return y;
    },
    close: () => session.release(),
  };
}

function isUnit(x: Matrix): boolean {
  for (let i = 0; i < x.rows; i++) if (Math.abs(squaredNorm(row(x, i)) - 1) > UNIT_TOLERANCE) return false;
  return true;
}
