import { expect, test } from '@jest/globals';
import { matrix, row, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { QUERY_ROWS } from '../../src/hyper-parameters/fit-of-candidates.js';
import { buildKnnGraph } from '../../src/knn/build-knn-graph.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import { addQueryRows, joinQueries } from '../../src/knn/query-rows.js';
import { neighborhoodBatch, type Neighbors } from '../../src/train/batches.js';
import { prepareInWorker } from '../../src/train/tldr.js';

const [POINTS, QUERIES, DIM, K] = [400, 60, 8, 5];

function random(rows: number, seed: number, scale = 1): Matrix {
  const rng = new Rng(seed);
  const x = matrix(rows, DIM);
  for (let i = 0; i < x.data.length; i++) x.data[i] = scale * rng.normal();
  return x;
}

const points = random(POINTS, 1);
const [joined] = joinQueries(points, random(QUERIES, 2), random(0, 3));

/** The neighbours of a point are the next five, those of a query the first five. */
function graphOf(queryRows: number): Neighbors {
  const rows = POINTS + queryRows;
  const neighbors = new Int32Array(rows * K);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < K; j++) neighbors[i * K + j] = i < POINTS ? (i + j + 1) % POINTS : j;
  return { rows, k: K, neighbors, ...(queryRows === 0 ? {} : { queryRows }) };
}

test('the anchors of a batch are queries in the fixed share', () => {
  // Rows without neighbours: a batch is its anchors.
  const [rows, queryRows] = [80_000, 40_000];
  const graph = { rows, k: 1, neighbors: new Int32Array(rows).fill(-1), queryRows };
  const share = (batchSize: number, step: number): number => {
    const batch = neighborhoodBatch(graph, { batchSize, neighborsPerAnchor: 1, seed: 4 }, step);
    expect(batch).toHaveLength(batchSize);
    return batch.filter((i) => i >= rows - queryRows).length / batchSize;
  };
  for (const step of [0, 1, 2]) {
    expect(share(20, step)).toBe(QUERY_ROWS.anchorShare);
    expect(share(500, step)).toBeCloseTo(QUERY_ROWS.anchorShare, 2);
  }
});

test('batches with queries depend on seed and step alone; without queries, nothing has changed', () => {
  const settings = { batchSize: 50, neighborsPerAnchor: 3, seed: 4 };
  const batch = (seed: number, step: number, queryRows = QUERIES): number[] => [
    ...neighborhoodBatch(graphOf(queryRows), { ...settings, seed }, step),
  ];
  expect(batch(4, 7)).toEqual(batch(4, 7));
  expect(batch(4, 7)).not.toEqual(batch(5, 7));
  expect(batch(4, 7)).not.toEqual(batch(4, 8));
  expect(batch(4, 7, 0).every((i) => i < POINTS)).toBe(true);
});

test('a sample of no more rows than a batch is taken whole, with its queries', () => {
  const settings = { batchSize: 1000, neighborsPerAnchor: 3, seed: 4 };
  expect(neighborhoodBatch(graphOf(QUERIES), settings, 0)).toHaveLength(POINTS + QUERIES);
});

test('the neighbours of a query are its nearest points, and no point has a query as its neighbour', async () => {
  const graph = await buildKnnGraph(points, { k: K, distance: 'cosine', seed: 1, method: 'exact' });
  const all = await addQueryRows(graph, joined, { distance: 'cosine' });
  expect(all).toMatchObject({ rows: POINTS + QUERIES, k: K, queryRows: QUERIES });
  expect(all.neighbors.subarray(0, POINTS * K)).toEqual(graph.neighbors);
  const queries = rowRange(joined, POINTS, POINTS + QUERIES);
  expect(all.neighbors.subarray(POINTS * K)).toEqual(
    await exactTopK(points, queries, { k: K, distance: 'cosine' }),
  );
  expect(all.neighbors.every((i) => i < POINTS)).toBe(true);
});

test('joined queries keep their directions, get the length of the points, and none of length 0 is taken', () => {
  const long = random(3, 5, 100);
  row(long, 1).fill(0);
  const [some, all] = joinQueries(points, long, random(2, 6));
  expect([some.rows, all.rows]).toEqual([POINTS + 2, POINTS + 4]);
  expect(rowRange(all, 0, POINTS).data).toEqual(points.data);
  const lengthOf = (x: Matrix): number =>
    Math.sqrt(x.data.reduce((sum, value) => sum + value ** 2, 0) / x.rows);
  expect(lengthOf(rowRange(all, POINTS, POINTS + 1))).toBeCloseTo(lengthOf(points), 5);
  const [kept, given] = [row(all, POINTS + 1), row(long, 2)];
  expect(kept[1]! / kept[0]!).toBeCloseTo(given[1]! / given[0]!, 4);
});

test('no more queries are taken than the limit', () => {
  const one = matrix(1, 1, Float32Array.of(1));
  const many = (rows: number): Matrix => matrix(rows, 1, new Float32Array(rows).fill(2));
  const [some, all] = joinQueries(one, many(QUERY_ROWS.rowsMax - 1), many(5));
  expect([some.rows, all.rows]).toEqual([QUERY_ROWS.rowsMax, QUERY_ROWS.rowsMax + 1]);
});

test('the sample that is prepared beside queries is the one that is prepared alone', async () => {
  const alone = await prepareInWorker(points, { distance: 'cosine' });
  const { withQueries, ...beside } = await prepareInWorker(joined, {
    distance: 'cosine',
    queryRows: QUERIES,
  });
  expect(beside).toEqual(alone);
  expect(withQueries!.sample.rows).toBe(POINTS + QUERIES);
  expect(withQueries!.digest).not.toBe(alone.digest);
});
