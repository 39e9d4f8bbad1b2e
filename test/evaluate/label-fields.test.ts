import { expect, test } from '@jest/globals';
import { Rng } from '../../src/core/rng.js';
import { LabelFinder } from '../../src/evaluate/label-fields.js';
import { fieldValues } from '../../src/evaluate/payload-strata.js';

const ROWS = 1500;

function found(payloadOf: (row: number, rng: Rng) => unknown): string[] {
  return finderOf(payloadOf)
    .found()
    .map(({ field }) => field);
}

function finderOf(payloadOf: (row: number, rng: Rng) => unknown): LabelFinder {
  const [finder, rng] = [new LabelFinder(ROWS), new Rng(1)];
  for (let row = 0; row < ROWS; row++) finder.add(row, JSON.stringify(payloadOf(row, rng)));
  return finder;
}

test('values that repeat look like labels, whether texts, whole numbers, truth values or lists of them', () => {
  const fields = found((row) => ({
    topic: `topic ${row % 9}`,
    year: 2000 + (row % 20),
    draft: row % 3 === 0,
    tags: [`tag ${row % 5}`, `own ${row}`],
    about: { place: { country: `country ${row % 7}` }, 'dotted.key': row % 4 },
    'top.level': row % 6,
  }));
  expect(fields).toEqual(['draft', 'tags', 'top.level', 'about.place.country', 'topic', 'year']);
});

test('what is unique, nearly constant, rare, long or no whole number is left out', () => {
  const fields = found((row, rng) => ({
    id: `id ${row}`,
    pairs: Math.floor(row / 2),
    time: 1_700_000_000_000 + row * 1000,
    language: row % 50 === 0 ? 'de' : 'en',
    constant: 1,
    score: (row % 9) / 10,
    text: `${row % 9}`.repeat(65),
    empty: '',
    nothing: null,
    lists: [[row % 9]],
    ...(rng.uniform() < 0.2 ? { rare: row % 9 } : {}),
    [`key ${row}`]: row % 9,
    deep: { deeper: { deepest: { label: row % 9 } } },
  }));
  expect(fields).toEqual([]);
});

test('labels are those that --labels-field reads, and -1 for a payload without the field', () => {
  const payloadOf = (row: number): unknown => (row % 10 === 0 ? {} : { a: { b: row % 4 }, __proto__x: 1 });
  const [labels] = finderOf(payloadOf).found();
  expect(labels?.field).toBe('a.b');
  const same = new Map<number, string>();
  for (let row = 0; row < ROWS; row++) {
    const label = labels?.labels[row];
    const [value] = fieldValues(JSON.stringify(payloadOf(row)), 'a.b');
    if (value === undefined) expect(label).toBe(-1);
    else {
      expect(label).toBeGreaterThanOrEqual(0);
      expect(same.get(Number(label)) ?? value).toBe(value);
      same.set(Number(label), value);
    }
  }
  expect(same.size).toBe(4);
});

test('however many keys payloads have, a bounded number of fields is kept', () => {
  const finder = finderOf((row, rng) =>
    Object.fromEntries([
      ['a topic', row % 3],
      ...Array.from({ length: 40 }, () => [`key ${rng.int(1e6)}`, rng.int(1e6)] as const),
    ]),
  );
  expect(finder.found().map(({ field }) => field)).toEqual(['a topic']);
  const many = finderOf((row) =>
    Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, row % 3])),
  );
  expect(many.found()).toHaveLength(12);
});

test('memory grows with the payloads read, not with the rows of the sample', () => {
  const rows = 2_000_000;
  const before = process.memoryUsage().arrayBuffers;
  const finder = new LabelFinder(rows);
  for (let i = 0; i < 50; i++)
    finder.add(
      rows - 1 - i,
      JSON.stringify(Object.fromEntries(Array.from({ length: 256 }, (_, f) => [`f${f}`, i % 3]))),
    );
  // 256 fields of 4 bytes for each row of the sample would be 2 GB.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64e6);
  const [found] = finder.found();
  expect(found?.labels).toHaveLength(rows);
  expect(Array.from(found!.labels.subarray(rows - 3))).toEqual([2, 1, 0]);
});

test('beyond the limit of bytes, fields that do not look like labels make room for those that do', () => {
  const finder = new LabelFinder(6_000, 300_000);
  for (let row = 0; row < 6_000; row++) {
    const junk = Array.from({ length: 30 }, (_, f) => [`junk ${f}`, row % 20 === f % 20 ? row : 1] as const);
    const late = row % 3 > 0 ? [['topic', `topic ${row % 5}`] as const] : [];
    finder.add(row, JSON.stringify(Object.fromEntries([...junk, ...late])));
  }
  expect(finder.found().map(({ field }) => field)).toEqual(['topic']);
});

test('a field whose values alone take more than the limit is given up', () => {
  const finder = new LabelFinder(6_000, 200_000);
  for (let row = 0; row < 6_000; row++)
    finder.add(row, JSON.stringify({ pairs: `a value of pairs ${row >> 1}`, kind: row % 4 }));
  expect(finder.found().map(({ field }) => field)).toEqual(['kind']);
});
