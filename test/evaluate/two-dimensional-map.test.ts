import { describe, expect, test } from '@jest/globals';
import { matrix, matrixFromRows, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { alignMap, labelsForMap, mapInTwoDimensions } from '../../src/evaluate/two-dimensional-map.js';

function cloud(rows: number): Matrix {
  const rng = new Rng(3);
  const points = matrix(rows, 2);
  for (let i = 0; i < rows; i++) points.data.set([3 * rng.normal(), rng.normal() + (i % 2)], 2 * i);
  return points;
}

function turned(points: Matrix, angle: number, side: number): Matrix {
  const rows = Array.from({ length: points.rows }, (_, i) => {
    const [x = 0, y = 0] = row(points, i);
    return [
      x * Math.cos(angle) - side * y * Math.sin(angle),
      x * Math.sin(angle) + side * y * Math.cos(angle),
    ];
  });
  return matrixFromRows(rows);
}

describe('a map in two dimensions', () => {
  test.each([
    [0.4, 1],
    [2.9, 1],
    [-1.2, -1],
    [Math.PI, -1],
  ])('turned by %d and mirrored by %d comes back to where it was', (angle, side) => {
    const points = cloud(60);
    const other = turned(points, angle, side);
    alignMap(other, points);
    points.data.forEach((value, i) => expect(other.data[i]).toBeCloseTo(value, 4));
  });

  test('keeps the two directions in which the rows differ most', async () => {
    const rng = new Rng(5);
    const x = matrix(200, 6);
    const along = Array.from({ length: 200 }, () => 10 * rng.normal());
    for (let i = 0; i < 200; i++)
      x.data.set([0.1 * rng.normal(), along[i]!, 0.1 * rng.normal(), 3 * rng.normal(), 0, 1], i * 6);
    const points = await mapInTwoDimensions(x, { distance: 'euclid' });
    const side = Math.sign(points!.data[0]! * along[0]!);
    const mean = along.reduce((sum, value) => sum + value, 0) / along.length;
    along.forEach((value, i) =>
      expect(Math.abs(side * points!.data[2 * i]! - (value - mean))).toBeLessThan(0.5),
    );
  });

  test('is coloured by the labels that near points share, not by those that they do not', () => {
    const rng = new Rng(1);
    const points = matrix(120, 2);
    const groups = Array.from({ length: 120 }, (_, i) => {
      const group = i % 3;
      points.data.set([10 * group + rng.normal(), rng.normal()], 2 * i);
      return `group ${group}`;
    });
    const random = groups.map(() => `random ${rng.int(3)}`);
    const single = groups.map((_, i) => `only ${i}`);
    const constant = groups.map(() => 'always');
    const fields = Object.entries({ random, single, constant, groups, none: groups.map(() => null) });
    const found = fields.map(([field, labels]) => ({ field, labels }));
    expect(labelsForMap(points, found)?.field).toBe('groups');
    expect(
      labelsForMap(
        points,
        found.filter(({ field }) => field !== 'groups'),
      ),
    ).toBeNull();
  });

  test.each([
    ['too few rows', matrix(2, 4)],
    ['one dimension', matrix(9, 1)],
  ])('is not drawn with %s', async (_what, x) => {
    expect(await mapInTwoDimensions(x, { distance: 'euclid' })).toBeNull();
  });
});
