import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { shapeOf, type EncoderNetwork } from './network.js';
import { networkToOnnx } from './onnx.js';
import { TldrError } from '../core/errors.js';
import { KernelRows } from './projection-kernel.js';
import { matrix, rowsPerBlock, type Matrix } from '../core/matrix.js';
import { turns } from '../core/run-in-turn.js';

/** Rows of one product: enough for the native library to reach full speed with one thread. */
const BLOCK_ROWS = 256;
/** Rows of one product with several threads. */
const SAMPLE_BLOCK_ROWS = 2048;

/** Loads the library of native products. @throws the loader's error if this machine has no such library */
export async function loadNativeLibrary(): Promise<void> {
  await import('onnxruntime-node');
}

type BeforeBlock = (rowsDone: number) => void;

/**
 * Projects batches as `Encoder.project` does, but with native products. These add in another order, so the
 * last digits differ from the kernel's. It is for bulk work only: to open it takes as long as the kernel
 * needs for a few thousand vectors. Each block of rows blocks the thread, with a linear encoder for a
 * millisecond or two.
 */
export class NativeProjector {
  readonly #network: EncoderNetwork;
  readonly #session: InferenceSession;
  readonly #blockRows: number;
  readonly #input: KernelRows;
  readonly #output: KernelRows;
  readonly #tensor: (values: Float32Array, rows: number, cols: number) => Tensor;
  /** Blocks are projected one after the other: all use the same memory. */
  readonly #inTurn = turns();

  private constructor(
    network: EncoderNetwork,
    session: InferenceSession,
    tensor: (values: Float32Array, rows: number, cols: number) => Tensor,
    blockRows: number,
  ) {
    const { inputDim, outputDim } = shapeOf(network);
    this.#network = network;
    this.#session = session;
    this.#tensor = tensor;
    this.#blockRows = blockRows;
    this.#input = new KernelRows(blockRows, inputDim);
    this.#output = new KernelRows(blockRows, outputDim);
  }

  /**
   * Loads the native library and the network.
   * @throws the loader's error if this machine has no such library
   */
  static async open(
    network: EncoderNetwork,
    { threads = 1, blockRows = BLOCK_ROWS }: { readonly threads?: number; readonly blockRows?: number } = {},
  ): Promise<NativeProjector> {
    const { InferenceSession, Tensor } = await import('onnxruntime-node');
    // The kernel normalises rows, in float64: in float32 the squares of large components overflow.
    const layers = networkToOnnx({ ...network, normalizeInput: false, normalizeOutput: false });
    const session = await InferenceSession.create(layers, {
      intraOpNumThreads: threads,
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
    const tensor = (values: Float32Array, rows: number, cols: number): Tensor =>
      new Tensor('float32', values, [rows, cols]);
    return new NativeProjector(network, session, tensor, blockRows);
  }

  /**
   * Projects x, n x inputDim, to n x outputDim.
   * @param options.out the memory of the result
   * @throws INVALID_ARGUMENT when x has another dimension
   */
  async project(
    x: Matrix,
    { out: data, beforeBlock }: { readonly out?: Float32Array; readonly beforeBlock?: BeforeBlock } = {},
  ): Promise<Matrix> {
    const { inputDim, outputDim } = shapeOf(this.#network);
    if (x.cols !== inputDim)
      throw new TldrError('INVALID_ARGUMENT', `cannot project ${x.cols}-d vectors: expected ${inputDim}-d`);
    const out = matrix(x.rows, outputDim, data);
    for (let start = 0; start < x.rows; start += this.#blockRows) {
      beforeBlock?.(start);
      await this.#inTurn(() => this.#block(x, out, start));
    }
    return out;
  }

  async close(): Promise<void> {
    await this.#inTurn(() => Promise.resolve());
    await this.#session.release();
  }

  async #block(x: Matrix, out: Matrix, start: number): Promise<void> {
    const rows = Math.min(this.#blockRows, x.rows - start);
    const { normalizeInput, normalizeOutput } = this.#network;
    const [input, output] = [this.#input, this.#output];
    input.data.set(x.data.subarray(start * x.cols, (start + rows) * x.cols));
    if (normalizeInput) input.normalize(rows);
    const vectors = this.#tensor(input.data.subarray(0, rows * x.cols), rows, x.cols);
    const projected = this.#tensor(output.data.subarray(0, rows * out.cols), rows, out.cols);
    await this.#session.run({ vectors }, { projected });
    if (normalizeOutput) output.normalize(rows);
    out.data.set(output.data.subarray(0, rows * out.cols), start * out.cols);
  }
}

/** Projects a whole sample x, n x inputDim, into `out`, n x outputDim, with several threads. */
export async function projectSample(
  network: EncoderNetwork,
  x: Matrix,
  {
    threads,
    ...into
  }: {
    readonly out: Float32Array;
    readonly threads: number;
    readonly beforeBlock?: BeforeBlock;
  },
): Promise<void> {
  const blockRows = Math.min(x.rows, rowsPerBlock(x.cols, SAMPLE_BLOCK_ROWS));
  const projector = await NativeProjector.open(network, { threads, blockRows });
  await projector.project(x, into);
  await projector.close();
}
