import { expect, test } from '@jest/globals';
import { EigenvalueDecomposition, Matrix as Dense } from 'ml-matrix';
import { leanvecSphering } from '../../src/baselines/leanvec-sphering.js';
import type { Moments } from '../../src/baselines/moment-worker.js';
import { fitMoments, pcaFromMoments } from '../../src/baselines/pca.js';
import type { EncoderNetwork, EncoderNetworks } from '../../src/encoder/network.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { createBenchmark, neighborRecall } from '../../src/evaluate/neighbor-recall.js';

const DIM = 24;
const D = 6;
const distance = 'dot' as const;

/** Rows whose coordinates have their own spread each, turned by one fixed rotation-like mix. */
function rowsOf(rows: number, seed: number, spread: (j: number) => number): Matrix {
  const [rng, mixing] = [new Rng(seed), new Rng(99)];
  const mix = Float64Array.from({ length: DIM * DIM }, () => mixing.normal() / Math.sqrt(DIM));
  const x = matrix(rows, DIM);
  for (let i = 0; i < rows; i++) {
    const values = Array.from({ length: DIM }, (_, j) => rng.normal() * spread(j));
    for (let j = 0; j < DIM; j++)
      x.data[i * DIM + j] = values.reduce((sum, value, k) => sum + value * mix[k * DIM + j]!, 0);
  }
  return x;
}

const falling = (j: number): number => 0.85 ** j;
const points = rowsOf(3000, 1, falling);
/** Queries vary most where the points vary little. */
const shifted = (rows: number, seed: number): Matrix => rowsOf(rows, seed, (j) => 0.8 ** (DIM - j));

async function spheringOf(
  moments: Moments,
  queries: Matrix,
  options: { dim: number; distance: 'cosine' | 'dot'; pointsShare?: number },
): Promise<EncoderNetworks> {
  return leanvecSphering(moments, await fitMoments(queries, options), { pointsShare: 0.1, ...options });
}

/** Mean squared error of the inner products of all queries with all points, as a share of their mean square. */
function lossOf(maps: EncoderNetworks, queries: Matrix): number {
  const dense = ({ rows, cols, data }: Matrix): Dense => Dense.from1DArray(rows, cols, Array.from(data));
  const weight = ({ layers }: EncoderNetwork): Dense => dense(layers[0]!.weight);
  const [x, q] = [dense(points), dense(queries)];
  const truth = q.mmul(x.transpose());
  const found = q.mmul(weight(maps.queryNetwork)).mmul(x.mmul(weight(maps.network)).transpose());
  return truth.clone().sub(found).norm('frobenius') ** 2 / truth.norm('frobenius') ** 2;
}

test('inner products with queries of another distribution survive better than by PCA', async () => {
  const moments = await fitMoments(points, { distance });
  const maps = await spheringOf(moments, shifted(400, 2), { dim: D, distance });
  const pca = await pcaFromMoments(moments, { dim: D, centred: false, distance });
  const fresh = shifted(200, 3);
  const own = lossOf(maps, fresh);
  expect(own).toBeLessThan(0.7 * lossOf({ network: pca, queryNetwork: pca }, fresh));
  // Which way round: the maps swapped lose.
  expect(lossOf({ network: maps.queryNetwork, queryNetwork: maps.network }, fresh)).toBeGreaterThan(own);
});

test('the maps reach the least possible error: what the largest eigenvalues leave of the trace', async () => {
  const moments = await fitMoments(points, { distance });
  const queries = shifted(400, 2);
  const { network, queryNetwork } = await spheringOf(moments, queries, { dim: D, distance, pointsShare: 0 });
  const { second } = await fitMoments(queries, { distance });
  const dense = (data: Float64Array): Dense => Dense.from1DArray(DIM, DIM, Array.from(data));
  const [s, c] = [dense(moments.second), dense(second)];
  const { realEigenvalues } = new EigenvalueDecomposition(c.mmul(s), { assumeSymmetric: false });
  const sorted = [...realEigenvalues].sort((a, b) => b - a);
  const total = sorted.reduce((sum, value) => sum + value, 0);
  const least = sorted.slice(D).reduce((sum, value) => sum + value, 0) / total;
  const weight = ({ layers }: EncoderNetwork): Dense =>
    Dense.from1DArray(DIM, D, Array.from(layers[0]!.weight.data));
  const rest = Dense.eye(DIM).sub(weight(queryNetwork).mmul(weight(network).transpose()));
  const error = c.mmul(rest).mmul(s).mmul(rest.transpose()).trace() / total;
  expect(error).toBeGreaterThanOrEqual(least - 1e-6);
  expect(error).toBeLessThan(least + 1e-5);
});

test('where queries are distributed like the points it is uncentred PCA', async () => {
  const moments = await fitMoments(points, { distance });
  const options = { dim: D, distance };
  const maps = await spheringOf(moments, rowsOf(3000, 5, falling), options);
  const pca = await pcaFromMoments(moments, { ...options, centred: false });
  const benchmark = await createBenchmark({ base: points, queries: rowsOf(300, 6, falling), distance });
  const recallOf = async (of: { network: EncoderNetwork; queryNetwork?: EncoderNetwork }): Promise<number> =>
    (await neighborRecall(benchmark, { ...of, compactDistance: 'dot', seed: 1 })).recallAt10;
  const [own, other] = [await recallOf(maps), await recallOf({ network: pca })];
  expect(other).toBeGreaterThan(0.3);
  expect(Math.abs(own - other)).toBeLessThan(0.015);
});

test('points and queries fewer than dimensions, or unit rows, are no trouble', async () => {
  const moments = await fitMoments(rowsOf(15, 1, falling), { distance: 'cosine' });
  const { network, queryNetwork } = await spheringOf(moments, shifted(5, 2), {
    dim: 18,
    distance: 'cosine',
  });
  expect(network).toMatchObject({ normalizeInput: true, normalizeOutput: true });
  // The points' columns are orthonormal: lengths stay what they were, as with PCA.
  const b = Dense.from1DArray(DIM, 18, Array.from(network.layers[0]!.weight.data));
  expect(b.transpose().mmul(b).sub(Dense.eye(18)).norm('frobenius')).toBeLessThan(1e-4);
  expect(queryNetwork.layers[0]!.weight.data.every((value) => Math.abs(value) < 1e3)).toBe(true);
});

test('queries of other dimensions are refused', async () => {
  const moments = await fitMoments(points, { distance });
  await expect(spheringOf(moments, matrix(40, 3), { dim: D, distance })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: 'queries are 3-d, the points 24-d',
  });
});
