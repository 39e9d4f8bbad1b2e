import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import type { CaseOf, ContractPlace } from './fixtures.js';

async function readsAndWritesIds({ store, opened }: ContractPlace): Promise<void> {
  const { parse, format } = store.keys;
  const ids = opened.ids(200);
  for (const id of ids) {
    assert.equal(parse(format(id)), id);
    assert.equal(format(parse(format(id))), format(id));
  }
  assert.equal(new Set(ids.map(format)).size, ids.length, 'two ids have the same text');
  return Promise.resolve();
}

async function orders(place: ContractPlace): Promise<void> {
  const { compare } = place.store.keys;
  const ids = place.sortedIds(60);
  for (const [i, a] of ids.entries()) {
    for (const [j, b] of ids.entries()) {
      const order = Math.sign(compare(a, b));
      assert.equal(order, Math.sign(i - j), `${String(a)} and ${String(b)} are not in order`);
    }
  }
  // The order is the one of a scan, and of the ids that come back.
  const { name } = await place.fill('contract-order', { ids });
  assert.deepEqual(await place.idsOf(name), ids);
}

async function splits(place: ContractPlace): Promise<void> {
  const { keys } = place.store;
  const split = expectDefined(keys.split, 'keys.split');
  const ids = place.sortedIds(507);
  const { name } = await place.fill('contract-split', { ids });
  const ranges = await split(name, { parts: 4 });
  assert.ok(ranges.length > 1, 'there is only one range');
  // Every possible id is in one range: each begins where the one before ends, and both ends are open.
  assert.deepEqual([...ranges.map(({ from }) => from), null], [null, ...ranges.map(({ to }) => to)]);
  const parts: PointId[][] = [];
  for (const range of ranges) parts.push(await place.idsOf(name, { range }));
  assert.deepEqual(parts.flat(), ids);
  assert.ok(Math.max(...parts.map(({ length }) => length)) < ids.length, 'one range holds all points');
  const empty = await place.empty('contract-split-empty');
  const none = await split(empty, { parts: 4 });
  assert.deepEqual([none.at(0)?.from, none.at(-1)?.to], [null, null]);
}

/** Ids as text, their order, and ranges of them. */
export const KEYS_CASES: readonly CaseOf[] = [
  { facet: 'keys', name: 'reads every id from the text that it writes', check: readsAndWritesIds },
  { facet: 'keys', name: 'orders ids as a scan does', check: orders },
  {
    facet: 'keys.split',
    name: 'splits into ranges that are disjoint and together complete',
    check: splits,
  },
];
