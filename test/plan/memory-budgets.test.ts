import { describe, expect, test } from '@jest/globals';
import { budgetTable, printRamChoice } from '../../src/cli/plan/budgets.js';
import { bestWithin, memoryBudgets, parseMemory, recommendedWithin } from '../../src/plan/memory-budgets.js';
import type { SizingRow } from '../../src/plan/sizing-row.js';
import { cellTexts } from '../../src/report/result-table.js';

function rowOf(
  fields: Pick<SizingRow, 'label' | 'kind' | 'recallAt10' | 'ramBytes'> & Partial<SizingRow>,
): SizingRow {
  return {
    dim: 8,
    datatype: 'float32',
    hnswM: 16,
    oversampling: 1,
    layout: null,
    sampleRecallAt10: fields.recallAt10,
    sampleInterval: [0, 1],
    interval: [fields.recallAt10 - 0.01, fields.recallAt10 + 0.01],
    ndcgAt10: 0.9,
    latencyMsP50: 1,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    deployable: true,
    evidence: { recall: new Float64Array(1), perDoubling: new Float64Array(1), doublings: 0, fitGap: null },
    ramBytesPerMillion: 1,
    diskBytesPerMillion: 1,
    diskBytes: 1,
    ...fields,
  };
}

const whole = rowOf({ label: '64 as configured', kind: 'current', recallAt10: 1, ramBytes: 300_000 });
const codes = rowOf({ label: '64 binary', kind: 'full', recallAt10: 0.6, ramBytes: 12_000 });
const small = rowOf({ label: '16 scalar', kind: 'compact', recallAt10: 0.8, ramBytes: 15_000 });
const rescored = rowOf({ ...small, oversampling: 4, recallAt10: 0.97, ramBytes: 15_500 });
const bytes = rowOf({ ...small, label: '16 uint8', recallAt10: 0.99, deployable: false });
const rows = [whole, codes, small, rescored, bytes];

describe('an amount of memory', () => {
  test.each([
    ['8GB', 8e9],
    ['500 MB', 5e8],
    ['1.5g', 1.5e9],
    ['2GiB', 2 ** 31],
    ['64 kib', 65_536],
    ['123 B', 123],
  ])('%s', (text, expected) => expect(parseMemory(text)).toBe(expected));

  test.each(['', '0', '8', 'GB', '-1GB', '8 gigabytes', '1e3'])('refuses "%s"', (text) => {
    expect(() => parseMemory(text)).toThrow(/expected something like 8GB/);
  });
});

test('the best recall that fits, of what can be made; with equal recall the smallest', () => {
  expect(bestWithin(rows, 1e6)).toBe(whole);
  expect(bestWithin(rows, 20_000)).toBe(rescored);
  expect(bestWithin(rows, 15_000)).toBe(small);
  expect(bestWithin(rows, 12_000)).toBe(codes);
  expect(bestWithin(rows, 11_999)).toBeNull();
  const smaller = rowOf({ ...small, ramBytes: 14_000 });
  expect(bestWithin([small, smaller], 20_000)).toBe(smaller);
});

test('budgets are shares of the full vectors as float32, with the best of full vectors beside', () => {
  const budgets = memoryBudgets(rows, { points: 1000, dim: 64 });
  expect(budgets.map(({ divisor, ramBytes }) => [divisor, ramBytes])).toEqual([
    [8, 32_000],
    [16, 16_000],
    [32, 8000],
    [64, 4000],
    [128, 2000],
    [256, 1000],
  ]);
  expect(budgets.map(({ best }) => best)).toEqual([rescored, rescored, null, null, null, null]);
  expect(budgets[0]!.bestOfFull).toBe(codes);
  const table = budgetTable(budgets, { beside: false });
  expect(cellTexts(table, table.rows[1]!).map((cell) => cell.replace('\u00A0', ' '))).toEqual([
    '1/16',
    '16 kB',
    '16 scalar, 4x oversampling',
    '0.970',
    '0.790 - 0.810',
    '15.5 kB',
    '64 binary',
    '0.600',
  ]);
  expect(cellTexts(table, table.rows[5]!).slice(2)).toEqual(['none fits', '-', '-', '-', 'none fits', '-']);
});

describe('the words of a choice by memory', () => {
  const said = (ramBytes: number, among: readonly SizingRow[]): string => {
    const lines: string[] = [];
    const choice = recommendedWithin(among, ramBytes);
    const say = (line = ''): void => void lines.push(line);
    printRamChoice({ say, sayCode: say }, { choice, ramBytes, rows: among, commands: ['do'] });
    return lines.join('\n').replaceAll('\u00A0', ' ');
  };

  test('name the configuration and its commands', () => {
    expect(said(20_000, rows)).toContain('best recall in 20 kB of RAM: 16 scalar, 4x oversampling');
    expect(said(20_000, rows)).toMatch(/\n {2}do$/);
    expect(said(20_000, rows)).not.toContain('keeps the full vectors');
  });

  test('say that full vectors find more in the same memory', () => {
    const better = { ...codes, recallAt10: 0.99, ramBytes: 16_000 };
    expect(said(16_000, [better, small])).toContain(
      'this keeps the full vectors and needs no encoder; the best compact space in its memory is 16 scalar with 0.800',
    );
    expect(said(12_000, rows)).toContain('no compact space fits into its memory');
  });

  test('recommend full vectors if a compact space gains too little over them', () => {
    const own = { ...codes, recallAt10: 0.95, ramBytes: 14_000, oversampling: 4 };
    const text = said(20_000, [whole, own, { ...rescored, recallAt10: 0.965 }]);
    expect(text).toContain('recommended for 20 kB of RAM: 64 binary, 4x oversampling');
    expect(text).toContain(
      'this keeps the full vectors and needs no encoder; 16 scalar, 4x oversampling has recall@10 0.965 in 15.5 kB of RAM',
    );
    expect(text).toContain('from 2 points more recall in the same memory, or half the memory');
  });

  test('say what is smallest if nothing fits', () => {
    expect(said(100, rows)).toContain('no configuration fits into 100 B of RAM; the smallest is 64 binary');
  });
});
