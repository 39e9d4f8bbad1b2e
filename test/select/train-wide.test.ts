import { expect, test } from '@jest/globals';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Encoder } from '../../src/encoder/model.js';
import { largestDifference, matrix, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { trainEncoder } from '../../src/select/train-encoder.js';

/** More than moments are kept of by dimension. */
const WIDE = 4500;

/** Rows of falling spread along a few directions. */
function wideRows(rows: number): Matrix {
  const rng = new Rng(1);
  const directions = Array.from({ length: 8 }, () =>
    Float32Array.from({ length: WIDE }, () => rng.uniform() - 0.5),
  );
  const x = matrix(rows, WIDE);
  for (let i = 0; i < rows; i++) {
    const strengths = directions.map((_, l) => rng.normal() * 0.9 ** l);
    for (let j = 0; j < WIDE; j++) {
      let sum = 0.05 * rng.uniform();
      directions.forEach((direction, l) => (sum += strengths[l]! * direction[j]!));
      x.data[i * WIDE + j] = sum;
    }
  }
  return x;
}

test.each(['cosine', 'dot', 'euclid'] as const)(
  'every candidate is fitted to wide rows: %s',
  async (distance) => {
    const all = wideRows(260);
    const x = rowRange(all, 0, 130);
    const queries = rowRange(all, 130, 260);
    const { report, candidates, encoder } = await trainEncoder(x, {
      dim: 8,
      distance,
      budgetSeconds: 1,
      ...(distance === 'euclid' ? {} : { queries }),
    });
    const names = new Set(candidates.keys());
    for (const name of ['pca-uncentred', 'prefix', 'random-projection']) expect(names).toContain(name);
    if (distance !== 'dot') expect(names).toContain('pca');
    if (distance !== 'euclid') expect([...names].some((name) => name.startsWith('leanvec'))).toBe(true);
    const recalls = new Map(report?.candidates.map(({ name, recallAt10 }) => [name, recallAt10]));
    expect(recalls.get('pca-uncentred')).toBeGreaterThan(0.8);
    expect(recalls.get(report?.shipped ?? '')).toBeGreaterThan(0.8);

    const loaded = Encoder.fromBytes(encoder!.toBytes());
    expect(loaded.fingerprint).toBe(encoder!.fingerprint);
    const session = await InferenceSession.create(loaded.toBytes());
    const sample = { ...rowRange(x, 0, 20), data: x.data.slice(0, 20 * WIDE) };
    const { projected } = await session.run({ vectors: new Tensor('float32', sample.data, [20, WIDE]) });
    await session.release();
    const z = loaded.project(sample).data;
    const size = Math.max(...z.map(Math.abs));
    expect(largestDifference(projected!.data as Float32Array, z)).toBeLessThan(1e-4 * size);
  },
);
