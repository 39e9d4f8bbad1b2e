import { describe, expect, test } from '@jest/globals';
import { compactDistance, normalizedRows } from '../../src/core/distance.js';
import {
  concatRows,
  firstNonFiniteRow,
  gatherRows,
  matrix,
  matrixFromRows,
  rowRange,
} from '../../src/core/matrix.js';
import type { PointId } from '../../src/core/point-id.js';
import { comparePointIds, formatPointId, parsePointId } from '../../adapters/qdrant/points/point-id.js';

describe('Matrix', () => {
  const x = matrixFromRows([
    [1, 2],
    [3, 4],
    [0, 0],
  ]);

  test('gathers, cuts and stacks rows', () => {
    expect([...gatherRows(x, [2, 0, 0]).data]).toEqual([0, 0, 1, 2, 1, 2]);
    expect([...rowRange(x, 1, 3).data]).toEqual([3, 4, 0, 0]);
    expect([...concatRows([rowRange(x, 1, 2), x], 2).data]).toEqual([3, 4, 1, 2, 3, 4, 0, 0]);
    expect(() => concatRows([x], 3)).toThrow('cannot stack 2 columns on 3');
  });

  test('says what does not fit', () => {
    expect(() => matrix(2, 2, new Float32Array(3))).toThrow('matrix of 2 x 2: got 3 values, expected 4');
    expect(() => matrix(1.5, 2)).toThrow('whole, positive sizes');
    expect(() => matrixFromRows([[1], [1, 2]])).toThrow('row 1 has 2 values, expected 1');
  });

  test('finds the first row that is not finite', () => {
    expect(firstNonFiniteRow(x)).toBe(-1);
    expect(firstNonFiniteRow(matrixFromRows([[0], [Number.NaN], [Infinity]]))).toBe(1);
    for (const wrong of [Number.NaN, Infinity, -Infinity]) {
      for (let at = 0; at < 14; at++) {
        const y = matrix(2, 7, new Float32Array(14).fill(-3.4e38));
        expect(firstNonFiniteRow(y)).toBe(-1);
        y.data[at] = wrong;
        expect(firstNonFiniteRow(y)).toBe(Math.floor(at / 7));
      }
    }
  });

  test('normalises rows and leaves zero rows alone', () => {
    const unit = normalizedRows(x);
    expect(Math.hypot(unit.data[2]!, unit.data[3]!)).toBeCloseTo(1, 6);
    expect([...rowRange(unit, 2, 3).data]).toEqual([0, 0]);
    expect([...x.data]).toEqual([1, 2, 3, 4, 0, 0]);
  });

  test('searches Manhattan collections with Euclid, the others with their own distance', () => {
    expect((['cosine', 'dot', 'euclid', 'manhattan'] as const).map(compactDistance)).toEqual([
      'cosine',
      'dot',
      'euclid',
      'euclid',
    ]);
  });
});

describe('point ids', () => {
  test('are read and written without rounding', () => {
    for (const text of [
      '0',
      '9007199254740993',
      '18446744073709551615',
      '550e8400-e29b-41d4-a716-446655440000',
    ]) {
      expect(formatPointId(parsePointId(text))).toBe(text);
    }
    expect(parsePointId('550E8400-E29B-41D4-A716-446655440000')).toBe('550e8400-e29b-41d4-a716-446655440000');
  });

  test.each(['18446744073709551616', '-1', '1.0', '1e3', '', ' 1', '550e8400e29b41d4a716446655440000', 'x'])(
    'refuse "%s"',
    (text) => expect(() => parsePointId(text)).toThrow('is no point id'),
  );

  test('sort as numbers first, then UUIDs', () => {
    const ids: PointId[] = [
      'b0000000-0000-0000-0000-000000000000',
      10n,
      'a0000000-0000-0000-0000-000000000000',
      9n,
    ];
    expect(ids.sort(comparePointIds)).toEqual([
      9n,
      10n,
      'a0000000-0000-0000-0000-000000000000',
      'b0000000-0000-0000-0000-000000000000',
    ]);
  });
});
