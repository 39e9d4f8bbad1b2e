import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import stringWidth from 'string-width';
import { cutTo, fitTable } from '../../../src/cli/console/table.js';

const ROWS = [
  ['candidate', 'recall@10', '95 % interval', 'seconds'],
  ['learned, residual', '0.973', '0.964 - 0.981', '12.5'],
  ['PCA', '0.941', '0.930 - 0.951', '0.2'],
];

describe('a table', () => {
  test('is whole where there is no terminal', () => {
    expect(fitTable(ROWS)).toEqual({
      lines: [
        'candidate          recall@10  95 % interval  seconds',
        'learned, residual      0.973  0.964 - 0.981     12.5',
        'PCA                    0.941  0.930 - 0.951      0.2',
      ],
      leftOut: [],
    });
  });

  test('loses the columns with the highest rank first, and says which', () => {
    const { lines, leftOut } = fitTable(ROWS, { columns: 40, ranks: [0, 0, 2, 1] });
    expect(lines).toEqual([
      'candidate          recall@10  seconds',
      'learned, residual      0.973     12.5',
      'PCA                    0.941      0.2',
    ]);
    expect(leftOut).toEqual(['95 % interval']);
  });

  test('cuts names before it loses a column that has no rank', () => {
    const { lines, leftOut } = fitTable(ROWS, { columns: 25, ranks: [0, 0, 2, 1] });
    expect(lines[1]).toBe('learned, resi…      0.973');
    expect(leftOut).toEqual(['95 % interval', 'seconds']);
  });

  test('aligns names of any script, and shows no control characters', () => {
    const { lines } = fitTable([
      ['field', 'recall'],
      ['新聞', '0.9'],
      ['\x1b[31mred\n', '0.8'],
    ]);
    expect(lines).toEqual(['field      recall', '新聞          0.9', '\uFFFD[31mred\uFFFD     0.8']);
  });

  test('never is wider than the terminal, whatever it holds', () => {
    const cell = fc.string({ maxLength: 30, unit: 'grapheme' });
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 130 }),
        fc.array(fc.array(cell, { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 6, maxLength: 6 }),
        (columns, rows, ranks) => {
          const { lines } = fitTable(rows, { columns, ranks });
          expect(lines).toHaveLength(rows.length);
          for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });
});

test('a cut text ends with a sign, and no character is halved', () => {
  expect(cutTo('👩‍👩‍👧 family', 6)).toBe('👩‍👩‍👧 fa…');
  expect(cutTo('short', 5)).toBe('short');
});
