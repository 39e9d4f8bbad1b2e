import { describe, expect, test } from '@jest/globals';
import type { Distance } from '../../src/core/distance.js';
import { dot, squaredNorm } from '../../src/core/distance.js';
import { gatherRows, matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { buildKnnGraph, directionsFor, methodFor } from '../../src/knn/build-knn-graph.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';

function random(rows: number, cols: number, seed = 1): Matrix {
  const rng = new Rng(seed);
  const x = matrix(rows, cols);
  // Few strong directions and growing norms: as real embeddings, not a ball of noise.
  for (let i = 0; i < x.data.length; i++)
    x.data[i] = rng.normal() / (1 + (i % cols)) ** 0.7 + (i % 7 === 0 ? 0.2 : 0);
  for (let i = 0; i < rows; i += 3) row(x, i).forEach((value, j) => (x.data[i * cols + j] = value * 3));
  return x;
}

function bruteForce(x: Matrix, i: number, k: number, distance: Distance): number[] {
  const a = row(x, i);
  const similarity = (j: number): number => {
    const b = row(x, j);
    if (distance === 'dot') return dot(a, b);
    if (distance === 'cosine') return dot(a, b) / Math.sqrt(squaredNorm(a) * squaredNorm(b));
    if (distance === 'manhattan') return -a.reduce((sum, value, n) => sum + Math.abs(value - b[n]!), 0);
    return -a.reduce((sum, value, n) => sum + (value - b[n]!) ** 2, 0);
  };
  const others = Array.from({ length: x.rows }, (_, j) => j).filter((j) => j !== i);
  return others
    .map((j) => [similarity(j), j] as const)
    .sort((p, q) => q[0] - p[0] || p[1] - q[1])
    .slice(0, k)
    .map(([, j]) => j);
}

const distances = ['cosine', 'dot', 'euclid'] as const;

describe.each(distances)('neighbours by %s', (distance) => {
  const x = random(1500, 20);

  test('exact search agrees with comparing one by one, blocks and all', async () => {
    const { neighbors, recall, method } = await buildKnnGraph(x, { k: 6, distance, seed: 1 });
    expect({ recall, method }).toEqual({ recall: 1, method: 'exact' });
    for (let i = 0; i < x.rows; i += 131)
      expect([...neighbors.subarray(i * 6, i * 6 + 6)]).toEqual(bruteForce(x, i, 6, distance));
  });

  test('the approximate index finds nine of ten, never the row itself', async () => {
    const big = random(4500, 20, 2);
    const { neighbors, recall, method } = await buildKnnGraph(big, {
      k: 6,
      distance,
      seed: 1,
      method: 'hnsw',
      threads: 2,
    });
    expect(method).toBe('hnsw');
    expect(recall).toBeGreaterThanOrEqual(0.9);
    let found = 0;
    for (let i = 0; i < big.rows; i += 45) {
      const mine = neighbors.subarray(i * 6, i * 6 + 6);
      expect(mine).not.toContain(i);
      found += bruteForce(big, i, 6, distance).filter((j) => mine.includes(j)).length;
    }
    expect(found / 600).toBeGreaterThanOrEqual(0.9);
  });
});

test.each(distances)(
  'along directions that hold everything the neighbours by %s are exact',
  async (distance) => {
    const x = random(1200, 24, 3);
    for (let i = 0; i < x.rows; i++) x.data.fill(0, i * 24 + 10, (i + 1) * 24);
    const directions = matrix(24, 10);
    for (let j = 0; j < 10; j++) directions.data[j * 10 + j] = 1;
    const graph = await buildKnnGraph(x, { k: 6, distance, seed: 1, method: 'reduced', directions });
    expect({ method: graph.method, recall: graph.recall }).toEqual({ method: 'reduced', recall: 1 });
    for (let i = 0; i < x.rows; i += 131)
      expect([...graph.neighbors.subarray(i * 6, i * 6 + 6)]).toEqual(bruteForce(x, i, 6, distance));
  },
);

test('what directions leave out shows in the recall', async () => {
  const x = random(1200, 24, 4);
  const directions = matrix(24, 8);
  for (let j = 0; j < 8; j++) directions.data[j * 8 + j] = 1;
  const graph = await buildKnnGraph(x, { k: 6, distance: 'cosine', seed: 1, method: 'reduced', directions });
  expect(graph.recall).toBeGreaterThan(0);
  expect(graph.recall).toBeLessThan(0.9);
  await expect(
    buildKnnGraph(x, { k: 6, distance: 'cosine', seed: 1, method: 'reduced' }),
  ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('all pairs are compared in full, along directions or not at all, by what that takes', () => {
  const directions = matrix(1, 1);
  const of = (rows: number, cols: number, distance: Distance, given = true): string =>
    methodFor({ rows, cols }, { distance, directions: given ? directions : undefined });
  expect(of(10_000, 4096, 'cosine')).toBe('exact');
  expect(of(50_000, 384, 'dot')).toBe('exact');
  expect(of(50_000, 768, 'euclid')).toBe('reduced');
  expect(of(50_000, 768, 'euclid', false)).toBe('hnsw');
  expect(of(150_000, 256, 'cosine')).toBe('exact');
  expect(of(300_000, 768, 'cosine')).toBe('hnsw');
  expect(of(50_000, 768, 'manhattan')).toBe('hnsw');
  expect([
    directionsFor(10_000, 4096),
    directionsFor(50_000, 4096),
    directionsFor(50_000, 768),
    directionsFor(150_000, 1536),
    directionsFor(150_000, 256),
    directionsFor(300_000, 768),
  ]).toEqual([null, 400, 384, 192, null, null]);
});

test('duplicates are neighbours of each other, told apart from the row by index', async () => {
  const x = gatherRows(random(40, 8), [0, 0, 0, ...Array.from({ length: 39 }, (_, i) => i + 1)]);
  for (const method of ['exact', 'hnsw'] as const) {
    const { neighbors } = await buildKnnGraph(x, { k: 2, distance: 'cosine', seed: 1, method });
    for (let i = 0; i < 3; i++)
      expect([...neighbors.subarray(i * 2, i * 2 + 2)].sort()).toEqual([0, 1, 2].filter((j) => j !== i));
  }
});

test('k shrinks to what there is; missing answers are -1', async () => {
  expect((await buildKnnGraph(random(4, 3), { k: 10, distance: 'dot', seed: 1 })).k).toBe(3);
  const found = await exactTopK(random(3, 5), random(2, 5, 9), { k: 5, distance: 'cosine' });
  expect([...found.subarray(3, 5)]).toEqual([-1, -1]);
  await expect(buildKnnGraph(random(1, 3), { k: 1, distance: 'dot', seed: 1 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
  await expect(exactTopK(random(3, 5), random(2, 4), { k: 1, distance: 'dot' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test.each(['exact', 'hnsw'] as const)('%s stops when told to and reports progress', async (method) => {
  const controller = new AbortController();
  const seen: number[] = [];
  const run = buildKnnGraph(random(9000, 32), {
    k: 5,
    distance: 'cosine',
    seed: 1,
    method,
    signal: controller.signal,
    onProgress: ({ done }) => {
      seen.push(done);
      controller.abort();
    },
  });
  await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
  expect(seen.length).toBeGreaterThan(0);
});

test('neighbours by manhattan are those of the sum of absolute differences, blocks and all', async () => {
  const x = random(300, 20);
  const { neighbors, recall, method } = await buildKnnGraph(x, { k: 6, distance: 'manhattan', seed: 1 });
  expect({ recall, method }).toEqual({ recall: 1, method: 'exact' });
  let otherThanEuclid = 0;
  for (let i = 0; i < x.rows; i++) {
    const expected = bruteForce(x, i, 6, 'manhattan');
    expect([...neighbors.subarray(i * 6, i * 6 + 6)]).toEqual(expected);
    if (expected.join() !== bruteForce(x, i, 6, 'euclid').join()) otherThanEuclid++;
  }
  expect(otherThanEuclid).toBeGreaterThan(30);
  const base = random(8500, 4);
  const found = await exactTopK(base, base, { k: 3, distance: 'manhattan', excludeSelf: true });
  for (let i = 0; i < base.rows; i += 500)
    expect([...found.subarray(i * 3, i * 3 + 3)]).toEqual(bruteForce(base, i, 3, 'manhattan'));
});

test('the recall of an approximate graph by manhattan is measured against manhattan neighbours', async () => {
  const x = random(2500, 20);
  const k = 6;
  const graph = await buildKnnGraph(x, { k, distance: 'manhattan', seed: 1, method: 'hnsw', threads: 2 });
  let found = 0;
  for (let i = 0; i < x.rows; i += 25) {
    const mine = graph.neighbors.subarray(i * k, (i + 1) * k);
    found += bruteForce(x, i, k, 'manhattan').filter((j) => mine.includes(j)).length;
  }
  expect(Math.abs(graph.recall - found / (100 * k))).toBeLessThan(0.1);
  expect(graph.recall).toBeLessThan(0.97);
});

test('searching all by manhattan stops when told to', async () => {
  const controller = new AbortController();
  const x = random(9000, 16);
  const onProgress = (): void => controller.abort();
  const run = exactTopK(x, x, { k: 3, distance: 'manhattan', signal: controller.signal, onProgress });
  await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
});

test.each([
  ['one constant dimension of 1,000', (j: number) => (j === 3 ? 1000 : null)],
  ['an offset of 1,000 in every dimension', () => undefined],
])('Euclidean neighbours are right with %s', async (_name, constant) => {
  const x = random(600, 20);
  x.data.forEach((value, at) => {
    const fixed = constant(at % 20);
    // Steps of 1/64 stay exact at 1,000, so that float64 decides what the true neighbours are.
    x.data[at] = fixed ?? (fixed === undefined ? 1000 : 0) + Math.round(value * 64) / 64;
  });
  const { neighbors } = await buildKnnGraph(x, { k: 6, distance: 'euclid', seed: 1 });
  for (let i = 0; i < x.rows; i += 7) {
    const distanceTo = (j: number): number =>
      row(x, i).reduce((sum, value, n) => sum + (value - row(x, j)[n]!) ** 2, 0);
    // Equal distances are frequent on the grid: the distances must agree, not the indices.
    const expected = bruteForce(x, i, 6, 'euclid').map(distanceTo);
    expect(Array.from(neighbors.subarray(i * 6, i * 6 + 6), distanceTo)).toEqual(expected);
  }
});
