import { expect, test } from '@jest/globals';
import { insertOnlyField, insertOnlyOf } from '../../../../adapters/qdrant/points/insert-only.js';

test.each([
  ['0.11.7', null],
  ['1.9.7', null],
  ['1.15.5', null],
  ['1.16.0', 'update-filter'],
  ['1.16.3', 'update-filter'],
  ['1.17.0', 'update-mode'],
  ['1.17.0-dev', 'update-mode'],
  ['1.19.2', 'update-mode'],
  ['2.0.0', 'update-mode'],
  ['2.16.1', 'update-mode'],
])('%s inserts only by %s', (version, way) => {
  expect(insertOnlyOf(version)).toBe(way);
});

test('each way is the field that its servers know', () => {
  // Field 6, a filter of 4 bytes; its field 2, a condition of 2; its field 3, a has_id of none.
  expect([...insertOnlyField('update-filter')]).toEqual([0x32, 4, 0x12, 2, 0x1a, 0]);
  // Field 8, the enumeration's InsertOnly.
  expect([...insertOnlyField('update-mode')]).toEqual([0x40, 1]);
});
