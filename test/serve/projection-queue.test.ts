import { expect, jest, test } from '@jest/globals';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import type { VectorProjector } from '../../src/store/served.js';
import { ProjectionQueue } from '../../src/serve/projection-queue.js';

const DIM = 3;

function rows(n: number, seed: number): Matrix {
  const rng = new Rng(seed);
  return matrix(
    n,
    DIM,
    Float32Array.from({ length: n * DIM }, () => rng.normal()),
  );
}

/** Tells how many rows it was given at a time; queries come out negated. */
function projector(): VectorProjector & { readonly sizes: number[] } {
  const sizes: number[] = [];
  const scaled = (x: Matrix, by: number): Matrix => {
    sizes.push(x.rows);
    return matrix(
      x.rows,
      1,
      Float32Array.from({ length: x.rows }, (_, i) => by * (row(x, i)[0] ?? NaN)),
    );
  };
  return {
    inputDim: DIM,
    outputDim: 1,
    fingerprint: '',
    sizes,
    project: (x) => scaled(x, 1),
    projectQueries: (x) => scaled(x, -1),
  };
}

test('what arrives together is projected together, and everybody gets their own rows', async () => {
  const queue = new ProjectionQueue();
  const [one, other] = [projector(), projector()];
  const jobs = [
    { projector: one, as: 'queries' as const, x: rows(1, 1) },
    { projector: other, as: 'queries' as const, x: rows(1, 2) },
    { projector: one, as: 'points' as const, x: rows(2, 3) },
    { projector: one, as: 'queries' as const, x: rows(3, 4) },
  ];
  const found = await Promise.all(jobs.map((job) => queue.project(job)));
  expect(one.sizes).toEqual([4, 2]);
  expect(other.sizes).toEqual([1]);
  for (const [i, { as, x }] of jobs.entries()) {
    const sign = as === 'points' ? 1 : -1;
    expect(Array.from(found[i]?.data ?? [])).toEqual(
      Array.from({ length: x.rows }, (_, at) => sign * (row(x, at)[0] ?? NaN)),
    );
  }
  // What comes later is not kept waiting for more.
  await queue.project({ projector: one, as: 'queries', x: rows(1, 5) });
  expect(one.sizes).toEqual([4, 2, 1]);
});

test('no product grows without end, and one that fails fails those that were in it', async () => {
  const queue = new ProjectionQueue();
  const many = projector();
  const jobs = Array.from({ length: 100 }, (_, i) => ({
    projector: many,
    as: 'queries' as const,
    x: rows(1, i),
  }));
  const large = { projector: many, as: 'queries' as const, x: rows(200, 7) };
  await Promise.all([...jobs, large].map((job) => queue.project(job)));
  expect(many.sizes.toSorted((a, b) => a - b)).toEqual([4, 32, 32, 32, 200]);
  const broken = {
    ...projector(),
    projectQueries: jest.fn<() => Matrix>(() => {
      throw new Error('no memory');
    }),
  };
  const outcomes = await Promise.allSettled([
    queue.project({ projector: broken, as: 'queries', x: rows(1, 1) }),
    queue.project({ projector: many, as: 'queries', x: rows(1, 2) }),
    queue.project({ projector: broken, as: 'queries', x: rows(1, 3) }),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
  expect(broken.projectQueries).toHaveBeenCalledTimes(1);
});
