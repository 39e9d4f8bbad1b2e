import { InferenceSession, Tensor } from 'onnxruntime-node';
import { TldrError } from './errors.js';
import { encodeOnnxModel } from './onnx-model.js';
import type { Matrix } from './matrix.js';

/** A native product of float32 matrices: alpha op(a) op(b) + c, c a row broadcast over all rows. */
export interface NativeMatmul {
  /** a and b must not lie in shared memory; the result is valid until the next call. Blocks its thread. */
  multiply(a: Matrix, b: Matrix, rowBias?: Float32Array): Promise<Matrix>;
  close(): Promise<void>;
}

/** Prepares one form of product. Meant for worker threads: each call blocks the thread it runs on. */
export async function createNativeMatmul(options: {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly bias?: boolean;
  readonly threads: number;
}): Promise<NativeMatmul> {
  const { transposeA = false, transposeB = false, alpha = 1, bias = false, threads } = options;
  const model = encodeOnnxModel({
    nodes: [
      {
        opType: 'Gemm',
        inputs: bias ? ['a', 'b', 'c'] : ['a', 'b'],
        outputs: ['y'],
        ints: { transA: Number(transposeA), transB: Number(transposeB) },
        floats: { alpha },
      },
    ],
    tensors: [],
    inputs: [
      { name: 'a', dims: ['a0', 'a1'] },
      { name: 'b', dims: ['b0', 'b1'] },
      ...(bias ? [{ name: 'c', dims: [1, 'n'] }] : []),
    ],
    outputs: [{ name: 'y', dims: ['m', 'n'] }],
    metadata: new Map(),
  });
  const session = await InferenceSession.create(model, {
    intraOpNumThreads: threads,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  let kept: Tensor | undefined;
  return {
    async multiply(a, b, rowBias) {
      const rows = transposeA ? a.cols : a.rows;
      const cols = transposeB ? b.rows : b.cols;
      if (kept?.dims[0] !== rows || kept.dims[1] !== cols) {
        kept = new Tensor('float32', new Float32Array(rows * cols), [rows, cols]);
      }
      const feeds: Record<string, Tensor> = {
        a: new Tensor('float32', a.data, [a.rows, a.cols]),
        b: new Tensor('float32', b.data, [b.rows, b.cols]),
      };
      if (rowBias !== undefined) feeds['c'] = new Tensor('float32', rowBias, [1, cols]);
      await session.run(feeds, { y: kept });
      if (!(kept.data instanceof Float32Array)) throw new TldrError('INTERNAL', 'expected a float32 product');
      return { rows, cols, data: kept.data };
    },
    close: () => session.release(),
  };
}
