import { InferenceSession, Tensor } from 'onnxruntime-node';
import { TldrError } from '../core/errors.js';
import { encodeOnnxModel } from './onnx-model.js';
import type { Matrix } from '../core/matrix.js';

interface ProductForm {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly threads: number;
}

/** A native product of float32 matrices: alpha op(a) op(b) + c. The row c is added to all rows. */
export interface NativeMatmul {
  /** a and b must not lie in shared memory; the result is valid until the next call. Blocks its thread. */
  multiply(a: Matrix, b: Matrix, rowBias?: Float32Array): Promise<Matrix>;
  close(): Promise<void>;
}

/** Prepares one form of product. It is meant for worker threads, because each product blocks its thread. */
export async function createNativeMatmul(
  options: ProductForm & { readonly bias?: boolean },
): Promise<NativeMatmul> {
  const { transposeA = false, transposeB = false, bias = false } = options;
  const session = await openProduct(options, { bias, double: false });
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

/** rows x cols values in row-major order, in float64: for small dense algebra, not for bulk vectors. */
export interface DoubleMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/** A native product of float64 matrices. Blocks its thread; operands must not lie in shared memory. */
export interface NativeDoubleProduct {
  multiply(a: DoubleMatrix, b: DoubleMatrix): Promise<DoubleMatrix>;
  close(): Promise<void>;
}

/** Prepares one form of product in float64, for worker threads. */
export async function createDoubleProduct(options: ProductForm): Promise<NativeDoubleProduct> {
  const { transposeA = false, transposeB = false } = options;
  const session = await openProduct(options, { bias: false, double: true });
  return {
    async multiply(a, b) {
      const { y } = await session.run({
        a: new Tensor('float64', a.data, [a.rows, a.cols]),
        b: new Tensor('float64', b.data, [b.rows, b.cols]),
      });
      if (!(y?.data instanceof Float64Array)) throw new TldrError('INTERNAL', 'expected a float64 product');
      return { rows: transposeA ? a.cols : a.rows, cols: transposeB ? b.rows : b.cols, data: y.data };
    },
    close: () => session.release(),
  };
}

function openProduct(
  { transposeA = false, transposeB = false, alpha = 1, threads }: ProductForm,
  { bias, double }: { readonly bias: boolean; readonly double: boolean },
): Promise<InferenceSession> {
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
      { name: 'a', dims: ['a0', 'a1'], double },
      { name: 'b', dims: ['b0', 'b1'], double },
      ...(bias ? [{ name: 'c', dims: [1, 'n'] }] : []),
    ],
    outputs: [{ name: 'y', dims: ['m', 'n'], double }],
    metadata: new Map(),
  });
  return InferenceSession.create(model, {
    intraOpNumThreads: threads,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
}
