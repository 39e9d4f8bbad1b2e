import { describe, expect, test } from '@jest/globals';
import { sizesPage, type SizesOfSet } from '../../bench/plan/sizes-page.js';
import { sizedSets } from '../../bench/plan/sizes-sets.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import type { SizingRow } from '../../src/plan/sizing-row.js';

const DIM = 64;
const LABELS = Int32Array.from({ length: 40 }, (_, i) => i % 3);

function randomRows(): Matrix {
  const x = matrix(LABELS.length, DIM);
  const rng = new Rng(3);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
  return x;
}

const squaredDistance = (x: Matrix, i: number, j: number): number =>
  row(x, i).reduce((sum, value, at) => sum + (value - row(x, j)[at]!) ** 2, 0);

describe('the sets of bench:sizes', () => {
  const real = randomRows();
  const [half, same, twice] = sizedSets(real, { labels: LABELS, name: 'made-up', seed: 1 });

  test('have half, once and twice the dimensions, and only the middle one is real', () => {
    expect([half?.dim, same?.dim, twice?.dim]).toEqual([DIM / 2, DIM, 2 * DIM]);
    expect([half?.isReal, same?.isReal, twice?.isReal]).toEqual([false, true, false]);
    expect(same?.rows).toBe(real);
  });

  test('keep half of the squared distances when they are turned and cut', () => {
    let [kept, whole] = [0, 0];
    for (let i = 0; i < LABELS.length; i++)
      for (let j = 0; j < i; j++) {
        const [part, all] = [squaredDistance(half!.rows, i, j), squaredDistance(real, i, j)];
        expect(part).toBeLessThan(all);
        kept += part;
        whole += all;
      }
    expect(kept / whole).toBeCloseTo(0.5, 1);
  });

  test('join each row with the next one of its label', () => {
    const joined = twice!.rows;
    expect(row(joined, 4).subarray(0, DIM)).toEqual(row(real, 4));
    expect(row(joined, 4).subarray(DIM)).toEqual(row(real, 7));
    expect(row(joined, 39).subarray(DIM)).toEqual(row(real, 0));
  });
});

describe('the page of bench:sizes', () => {
  const sized = (label: string, changes: Partial<SizingRow>): SizingRow => ({
    label,
    kind: 'compact',
    dim: 96,
    datatype: 'scalar',
    hnswM: 16,
    oversampling: 10,
    layout: 'two-stage',
    sampleRecallAt10: 0.99,
    sampleInterval: [0.98, 1],
    recallAt10: 0.99,
    interval: [0.98, 1],
    ndcgAt10: 0.99,
    latencyMsP50: 1,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    deployable: true,
    ramBytes: 1e6,
    diskBytes: 1e7,
    ramBytesPerMillion: 1e9,
    diskBytesPerMillion: 7e9,
    evidence: { recall: new Float64Array(3), perDoubling: new Float64Array(3), doublings: 0, fitGap: null },
    ...changes,
  });
  const [small, smaller] = [
    sized('96 scalar', {}),
    sized('96 binary', { ramBytesPerMillion: 5e8, hnswM: 8, datatype: 'binary-2bit', recallAt10: 0.8 }),
  ];
  const set: SizesOfSet = {
    dim: 1536,
    isReal: true,
    about: 'made-up, real embeddings',
    points: 2727,
    queries: 300,
    full: sized('as configured', { kind: 'current', dim: 1536, ramBytesPerMillion: 6e9 }),
    proposals: [
      { name: 'safe', row: small, reached: true },
      { name: 'balanced', row: small, reached: true },
      { name: 'smallest', row: smaller, reached: false },
    ],
  };
  const page = sizesPage([set, { ...set, dim: 768, isReal: false }], {
    budgetSeconds: 1,
    seed: 1,
    server: '1.16.3',
    date: '2026-01-01',
    cpu: 'a processor',
    cores: 2,
    node: '22.0.0',
  });

  test('has each configuration once, with all its names and what it takes', () => {
    expect(page).toContain('| 1,536 | full vectors | 6 GB | 7 GB | 0.990 |');
    expect(page).toContain('|  | safe, balanced | 1 GB | 7 GB | 0.990 |');
    expect(page).toContain('| 96 scalar, 10x rescored | 1 GB | 17 % |');
    expect(page).toContain('|  | smallest (most found) | 500 MB | 7 GB | 0.800 |');
    expect(page).toContain('| 96 binary-2bit, m 8, 10x rescored | 500 MB | 8 % |');
  });

  test('says which vectors are real', () => {
    expect(page).toContain('of 1,536 dimensions are real embeddings as they are. Those of 768 dimensions');
  });
});
