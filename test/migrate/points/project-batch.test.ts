import { expect, test } from '@jest/globals';
import { Encoder, type EncoderLayer } from '../../../src/encoder/model.js';
import { matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { PointBatch } from '../../../src/store/points.js';
import { projectBatch } from '../../../src/migrate/points/project-batch.js';
import { DIM, tinyEncoder } from '../../support/migrate/fixtures.js';

const identity = {
  sourceCollection: 'docs',
  vectorName: 'text',
  compactName: '',
  layout: 'compact',
  componentBytes: 4,
  keys: { format: String },
} as const;

/** Three points of ones, but for one value. */
function batchWith(value: number): PointBatch {
  const vectors = matrix(3, DIM);
  vectors.data.fill(1);
  vectors.data[DIM + 5] = value;
  const ids = [1n, 2n ** 64n - 1n, 7n];
  return {
    ids,
    vectors,
    hasVector: new Uint8Array(3).fill(1),
    extra: ids.map(() => new Uint8Array(0)),
    sizeBytes: 0,
  };
}

const { network, metadata } = tinyEncoder(1, 'dot');
/** Weights so large that a number near the largest does not stay finite. */
const wide = { weight: matrix(DIM, 4), bias: null, relu: false };
wide.weight.data.fill(100);
const narrow = { weight: matrix(4, 2), bias: null, relu: false };
narrow.weight.data.fill(1);
const encoderOf = (layers: readonly EncoderLayer[]): Encoder => new Encoder({ ...network, layers }, metadata);

test.each([
  ['without clipping', encoderOf([wide, narrow])],
  ['with clipping', encoderOf([{ ...wide, relu: true }, narrow])],
])('a point that is not finite is named before it is written: an encoder %s', (_, encoder) => {
  for (const value of [NaN, Infinity, -Infinity])
    expect(() => projectBatch(encoder, batchWith(value), identity)).toThrow(
      'point 18446744073709551615 of docs holds NaN or infinity in "text": repair or delete it',
    );
  expect(() => projectBatch(encoder, batchWith(3.4e38), identity)).toThrow(
    'point 18446744073709551615 of docs is too large in "text" to be projected: repair or delete it',
  );
  const [compact] = projectBatch(encoder, batchWith(2), identity).vectors;
  expect(compact?.matrix.data.every(Number.isFinite)).toBe(true);
});

test('an error writes the id of a point as its store does', () => {
  const keys = { format: (id: PointId): string => `#${String(id)}` };
  expect(() => projectBatch(tinyEncoder(1, 'dot'), batchWith(NaN), { ...identity, keys })).toThrow(
    'point #18446744073709551615 of docs',
  );
});
