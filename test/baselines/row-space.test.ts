import { expect, test } from '@jest/globals';
import { EigenvalueDecomposition, Matrix as Dense } from 'ml-matrix';
import { leanvecSphering } from '../../src/baselines/leanvec-sphering.js';
import { basisColumns, fitMoments, pcaFromMoments, principalAxes } from '../../src/baselines/pca.js';
import { normalizedRows } from '../../src/core/distance.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';

/** More than moments are kept of by dimension. */
const WIDE = 4200;

/** Rows of falling spread along random directions, about an offset. */
function wideRows(rows: number, { seed = 1, offset = 0, rank = 30 } = {}): Matrix {
  // The directions are the same for each seed.
  const directions = new Rng(99);
  const along = Float64Array.from({ length: rank * WIDE }, () => directions.normal());
  const rng = new Rng(seed);
  const x = matrix(rows, WIDE);
  for (let i = 0; i < rows; i++) {
    const strengths = Float64Array.from({ length: rank }, (_, l) => rng.normal() * 0.8 ** l);
    for (let j = 0; j < WIDE; j++) {
      let sum = offset + 0.05 * rng.normal();
      for (let l = 0; l < rank; l++) sum += strengths[l]! * along[l * WIDE + j]!;
      x.data[i * WIDE + j] = sum;
    }
  }
  return x;
}

/** Inner products of all rows over n, in float64. */
function gramOf({ rows, cols, data }: Matrix): Dense {
  const gram = new Dense(rows, rows);
  for (let a = 0; a < rows; a++) {
    const own = Float64Array.from(data.subarray(a * cols, (a + 1) * cols));
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let j = 0; j < cols; j++) sum += own[j]! * data[b * cols + j]!;
      gram.set(a, b, sum / rows);
      gram.set(b, a, sum / rows);
    }
  }
  return gram;
}

/** Eigenvalues of X X^T / n, which are those of X^T X / n; of rows about their mean where `centred` is set. */
function exactValues(gram: Dense, centred: boolean): number[] {
  const of = gram.clone();
  if (centred) {
    const means = gram.mean('row');
    const mean = gram.mean();
    for (let a = 0; a < of.rows; a++) {
      for (let b = 0; b < of.rows; b++) of.set(a, b, gram.get(a, b) - means[a]! - means[b]! + mean);
    }
  }
  const { realEigenvalues } = new EigenvalueDecomposition(of, { assumeSymmetric: true });
  return realEigenvalues.sort((a, b) => b - a);
}

function expectOrthonormal(vectors: Float64Array, cols: number): void {
  for (let a = 0; a < cols; a++) {
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let i = 0; i < WIDE; i++) sum += vectors[i * cols + a]! * vectors[i * cols + b]!;
      expect(sum).toBeCloseTo(a === b ? 1 : 0, 4);
    }
  }
}

test('moments are taken along a basis only of more than 4,096 dimensions, and where it is narrower', () => {
  expect(basisColumns({ rows: 150, cols: 4096 }, 64)).toBeNull();
  expect(basisColumns({ rows: 150, cols: 24_000 }, 64)).toBe(151);
  expect(basisColumns({ rows: 150, cols: 24_000 }, 1000)).toBe(1016);
  expect(basisColumns({ rows: 50_000, cols: 24_000 }, 64)).toBe(528);
  expect(basisColumns({ rows: 150, cols: 5000 }, 3000)).toBeNull();
});

test.each([
  ['fewer rows than columns of the basis', 60, 0],
  ['fewer rows, far from the origin', 60, 20],
  ['more rows, far from the origin', 540, 20],
])('axes are those of all dimensions, about the origin and the mean: %s', async (_, rows, offset) => {
  const x = wideRows(rows, { offset });
  const moments = await fitMoments(x, { distance: 'euclid', dim: 8 });
  expect(moments.basis).toMatchObject({ rows: WIDE, cols: Math.min(rows + 1, 528) });
  const gram = gramOf(x);
  for (const centred of [false, true]) {
    const { values, vectors, mean } = await principalAxes(moments, { d: 8, centred });
    const exact = exactValues(gram, centred);
    values.forEach((value, j) => expect(value / exact[j]!).toBeCloseTo(1, 4));
    expectOrthonormal(vectors, 8);
    expect(mean === null).toBe(!centred);
  }
});

test("more axes than rows, rows that are one another's multiples, and unit rows", async () => {
  const x = wideRows(20);
  for (let i = 10; i < 20; i++)
    x.data.set(
      x.data.subarray((i - 10) * WIDE, (i - 9) * WIDE).map((v) => 2 * v),
      i * WIDE,
    );
  const moments = await fitMoments(x, { distance: 'cosine', dim: 50 });
  const { values, vectors } = await principalAxes(moments, { d: 50, centred: false });
  const exact = exactValues(gramOf(normalizedRows(x)), false);
  for (let j = 0; j < 10; j++) expect(values[j]! / exact[j]!).toBeCloseTo(1, 3);
  for (let j = 10; j < 50; j++) expect(Math.abs(values[j]!)).toBeLessThan(1e-5);
  expectOrthonormal(vectors, 50);
  expect(moments.meanSquare).toBeCloseTo(1, 6);
});

test('maps of queries and points are as good as PCA or better where queries lie elsewhere', async () => {
  const points = wideRows(100);
  const queries = wideRows(60, { seed: 2, rank: 6 });
  const options = { distance: 'dot', dim: 4 } as const;
  const moments = await fitMoments(points, options);
  const maps = await leanvecSphering(moments, await fitMoments(queries, { ...options, like: moments }), {
    ...options,
    pointsShare: 0.1,
  });
  const pca = await pcaFromMoments(moments, { ...options, centred: false });
  const error = (network: typeof pca, queryNetwork: typeof pca): number => {
    const [p, q] = [new Kernel(network).project(points), new Kernel(queryNetwork).project(queries)];
    let sum = 0;
    for (let a = 0; a < queries.rows; a++) {
      for (let b = 0; b < points.rows; b++) {
        let [exact, kept] = [0, 0];
        for (let j = 0; j < WIDE; j++) exact += queries.data[a * WIDE + j]! * points.data[b * WIDE + j]!;
        for (let j = 0; j < 4; j++) kept += q.data[a * 4 + j]! * p.data[b * 4 + j]!;
        sum += (exact - kept) ** 2;
      }
    }
    return sum;
  };
  expect(error(maps.network, maps.queryNetwork)).toBeLessThanOrEqual(error(pca, pca) * 1.0001);
});
