import { createHash } from 'node:crypto';
import type { Distance } from './distance.js';
import { normalizedRows, normalizeRowsInPlace } from './distance.js';
import { TldrError } from './errors.js';
import { matrix, type Matrix } from './matrix.js';

/** y = x W + b, then max(0, y) where `relu`. W is in x out, row-major; b has length out. */
export interface EncoderLayer {
  readonly weight: Matrix;
  readonly bias: Float32Array | null;
  readonly relu: boolean;
}

/** The whole computation: unit rows first (cosine), the layers, unit rows last (cosine). */
export interface EncoderNetwork {
  readonly normalizeInput: boolean;
  readonly layers: readonly EncoderLayer[];
  readonly normalizeOutput: boolean;
}

/** What is known about an encoder's making; written into the file, compared by nobody but read by people. */
export interface EncoderMetadata {
  /** `tldr`, `neighbourhood-kl`, `pca`, `pca-uncentred`, `random-projection`, ... */
  readonly method: string;
  /** Distance of the source space. */
  readonly distance: Distance;
  /** Distance to search the compact space with. */
  readonly compactDistance: Distance;
  /** Collection or file the sample came from. */
  readonly source: string;
  readonly seed: number;
  /** SHA-256 over the training sample's float32 bytes, hex. */
  readonly dataFingerprint: string;
  readonly hyperParameters: Readonly<Record<string, string | number | boolean>>;
  /** Held-out metrics, for example `recall@10`. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly createdBy: string;
}

/** An immutable map from inputDim to outputDim. */
export class Encoder {
  readonly inputDim: number;
  readonly outputDim: number;
  #fingerprint: string | undefined;

  /** @throws INVALID_ARGUMENT when the layers do not fit together or hold values that are not finite */
  constructor(
    readonly network: EncoderNetwork,
    readonly metadata: EncoderMetadata,
  ) {
    const { layers } = network;
    const first = layers[0];
    const last = layers.at(-1);
    if (first === undefined || last === undefined) {
      throw new TldrError('INVALID_ARGUMENT', 'an encoder needs at least one layer');
    }
    layers.forEach((layer, i) => checkLayer(layer, i, layers[i - 1]));
    this.inputDim = first.weight.rows;
    this.outputDim = last.weight.cols;
  }

  /** SHA-256, hex, over everything that decides what `project` returns. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this.network);
    return this.#fingerprint;
  }

  /**
   * x: n x inputDim to n x outputDim.
   * @throws INVALID_ARGUMENT on the wrong dimension
   */
  project(x: Matrix): Matrix {
    if (x.cols !== this.inputDim) {
      throw new TldrError(
        'INVALID_ARGUMENT',
        `cannot project ${x.cols}-d vectors: this encoder expects ${this.inputDim}-d`,
      );
    }
    let current = this.network.normalizeInput ? normalizedRows(x) : x;
    for (const layer of this.network.layers) current = applyLayer(layer, current);
    if (this.network.normalizeOutput) normalizeRowsInPlace(current);
    return current;
  }
}

function checkLayer(layer: EncoderLayer, i: number, before: EncoderLayer | undefined): void {
  const { weight, bias } = layer;
  if (before !== undefined && before.weight.cols !== weight.rows) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `layer ${i} takes ${weight.rows} values, the layer before gives ${before.weight.cols}`,
    );
  }
  if (bias !== null && bias.length !== weight.cols) {
    throw new TldrError('INVALID_ARGUMENT', `layer ${i}: bias of ${bias.length}, expected ${weight.cols}`);
  }
  const finite = weight.data.every(Number.isFinite) && (bias === null || bias.every(Number.isFinite));
  if (!finite) throw new TldrError('INVALID_ARGUMENT', `layer ${i} holds values that are not finite`);
}

function applyLayer(layer: EncoderLayer, x: Matrix): Matrix {
  const { weight, bias, relu } = layer;
  const out = matrix(x.rows, weight.cols);
  for (let i = 0; i < x.rows; i++) {
    const y = out.data.subarray(i * weight.cols, (i + 1) * weight.cols);
    if (bias !== null) y.set(bias);
    for (let k = 0; k < weight.rows; k++) {
      const value = x.data[i * x.cols + k]!;
      if (value === 0) continue;
      const start = k * weight.cols;
      for (let j = 0; j < y.length; j++) y[j] = y[j]! + value * weight.data[start + j]!;
    }
    if (relu) for (let j = 0; j < y.length; j++) y[j] = Math.max(0, y[j]!);
  }
  return out;
}

function fingerprintOf(network: EncoderNetwork): string {
  const hash = createHash('sha256');
  hash.update(`qdrant-tldr encoder 1 ${network.normalizeInput} ${network.normalizeOutput}`);
  for (const { weight, bias, relu } of network.layers) {
    hash.update(`|${weight.rows} ${weight.cols} ${bias !== null} ${relu}|`);
    hash.update(bytesOf(weight.data));
    if (bias !== null) hash.update(bytesOf(bias));
  }
  return hash.digest('hex');
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
