import { expect } from '@jest/globals';
import { Encoder, type EncoderLayer, type EncoderMetadata } from '../../src/encoder/model.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { NativeProjector } from '../../src/encoder/native-projector.js';
import { Rng } from '../../src/core/rng.js';

export const METADATA: EncoderMetadata = {
  method: 'pca',
  distance: 'cosine',
  compactDistance: 'cosine',
  source: 'test',
  seed: 7,
  dataFingerprint: 'ab'.repeat(32),
  hyperParameters: { k: 5, loss: 'none', folded: true },
  metrics: { 'recall@10': 0.5 },
  createdBy: 'test',
};

export function randomMatrix(rows: number, cols: number, rng: Rng, scale = 1): Matrix {
  const out = matrix(rows, cols);
  for (let i = 0; i < out.data.length; i++) out.data[i] = rng.normal() * scale;
  return out;
}

export function randomEncoder(
  dims: readonly number[],
  options: { normalize: boolean; bias: boolean },
): Encoder {
  const rng = new Rng(dims.length * 1000 + dims[0]!);
  const layers = dims.slice(1).map((outDim, i): EncoderLayer => {
    const inDim = dims[i]!;
    return {
      weight: randomMatrix(inDim, outDim, rng, 1 / Math.sqrt(inDim)),
      bias: options.bias ? randomMatrix(1, outDim, rng, 0.1).data : null,
      relu: i < dims.length - 2,
    };
  });
  const { normalize } = options;
  return new Encoder({ normalizeInput: normalize, layers, normalizeOutput: normalize }, METADATA);
}

/** The definition, in float64: what every fast path must agree with. */
export function projectSlowly({ network }: Encoder, x: Matrix): number[][] {
  const unit = (values: number[]): number[] => {
    const norm = Math.hypot(...values);
    return norm === 0 ? values : values.map((value) => value / norm);
  };
  return Array.from({ length: x.rows }, (_, i) => {
    let values = Array.from(row(x, i));
    if (network.normalizeInput) values = unit(values);
    for (const { weight, bias, relu } of network.layers) {
      values = Array.from({ length: weight.cols }, (_unused, j) => {
        const sum = values.reduce(
          (total, value, k) => total + value * weight.data[k * weight.cols + j]!,
          bias?.[j] ?? 0,
        );
        return relu ? Math.max(0, sum) : sum;
      });
    }
    return network.normalizeOutput ? unit(values) : values;
  });
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

/** What the copy of a large collection makes of x. */
export async function projectNatively(encoder: Encoder, x: Matrix): Promise<Matrix> {
  const projector = await NativeProjector.open(encoder.network);
  const projected = await projector.project(x);
  await projector.close();
  return projected;
}
