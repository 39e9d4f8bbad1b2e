import { expect, test } from '@jest/globals';
import { matrix, row } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { RoundingSpread } from '../../src/encoder/rounding-spread.js';
import { randomEncoder, randomMatrix } from '../support/random-encoder.js';

test.each([{ dims: [300, 20] }, { dims: [200, 40, 12] }, { dims: [64, 32, 16, 8] }])(
  'other orders are the same map: $dims',
  ({ dims }) => {
    for (const normalize of [true, false]) {
      const encoder = randomEncoder(dims, { normalize, bias: true });
      const spread = new RoundingSpread(encoder.network);
      const x = randomMatrix(5, dims[0]!, new Rng(1));
      const projected = encoder.project(x);
      for (let i = 0; i < x.rows; i++) {
        const found = spread.around(row(x, i), row(projected, i));
        expect(found).toBeGreaterThan(0);
        expect(found).toBeLessThan(1e-5);
      }
      // Measured from what it is given.
      expect(spread.around(row(x, 0), row(projected, 1))).toBeGreaterThan(1e-2);
    }
  },
);

test('what is not finite has no spread', () => {
  const encoder = randomEncoder([16, 4], { normalize: false, bias: true });
  const x = matrix(1, 16);
  x.data[3] = NaN;
  expect(new RoundingSpread(encoder.network).around(x.data, encoder.project(x).data)).toBeNaN();
});
