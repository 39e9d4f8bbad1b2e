import { readEncoderFile, writeEncoderFile } from './file.js';
import { checkNetworks, fingerprintOf, shapeOf } from './network.js';
import type { EncoderMetadata, EncoderNetwork } from './network.js';
import { encoderFromOnnx, encoderToOnnx } from './onnx.js';
import { isTldrError, TldrError } from '../core/errors.js';
import { Kernel } from './projection-kernel.js';
import { farFromSample, type SampleSummary } from './sample-summary.js';
import type { Matrix } from '../core/matrix.js';

export type { EncoderLayer, EncoderMetadata, EncoderNetwork } from './network.js';

/**
 * An immutable map from inputDim to outputDim dimensions, saved as one standard ONNX file. `project` projects
 * points, `projectQueries` projects queries. The two differ only in an asymmetric encoder, which has a second
 * network for queries.
 * @example
 * ```ts
 * // Given: enc.onnx
 * import { Encoder, matrix } from 'qdrant-tldr';
 *
 * const encoder = await Encoder.load('enc.onnx');
 * const queries = matrix(1, encoder.inputDim, new Float32Array(encoder.inputDim).fill(1));
 * const { data } = encoder.projectQueries(queries); // encoder.outputDim values
 * ```
 */
export class Encoder {
  readonly inputDim: number;
  readonly outputDim: number;
  #fingerprint: string | undefined;
  #kernel: Kernel | undefined;
  #queryKernel: Kernel | undefined;

  /**
   * @param queryNetwork the network for queries, of the same dimensions; omit it if one network serves both
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

  /**
   * Reads an encoder file.
   * @throws NOT_FOUND when it cannot be read
   * @throws INVALID_ARGUMENT when it is no regular file
   * @throws INVALID_DATA when it is no encoder
   * @throws MISMATCH when the weights do not have the fingerprint that the file states
   */
  static async load(path: string): Promise<Encoder> {
    return Encoder.fromBytes(await readEncoderFile(path), path);
  }

  /**
   * Reads the content of an encoder file.
   * @param path where the bytes come from, for messages
   * @throws INVALID_DATA when they are no encoder
   * @throws MISMATCH when the weights do not have the fingerprint that the file states
   */
  static fromBytes(bytes: Uint8Array, path = 'this'): Encoder {
    try {
      const { network, queryNetwork, metadata } = encoderFromOnnx(bytes);
      return new Encoder(network, metadata, queryNetwork);
    } catch (cause) {
      if (isTldrError(cause, 'MISMATCH'))
        throw new TldrError('MISMATCH', `${path}: ${cause.message}`, { cause });
      // In a file, layers that do not fit together are invalid data, not an invalid argument.
      if (!isTldrError(cause, 'INVALID_DATA') && !isTldrError(cause, 'INVALID_ARGUMENT')) throw cause;
      throw new TldrError('INVALID_DATA', `${path} is no encoder file of this program: ${cause.message}`, {
        cause,
      });
    }
  }

  /** The content of an `encoder.onnx` file: same encoder, same bytes. */
  toBytes(): Uint8Array {
    return encoderToOnnx(this, this.metadata);
  }

  /** Writes the encoder file, completely or not at all. An existing file is replaced. */
  async save(path: string): Promise<void> {
    await writeEncoderFile(path, this.toBytes());
  }

  /** True if one network projects both points and queries. */
  get symmetric(): boolean {
    return this.queryNetwork === this.network;
  }

  /** SHA-256, hex, over everything that decides what `project` and `projectQueries` return. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this);
    return this.#fingerprint;
  }

  /** Where the training sample lies; null if the file does not tell, or tells it of other weights. */
  get sample(): SampleSummary | null {
    const { sample } = this.metadata;
    return sample?.encoder === this.fingerprint ? sample : null;
  }

  /**
   * Returns 1 for each projected vector (n x outputDim) that lies far from the sample that the encoder was fitted to, 0
   * for the others; null if the file has no summary of that sample. Of the sample's own kind, about 5 % are far.
   */
  farFromSample(compact: Matrix, as: 'points' | 'queries'): Uint8Array | null {
    return this.sample === null ? null : farFromSample(this.sample, compact, as);
  }

  /**
   * True if every row with NaN or infinity has a projection with NaN or infinity. A network with ReLU can
   * hide them, because it clips at 0.
   */
  get showsNonFinite(): boolean {
    return this.network.layers.every(({ relu }) => !relu);
  }

  /**
   * Projects points: x, n x inputDim, to n x outputDim. A zero row cannot be normalised, so it goes through
   * the layers as zero. Without biases its projection is zero; with biases it is the same vector for all zero
   * rows.
   * @throws INVALID_ARGUMENT when x has another dimension
   */
  project(x: Matrix): Matrix {
    this.#checkDim(x);
    this.#kernel ??= new Kernel(this.network);
    return this.#kernel.project(x);
  }

  /** Projects queries, as `project` does for points. A symmetric encoder gives the same result for both. */
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
