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
