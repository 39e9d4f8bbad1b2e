import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matrix, row } from '../../src/core/matrix.js';
import { NativeProjector, projectSample } from '../../src/encoder/native-projector.js';
import { Rng } from '../../src/core/rng.js';
import {
  largestDifference,
  projectNatively,
  projectSlowly,
  randomEncoder,
  randomMatrix,
} from '../support/random-encoder.js';

describe('native projection', () => {
  test('agrees with the definition for every shape of rows, columns and layers, and leaves its input alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 600 }),
        fc.array(fc.integer({ min: 1, max: 45 }), { minLength: 2, maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        async (rows, dims, normalize, bias) => {
          const encoder = randomEncoder(dims, { normalize, bias });
          const x = randomMatrix(rows, dims[0]!, new Rng(rows));
          const before = x.data.slice();
          const projected = await projectNatively(encoder, x);
          expect([projected.rows, projected.cols]).toEqual([rows, dims.at(-1)]);
          expect(largestDifference(projected.data, projectSlowly(encoder, x).flat())).toBeLessThan(1e-5);
          expect(x.data).toEqual(before);
        },
      ),
      { numRuns: 40, seed: 1 },
    );
  });

  test('scales rows of any length as the kernel does, where the squares overflow or vanish, and zero rows not at all', async () => {
    const encoder = randomEncoder([40, 12], { normalize: true, bias: false });
    const lengths = [0, 1e-40, 1e-30, 1e-12, 1, 1e12, 1e30, 3e37];
    const x = randomMatrix(lengths.length, 40, new Rng(2));
    lengths.forEach((length, i) => row(x, i).forEach((value, j, values) => (values[j] = value * length)));
    const projected = await projectNatively(encoder, x);
    expect(largestDifference(projected.data, encoder.project(x).data)).toBeLessThan(1e-6);
    expect(row(projected, 0).every((value) => value === 0)).toBe(true);
  });

  test('callers at the same time get each their own', async () => {
    const encoder = randomEncoder([64, 24], { normalize: true, bias: true });
    const projector = await NativeProjector.open(encoder.network);
    const batches = [300, 7, 256, 513].map((rows, i) => randomMatrix(rows, 64, new Rng(i)));
    const together = await Promise.all(batches.map((x) => projector.project(x)));
    for (const [i, x] of batches.entries())
      expect(largestDifference(together[i]!.data, encoder.project(x).data)).toBeLessThan(1e-6);
    await projector.close();
  });

  test('a whole sample is projected block by block into the memory that is given', async () => {
    const encoder = randomEncoder([6, 3], { normalize: true, bias: true });
    const x = randomMatrix(5000, 6, new Rng(3));
    const out = new Float32Array(new SharedArrayBuffer(5000 * 3 * 4));
    const blocks: number[] = [];
    await projectSample(encoder.network, x, { out, threads: 2, beforeBlock: (done) => blocks.push(done) });
    expect(blocks).toEqual([0, 2048, 4096]);
    expect(largestDifference(out, encoder.project(x).data)).toBeLessThan(1e-6);
    const empty = matrix(0, 6);
    await projectSample(encoder.network, empty, { out: new Float32Array(0), threads: 1 });
  });

  test('refuses the wrong dimension, and goes on', async () => {
    const encoder = randomEncoder([8, 3], { normalize: true, bias: false });
    const projector = await NativeProjector.open(encoder.network);
    await expect(projector.project(matrix(1, 9))).rejects.toThrow('cannot project 9-d vectors: expected 8-d');
    expect((await projector.project(matrix(2, 8))).rows).toBe(2);
    await projector.close();
  });
});
