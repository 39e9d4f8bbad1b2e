import { expect, test } from '@jest/globals';
import type { PointId } from '../../../src/core/point-id.js';
import { UnfinishedEntries } from '../../../src/migrate/dual-write/unfinished-entries.js';

test('an entry stands for the points that no other one stands for', () => {
  const left = new UnfinishedEntries();
  expect(left.keep(1, [1n, 2n])).toBe(true);
  expect(left.keep(2, [2n, 1n])).toBe(false);
  expect(left.keep(3, [2n, 3n])).toBe(true);
  expect(left.release(2n)).toBeNull();
  expect(left.release(2n)).toBeNull();
  expect(left.release(3n)).toBe(3);
  expect(left.release(1n)).toBe(1);
  expect(left.keep(4, [1n])).toBe(true);
  left.clear();
  expect(left.keep(5, [1n])).toBe(true);
  expect(left.keep(6, [])).toBe(false);
});

test('beyond what is remembered entries stay open', () => {
  const left = new UnfinishedEntries(2);
  const ids: PointId[] = ['0000abcd-0000-4000-8000-00000000000f', 2n, 3n];
  expect(left.keep(1, ids)).toBe(true);
  expect(left.keep(2, ids.slice(0, 2))).toBe(false);
  expect(left.keep(3, ids.slice(2))).toBe(true);
  expect(left.keep(4, ids.slice(1))).toBe(true);
});
