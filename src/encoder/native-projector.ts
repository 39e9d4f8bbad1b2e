import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { shapeOf, type EncoderNetwork } from './network.js';
import { networkToOnnx } from './onnx.js';
import { TldrError } from '../core/errors.js';
import { KernelRows } from './kernel.js';
import { matrix, type Matrix } from '../core/matrix.js';
import { turns } from '../core/turns.js';

/** Rows of one product: enough for the native library to be at its speed. */
const BLOCK_ROWS = 256;

/**
 * Projects batch after batch as `Encoder.project` does, with native products: the sums are made in another order, so
 * that the last digits differ from the kernel's. For bulk work only: opening one takes about as long as the kernel needs
 * for some thousand vectors, and each block blocks its thread, for a millisecond or two where one layer is linear.
 */
export class NativeProjector {
  readonly #network: EncoderNetwork;
  readonly #session: InferenceSession;
  readonly #input: KernelRows;
  readonly #output: KernelRows;
  readonly #tensor: (values: Float32Array, rows: number, cols: number) => Tensor;
  /** Blocks are projected one after the other: all use the same memory. */
  readonly #inTurn = turns();

  private constructor(
    network: EncoderNetwork,
    session: InferenceSession,
    tensor: (values: Float32Array, rows: number, cols: number) => Tensor,
  ) {
    const { inputDim, outputDim } = shapeOf(network);
    this.#network = network;
    this.#session = session;
    this.#tensor = tensor;
    this.#input = new KernelRows(BLOCK_ROWS, inputDim);
    this.#output = new KernelRows(BLOCK_ROWS, outputDim);
  }

  /** @throws whatever loading the native library does, where there is none for this machine */
  static async open(network: EncoderNetwork): Promise<NativeProjector> {
    const { InferenceSession, Tensor } = await import('onnxruntime-node');
    // Scaled by the kernel, in float64: float32 would overflow in the squares of large vectors.
    const layers = networkToOnnx({ ...network, normalizeInput: false, normalizeOutput: false });
    const session = await InferenceSession.create(layers, { intraOpNumThreads: 1 });
    return new NativeProjector(
      network,
      session,
      (values, rows, cols) => new Tensor('float32', values, [rows, cols]),
    );
  }

  /** x: n x inputDim to n x outputDim. @throws INVALID_ARGUMENT on the wrong dimension */
  async project(x: Matrix): Promise<Matrix> {
    const { inputDim, outputDim } = shapeOf(this.#network);
    if (x.cols !== inputDim)
      throw new TldrError('INVALID_ARGUMENT', `cannot project ${x.cols}-d vectors: expected ${inputDim}-d`);
    const out = matrix(x.rows, outputDim);
    for (let start = 0; start < x.rows; start += BLOCK_ROWS)
      await this.#inTurn(() => this.#block(x, out, start));
    return out;
  }

  async close(): Promise<void> {
    await this.#inTurn(() => Promise.resolve());
    await this.#session.release();
  }

  async #block(x: Matrix, out: Matrix, start: number): Promise<void> {
    const rows = Math.min(BLOCK_ROWS, x.rows - start);
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
