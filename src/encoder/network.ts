import { createHash } from 'node:crypto';
import type { Distance } from '../core/distance.js';
import { expectDefined, TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { SampleSummary } from './sample-summary.js';

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

/** How an encoder was made; the encoder file holds it for people to read. */
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
  /** Where the training sample lies; absent in files of earlier versions. */
  readonly sample?: SampleSummary | undefined;
}

function checkNetwork({ layers }: EncoderNetwork): void {
  if (layers.length === 0) throw new TldrError('INVALID_ARGUMENT', 'an encoder needs at least one layer');
  layers.forEach(({ weight, bias }, i) => {
    if (weight.rows === 0) throw new TldrError('INVALID_ARGUMENT', `layer ${i} takes no values`);
    const before = layers[i - 1];
    if (before !== undefined && before.weight.cols !== weight.rows) {
      throw new TldrError(
        'INVALID_ARGUMENT',
        `layer ${i} takes ${weight.rows} values, the layer before gives ${before.weight.cols}`,
      );
    }
    if (bias !== null && bias.length !== weight.cols) {
      throw new TldrError('INVALID_ARGUMENT', `layer ${i}: bias of ${bias.length}, expected ${weight.cols}`);
    }
    if (!weight.data.every(Number.isFinite) || bias?.every(Number.isFinite) === false) {
      throw new TldrError('INVALID_ARGUMENT', `layer ${i} holds values that are not finite`);
    }
  });
}

/** The networks for points and for queries: the same object unless the encoder is asymmetric. */
export interface EncoderNetworks {
  readonly network: EncoderNetwork;
  readonly queryNetwork: EncoderNetwork;
}

/** Checks both networks. @throws INVALID_ARGUMENT when one is unusable, or when their dimensions differ */
export function checkNetworks({ network, queryNetwork }: EncoderNetworks): void {
  checkNetwork(network);
  if (queryNetwork === network) return;
  checkNetwork(queryNetwork);
  const [own, other] = [shapeOf(network), shapeOf(queryNetwork)];
  if (own.inputDim !== other.inputDim || own.outputDim !== other.outputDim) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `queries are projected ${other.inputDim} -> ${other.outputDim}, points ${own.inputDim} -> ${own.outputDim}`,
    );
  }
}

/** Dimensions of a network's input and output. */
export function shapeOf({ layers }: EncoderNetwork): {
  readonly inputDim: number;
  readonly outputDim: number;
} {
  return {
    inputDim: expectDefined(layers[0], 'the first layer').weight.rows,
    outputDim: expectDefined(layers.at(-1), 'the last layer').weight.cols,
  };
}

/** SHA-256, hex, over everything that decides the networks' output. It does not cover the metadata. */
export function fingerprintOf({ network, queryNetwork }: EncoderNetworks): string {
  const own = networkFingerprint(network);
  if (queryNetwork === network) return own;
  return createHash('sha256')
    .update(`qdrant-tldr encoder 2|${own}|${networkFingerprint(queryNetwork)}`)
    .digest('hex');
}

function networkFingerprint(network: EncoderNetwork): string {
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
