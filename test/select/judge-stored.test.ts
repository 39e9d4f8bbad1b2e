import { beforeAll, describe, expect, test } from '@jest/globals';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { trainEncoder, type TrainEncoderResult } from '../../src/select/train-encoder.js';

/** Rows with a few strong directions and many weak ones, as those of embeddings. */
function sample(rows: number, cols: number): Matrix {
  const rng = new Rng(8);
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) x.data[i * cols + j] = rng.normal() * 0.9 ** j;
  return x;
}

const quick = { dim: 16, seed: 1, steps: 4, nNeighbors: 5, threads: 2 };
const x = sample(500, 40);
let plain: TrainEncoderResult;

beforeAll(async () => {
  plain = await trainEncoder(x, quick);
});

describe('a training for stored codes', () => {
  test.each(['scalar', 'binary-2bit', 'product-x16'] as const)(
    'scores the codes of %s and rotates the shipped candidate',
    async (storedAs) => {
      const { encoder, report } = await trainEncoder(x, { ...quick, storedAs });
      const stored = report!.stored!;
      expect(stored.storedAs).toBe(storedAs);
      expect(stored.recallAt10).toBeLessThanOrEqual(stored.float32RecallAt10 + 0.02);
      expect(encoder!.metadata.hyperParameters).toMatchObject({
        storedAs,
        ...(stored.rotation === 0 ? {} : { rotation: stored.rotation }),
      });
      const shipped = report!.candidates.find(({ name }) => name === report!.shipped)!;
      const asFloats = plain.report!.candidates.find(({ name }) => name === report!.shipped)!;
      if (storedAs !== 'scalar') expect(shipped.recallAt10).toBeLessThan(asFloats.recallAt10);
      if (storedAs.startsWith('binary')) {
        expect(stored.rotation).toBeGreaterThan(0);
        expect(stored.recallAt10).toBeGreaterThan(stored.unrotatedRecallAt10 - 0.02);
      }
    },
  );

  test('without a form of storage it ships the same encoder as before', () => {
    expect(plain.report!.stored).toBeNull();
    expect(plain.encoder!.metadata.hyperParameters).not.toHaveProperty('storedAs');
  });

  test('float16 needs no rotation, and bytes are refused', async () => {
    const { report, encoder } = await trainEncoder(x, { ...quick, storedAs: 'float16' });
    expect(report!.stored).toMatchObject({ storedAs: 'float16', rotation: 0 });
    expect(encoder!.metadata.hyperParameters).not.toHaveProperty('rotation');
    await expect(trainEncoder(x, { ...quick, storedAs: 'uint8' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('storedAs: got uint8'),
    });
  });
});
