import { expect, test } from '@jest/globals';
import { Encoder } from '../../src/encoder/model.js';
import { concatRows, gatherRows, matrix, type Matrix } from '../../src/core/matrix.js';
import { withSampleSummary } from '../../src/select/summarize-sample.js';
import { rowsOfKinds } from '../support/evaluate/kinds.js';
import { pcaEncoder } from '../support/migrate/pca-encoder.js';

const DIM = 24;

const SEEN = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const sample = rowsOfKinds(SEEN, { rows: 1200, dim: DIM, seed: 2 });

async function summarized(): Promise<Encoder> {
  return withSampleSummary(await pcaEncoder(sample, 8), sample, { seed: 3, threads: 1 });
}

function farShare(encoder: Encoder, x: Matrix): number {
  const far = encoder.farFromSample(encoder.project(x), 'points')!;
  return far.reduce((sum, one) => sum + one, 0) / far.length;
}

test('tells vectors of the sample’s kinds from others, also after the file was read again', async () => {
  const encoder = await summarized();
  const read = Encoder.fromBytes(encoder.toBytes());
  for (const one of [encoder, read]) {
    expect(farShare(one, rowsOfKinds(SEEN, { rows: 600, dim: DIM, seed: 4 }))).toBeLessThan(0.12);
    expect(farShare(one, rowsOfKinds([9, 10, 11], { rows: 600, dim: DIM, seed: 5 }))).toBeGreaterThan(0.8);
  }
  expect(read.fingerprint).toBe((await pcaEncoder(sample, 8)).fingerprint);
  expect(Buffer.from(read.toBytes()).equals(Buffer.from(encoder.toBytes()))).toBe(true);
});

test('a summary of other weights is neither used nor written', async () => {
  const { metadata } = await summarized();
  const other = await pcaEncoder(
    gatherRows(
      sample,
      Int32Array.from({ length: 300 }, (_, i) => i),
    ),
    8,
  );
  const mixed = new Encoder(other.network, metadata);
  expect(mixed.sample).toBeNull();
  expect(mixed.farFromSample(mixed.project(sample), 'points')).toBeNull();
  expect(Encoder.fromBytes(mixed.toBytes()).metadata.sample).toBeUndefined();
});

test('too few rows give no summary', async () => {
  const few = rowsOfKinds(SEEN, { rows: 100, dim: DIM, seed: 6 });
  const encoder = await pcaEncoder(few, 8);
  expect((await withSampleSummary(encoder, few, { seed: 1, threads: 1 })).sample).toBeNull();
});

test('zero vectors in the sample do not make everything near', async () => {
  const encoder = await pcaEncoder(sample, 8);
  const x = concatRows([sample, matrix(200, DIM)], DIM);
  const { sample: summary } = await withSampleSummary(encoder, x, { seed: 3, threads: 1 });
  const { sample: without } = await summarized();
  expect(summary!.farPoint).toBeLessThan(without!.farPoint * 1.5);
});
