import { readEncoderFile, writeEncoderFile } from './encoder-file.js';
import { checkNetwork, fingerprintOf } from './encoder-network.js';
import type { EncoderMetadata, EncoderNetwork } from './encoder-network.js';
import { encoderFromOnnx, encoderToOnnx } from './encoder-onnx.js';
import { TldrError } from './errors.js';
import { Kernel } from './kernel.js';
import type { Matrix } from './matrix.js';

export type { EncoderLayer, EncoderMetadata, EncoderNetwork } from './encoder-network.js';

/** An immutable map from inputDim to outputDim, saved as one standard ONNX file. */
export class Encoder {
  readonly inputDim: number;
  readonly outputDim: number;
  #fingerprint: string | undefined;
  #kernel: Kernel | undefined;

  /** @throws INVALID_ARGUMENT when the layers do not fit together or hold values that are not finite */
  constructor(
    readonly network: EncoderNetwork,
    readonly metadata: EncoderMetadata,
  ) {
    checkNetwork(network);
    this.inputDim = network.layers[0]?.weight.rows ?? 0;
    this.outputDim = network.layers.at(-1)?.weight.cols ?? 0;
  }

  /** @throws NOT_FOUND, INVALID_DATA, MISMATCH (the weights are not those the fingerprint was taken from) */
  static async load(path: string): Promise<Encoder> {
    return Encoder.fromBytes(await readEncoderFile(path));
  }

  /** @throws INVALID_DATA, MISMATCH */
  static fromBytes(bytes: Uint8Array): Encoder {
    const { network, metadata } = encoderFromOnnx(bytes);
    return new Encoder(network, metadata);
  }

  /** The content of an `encoder.onnx` file: same encoder, same bytes. */
  toBytes(): Uint8Array {
    return encoderToOnnx(this.network, this.metadata);
  }

  /** Writes the file whole or not at all, replacing what is there. */
  async save(path: string): Promise<void> {
    await writeEncoderFile(path, this.toBytes());
  }

  /** SHA-256, hex, over everything that decides what `project` returns. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this.network);
    return this.#fingerprint;
  }

  /**
   * x: n x inputDim to n x outputDim. A zero row has no direction: normalising leaves it zero, and it becomes what the
   * layers make of zero. Without biases that is zero; with them the same vector for every zero row.
   * @throws INVALID_ARGUMENT on the wrong dimension
   */
  project(x: Matrix): Matrix {
    if (x.cols !== this.inputDim) {
      throw new TldrError(
        'INVALID_ARGUMENT',
        `cannot project ${x.cols}-d vectors: this encoder expects ${this.inputDim}-d`,
      );
    }
    this.#kernel ??= new Kernel(this.network);
    return this.#kernel.project(x);
  }
}
