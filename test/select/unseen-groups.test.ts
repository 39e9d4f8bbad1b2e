import { expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { concatRows, gatherRows, matrix, row } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { cleanForTraining } from '../../src/select/split-sample.js';
import { unseenRows } from '../../src/select/unseen-groups.js';

const KINDS = 60;

/** Rows around centres that lie far apart; row i is of kind i modulo their number. */
function kinds(rows: number): ReturnType<typeof matrix> {
  const rng = new Rng(3);
  const x = matrix(rows, 24);
  const centres = matrix(KINDS, 24);
  centres.data.forEach((_, i) => (centres.data[i] = rng.normal()));
  for (let i = 0; i < rows; i++) {
    const centre = row(centres, i % KINDS);
    row(x, i).forEach((_, j, values) => (values[j] = centre[j]! + 0.05 * rng.normal()));
  }
  return x;
}

test('whole groups of neighbouring rows are left out, about a tenth of the rows', async () => {
  const x = kinds(3_000);
  const rows = await unseenRows(x, { distance: 'cosine', seed: 1 });
  expect(rows!.length).toBeGreaterThan(150);
  expect(rows!.length).toBeLessThanOrEqual(300);
  const perKind = new Int32Array(KINDS);
  for (const i of rows!) perKind[i % KINDS]!++;
  // A tenth of the rows by chance would touch every kind.
  expect(perKind.filter((count) => count > 0).length).toBeLessThanOrEqual(12);
  expect(await unseenRows(x, { distance: 'cosine', seed: 1 })).toEqual(rows);
});

test('copies of one vector and zero vectors count once, so that a tenth of the distinct rows is left out', async () => {
  const distinct = kinds(3_000);
  const x = concatRows(
    [distinct, matrix(500, 24), matrix(12_000, 24, new Float32Array(288_000).fill(0.5))],
    24,
  );
  const { x: cleaned } = cleanSample(x);
  expect(cleaned.rows).toBe(3_001);
  const rows = await unseenRows(cleaned, { distance: 'cosine', seed: 1 });
  expect(rows!.length).toBeGreaterThan(150);
  expect(rows!.length).toBeLessThanOrEqual(300);
  const copies = concatRows([kinds(1_500), matrix(12_000, 24, new Float32Array(288_000).fill(0.5))], 24);
  expect(await unseenRows(cleanSample(copies).x, { distance: 'cosine', seed: 1 })).toBeNull();
});

test('a small sample has no unseen groups, and rows that are no numbers are refused', async () => {
  const x = kinds(3_000);
  const few = gatherRows(
    x,
    Int32Array.from({ length: 1_000 }, (_, i) => i),
  );
  expect(await unseenRows(few, { distance: 'cosine', seed: 1 })).toBeNull();
  x.data[7 * 24] = Number.NaN;
  expect(() => cleanForTraining(x, 'cosine')).toThrow('row 7 of the sample');
});
