import { expect, test } from '@jest/globals';
import { fieldValues, stratify } from '../../src/evaluate/payload-strata.js';

test.each([
  ['{"lang":"de"}', 'lang', ['de']],
  ['{"n":12345678901234567890}', 'n', ['12345678901234567890']],
  ['{"n":1.0}', 'n', ['1.0']],
  ['{"ok":false}', 'ok', ['false']],
  ['{"tags":["a","b"]}', 'tags', ['a', 'b']],
  ['{"a":{"b":"c"}}', 'a.b', ['c']],
  ['{"a.b":"dotted","a":{"b":"c"}}', 'a.b', ['dotted']],
  ['{"a":{"b":"c"}}', 'a', []],
  ['{"a":null}', 'a', []],
  ['{}', 'constructor', []],
])('%s, field %s: %j', (payload, field, expected) => {
  expect(fieldValues(payload, field)).toEqual(expected);
});

test('strata stand worst first, small ones together, a query of two values counts in both', () => {
  const values = [
    ...Array.from({ length: 6 }, () => ['good']),
    ...Array.from({ length: 5 }, () => ['bad']),
    ['odd'],
    ['good', 'even'],
    [],
  ];
  const served = Float64Array.from(values, (ofQuery) => (ofQuery[0] === 'bad' ? 0.2 : 1));
  served[0] = 0.4;
  const other = new Float64Array(values.length).fill(0.5);
  const strata = stratify(values, {
    field: 'kind',
    of: 'query point',
    k: 10,
    served: 'compact',
    recall: new Map([
      ['compact', served],
      ['full', other],
    ]),
  });
  expect(strata.strata.map(({ value, queries }) => [value, queries])).toEqual([
    ['bad', 5],
    ['good', 7],
  ]);
  expect(strata.strata[1]!.recall['compact']).toBeCloseTo((0.4 + 6) / 7, 12);
  expect(strata.strata[1]).toMatchObject({ min: 0.4, recall: { full: 0.5 } });
  expect(strata.rare).toMatchObject({ value: '(rare)', values: 3, queries: 3, recall: { compact: 1 } });
});
