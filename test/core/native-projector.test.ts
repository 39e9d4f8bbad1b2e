import { expect, test } from '@jest/globals';
import type { EncoderLayer, EncoderNetwork } from '../../src/core/encoder-network.js';
import { Kernel } from '../../src/core/kernel.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { openNativeProjector } from '../../src/core/native-projector.js';
import { Rng } from '../../src/core/rng.js';

const INPUT_DIM = 40;
const rng = new Rng(3);
const scaled = (rows: number, cols: number, scale: number): Matrix =>
  matrix(
    rows,
    cols,
    Float32Array.from({ length: rows * cols }, () => rng.normal() * scale),
  );
const layer = (from: number, to: number, more: Partial<EncoderLayer> = {}): EncoderLayer => ({
  ...{ weight: scaled(from, to, 0.3), bias: null, relu: false },
  ...more,
});
const unit = { normalizeInput: true, normalizeOutput: true };
const NETWORKS: readonly (readonly [string, EncoderNetwork])[] = [
  ['linear, cosine', { ...unit, layers: [layer(INPUT_DIM, 7)] }],
  ['linear, as it is', { normalizeInput: false, normalizeOutput: false, layers: [layer(INPUT_DIM, 8)] }],
  [
    'hidden layer, biases',
    {
      ...unit,
      layers: [
        layer(INPUT_DIM, 19, { relu: true, bias: scaled(1, 19, 1).data }),
        layer(19, 5, { bias: scaled(1, 5, 1).data }),
      ],
    },
  ],
];

test.each(NETWORKS)('%s: the same as the kernel', async (_name, network) => {
  const projector = await openNativeProjector(network, 1);
  try {
    const none = await projector.project(matrix(0, INPUT_DIM));
    expect({ rows: none.rows, values: none.data.length }).toEqual({ rows: 0, values: 0 });
    const kernel = new Kernel(network);
    // Rows of length 1, of any length, and without one.
    for (const scale of [INPUT_DIM ** -0.5, 1e-25, 1e20, 0]) {
      const x = scaled(130, INPUT_DIM, scale);
      const expected = kernel.project(x);
      const got = await projector.project(x);
      expect([got.rows, got.cols]).toEqual([expected.rows, expected.cols]);
      for (let i = 0; i < x.rows; i++) {
        const length = Math.hypot(...row(expected, i));
        row(got, i).forEach((value, j) =>
          expect(Math.abs(value - row(expected, i)[j]!)).toBeLessThanOrEqual(1e-5 * length),
        );
      }
    }
  } finally {
    await projector.close();
  }
});
