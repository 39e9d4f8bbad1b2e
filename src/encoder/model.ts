import { readEncoderFile, writeEncoderFile } from './file.js';
import { checkNetworks, fingerprintOf, shapeOf } from './network.js';
import type { EncoderMetadata, EncoderNetwork } from './network.js';
import { encoderFromOnnx, encoderToOnnx } from './onnx.js';
import { isTldrError, TldrError } from '../core/errors.js';
import { Kernel } from './kernel.js';
import type { Matrix } from '../core/matrix.js';

export type { EncoderLayer, EncoderMetadata, EncoderNetwork } from './network.js';

/**
 * An immutable map from inputDim to outputDim, saved as one standard ONNX file. An asymmetric one has a second map for
 * queries: points go through `project`, whatever is searched with goes through `projectQueries`.
 */
export class Encoder {
  readonly inputDim: number;
  readonly outputDim: number;
  #fingerprint: string | undefined;
  #kernel: Kernel | undefined;
  #queryKernel: Kernel | undefined;

  /**
   * @param queryNetwork the map of queries, of the same dimensions; left out where one map serves both
   * @throws INVALID_ARGUMENT when the layers do not fit together or hold values that are not finite
   */
  constructor(
    readonly network: EncoderNetwork,
    readonly metadata: EncoderMetadata,
    readonly queryNetwork: EncoderNetwork = network,
  ) {
    checkNetworks(this);
    const { inputDim, outputDim } = shapeOf(network);
    this.inputDim = inputDim;
    this.outputDim = outputDim;
  }

  /** @throws NOT_FOUND, INVALID_DATA, MISMATCH (the weights are not those the fingerprint was taken from) */
  static async load(path: string): Promise<Encoder> {
    return Encoder.fromBytes(await readEncoderFile(path), path);
  }

  /**
   * @param path where the bytes come from, for messages
   * @throws INVALID_DATA, MISMATCH; both name `path`
   */
  static fromBytes(bytes: Uint8Array, path = 'this'): Encoder {
    try {
      const { network, queryNetwork, metadata } = encoderFromOnnx(bytes);
      return new Encoder(network, metadata, queryNetwork);
    } catch (cause) {
      if (isTldrError(cause, 'MISMATCH'))
        throw new TldrError('MISMATCH', `${path}: ${cause.message}`, { cause });
      // Of a file, layers that do not fit together are unusable data, as everything else that it holds.
      if (!isTldrError(cause, 'INVALID_DATA') && !isTldrError(cause, 'INVALID_ARGUMENT')) throw cause;
      throw new TldrError('INVALID_DATA', `${path} is no encoder file that train wrote: ${cause.message}`, {
        cause,
      });
    }
  }

  /** The content of an `encoder.onnx` file: same encoder, same bytes. */
  toBytes(): Uint8Array {
    return encoderToOnnx(this, this.metadata);
  }

  /** Writes the file whole or not at all, replacing what is there. */
  async save(path: string): Promise<void> {
    await writeEncoderFile(path, this.toBytes());
  }

  /** True where queries and points go through one and the same map. */
  get symmetric(): boolean {
    return this.queryNetwork === this.network;
  }

  /** SHA-256, hex, over everything that decides what `project` and `projectQueries` return. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this);
    return this.#fingerprint;
  }

  /** True where what `project` makes of a row with NaN or infinity is never finite: only clipping at 0 hides them. */
  get showsNonFinite(): boolean {
    return this.network.layers.every(({ relu }) => !relu);
  }

  /**
   * x: n x inputDim to n x outputDim, as points are stored. A zero row has no direction: normalising leaves it zero,
   * and it becomes what the layers make of zero. Without biases that is zero; with them the same vector for every zero
   * row.
   * @throws INVALID_ARGUMENT on the wrong dimension
   */
  project(x: Matrix): Matrix {
    this.#checkDim(x);
    this.#kernel ??= new Kernel(this.network);
    return this.#kernel.project(x);
  }

  /** The same for what is searched with; equal to `project` where the encoder is symmetric. */
  projectQueries(x: Matrix): Matrix {
    if (this.symmetric) return this.project(x);
    this.#checkDim(x);
    this.#queryKernel ??= new Kernel(this.queryNetwork);
    return this.#queryKernel.project(x);
  }

  #checkDim({ cols }: Matrix): void {
    if (cols === this.inputDim) return;
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot project ${cols}-d vectors: this encoder expects ${this.inputDim}-d`,
    );
  }
}
