import { describe, expect, test } from '@jest/globals';
import { fitMoments, pcaFromMoments } from '../../src/baselines/pca.js';
import { Encoder, type EncoderNetwork } from '../../src/encoder/model.js';
import { score, type Distance } from '../../src/core/distance.js';
import { matrix, row, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { judgeEncoder } from '../../src/evaluate/score-encoder.js';
import { createBenchmark, neighborRecall } from '../../src/evaluate/neighbor-recall.js';

const DIM = 12;
const rng = new Rng(3);
const all = matrix(700, DIM);
all.data.forEach((_, i) => (all.data[i] = rng.normal() * 0.75 ** (i % DIM)));
const base = rowRange(all, 0, 640);
const queries = rowRange(all, 640, 700);

function encoderOf(network: EncoderNetwork, distance: Distance): Encoder {
  return new Encoder(network, {
    method: 'test',
    distance,
    compactDistance: distance,
    source: 'test',
    seed: 0,
    dataFingerprint: '',
    hyperParameters: {},
    metrics: {},
    createdBy: 'test',
  });
}

async function pcaEncoder(dim: number, distance: Distance = 'cosine', x: Matrix = base): Promise<Encoder> {
  const network = await pcaFromMoments(await fitMoments(x, { distance }), { dim, centred: false, distance });
  return encoderOf(network, distance);
}

test('an encoder that is PCA gets the figures of PCA, those that training reports', async () => {
  const encoder = await pcaEncoder(4);
  const judged = await judgeEncoder({ base, queries, encoder, ks: [1, 10], seed: 1, threads: 1 });
  expect(judged.spaces.map(({ name, dim }) => [name, dim])).toEqual([
    ['encoder', 4],
    ['pca-uncentred', 4],
    ['pca', 4],
    ['full vectors', DIM],
  ]);
  const [own, pca] = judged.spaces;
  expect({ ...own, name: '' }).toEqual({ ...pca, name: '' });
  const benchmark = await createBenchmark({ base, queries, distance: 'cosine' });
  const expected = await neighborRecall(benchmark, {
    network: encoder.network,
    compactDistance: 'cosine',
    seed: 1,
  });
  expect(own!.recall[1]).toMatchObject({ k: 10, mean: expected.recallAt10, interval: expected.interval });
  expect(own!.within).toEqual([
    { depth: 30, recall: expected.r10At30 },
    { depth: 100, recall: expected.r10At100 },
  ]);
  expect(own!.recall[0]!.mean).toBe(own!.topOne);
  expect(judged.bytes).toEqual({ full: 640 * DIM * 4, compact: 640 * 4 * 4 });
});

test('a rotation loses nothing: recall and order are 1, scores do not move', async () => {
  const encoder = await pcaEncoder(DIM, 'euclid');
  const judged = await judgeEncoder({ base, queries, encoder, ks: [10] });
  expect(judged.spaces.map(({ name }) => name)).toEqual(['encoder', 'full vectors']);
  for (const space of judged.spaces) {
    expect(space).toMatchObject({ topOne: 1, recall: [{ mean: 1, min: 1, p5: 1 }] });
    expect(space.rankCorrelation).toBeCloseTo(1, 2);
    expect(Math.abs(space.scoreShift!.mean)).toBeLessThan(1e-4);
  }
});

test('the full vectors are judged by labels too, and PCA can be left out', async () => {
  const label = (x: Matrix): Int32Array =>
    Int32Array.from({ length: x.rows }, (_, i) => Number(x.data[i * DIM]! > 0));
  const relevance = { kind: 'labels' as const, base: label(base), queries: label(queries) };
  const encoder = await pcaEncoder(3);
  const judged = await judgeEncoder({ base, queries, encoder, ks: [5], relevance, pca: false });
  expect(judged.spaces.map(({ name }) => name)).toEqual(['encoder', 'full vectors']);
  for (const { quality } of judged.spaces) {
    expect(quality!.judgedQueries).toBe(60);
    expect(quality!.mapAt100).toBeGreaterThan(0.6);
  }
  expect(judged.headlineK).toBe(5);
});

test('fewer rows than places: recall counts what there is', async () => {
  const few = rowRange(base, 0, 6);
  const judged = await judgeEncoder({
    base: few,
    queries,
    encoder: await pcaEncoder(3),
    ks: [10],
    pca: false,
  });
  expect(judged.spaces[0]!.recall[0]).toMatchObject({ mean: 1, min: 1 });
});

test('truth by manhattan: the encoder is searched with Euclid, and judged by the sums of differences', async () => {
  const { network } = await pcaEncoder(5, 'manhattan');
  const { metadata } = encoderOf(network, 'manhattan');
  const encoder = new Encoder(network, { ...metadata, compactDistance: 'euclid' });
  const judged = await judgeEncoder({ base, queries, encoder, ks: [10], threads: 1 });
  const [own, uncentred, centred, full] = judged.spaces;
  expect(full).toMatchObject({ name: 'full vectors', topOne: 1, recall: [{ mean: 1, min: 1 }] });
  expect(uncentred!.recall).toEqual(own!.recall);
  expect([own!.scoreShift, centred!.name]).toEqual([null, 'pca']);
  const nearest = (x: Matrix, query: Float32Array, of: Distance): number[] =>
    Array.from({ length: x.rows }, (_, i) => i)
      .sort((a, b) => score(query, row(x, a), of) - score(query, row(x, b), of))
      .slice(0, 10);
  const [compactBase, compactQueries] = [encoder.project(base), encoder.project(queries)];
  let found = 0;
  for (let q = 0; q < queries.rows; q++) {
    const truth = new Set(nearest(base, row(queries, q), 'manhattan'));
    found += nearest(compactBase, row(compactQueries, q), 'euclid').filter((i) => truth.has(i)).length;
  }
  expect(own!.recall[0]!.mean).toBeCloseTo(found / (10 * queries.rows), 2);
});

test('centred PCA is left out for dot products', async () => {
  const judged = await judgeEncoder({ base, queries, encoder: await pcaEncoder(3, 'dot'), ks: [10] });
  expect(judged.spaces.map(({ name }) => name)).toEqual(['encoder', 'pca-uncentred', 'full vectors']);
});

describe('refuses', () => {
  test('what does not fit', async () => {
    const encoder = await pcaEncoder(3);
    const narrow = matrix(5, 4);
    const broken = matrix(2, DIM);
    broken.data[DIM] = Number.NaN;
    const labels = { kind: 'labels' as const, base: new Int32Array(3), queries: new Int32Array(60) };
    const good = { base, queries, encoder, ks: [10] };
    for (const [options, code, message] of [
      [{ ...good, queries: narrow }, 'MISMATCH', 'the queries vectors are 4-d, the encoder expects 12-d'],
      [{ ...good, queries: broken }, 'INVALID_DATA', 'row 1 of the queries holds NaN'],
      [{ ...good, ks: [0] }, 'INVALID_ARGUMENT', 'expected whole numbers from 1'],
      [{ ...good, relevance: labels }, 'INVALID_ARGUMENT', 'labels of 3 rows, but 640 base vectors'],
      [
        { ...good, relevance: { kind: 'qrels' as const, gains: [] } },
        'INVALID_ARGUMENT',
        'relevance of 0 queries, but 60 query vectors',
      ],
    ] as const) {
      await expect(judgeEncoder(options)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
    }
  });

  test('to go on once it was stopped', async () => {
    const signal = AbortSignal.abort();
    const encoder = await pcaEncoder(3);
    await expect(judgeEncoder({ base, queries, encoder, ks: [10], signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });
});
