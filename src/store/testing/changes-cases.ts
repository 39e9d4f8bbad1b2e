import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import { matrixFromRows, row } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { isCopyTarget } from '../copy-target.js';
import { allOf, nth, type CaseOf, type ContractPlace } from './fixtures.js';

async function tellsVersions(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const versionsOf = expectDefined(store.changes?.versions, 'changes.versions');
  const { name, ids, vectors } = await place.fill('contract-versions', { ids: place.sortedIds(300) });
  const read = async (): Promise<Map<PointId, string>> => {
    const found = new Map<PointId, string>();
    const batches = expectDefined(await versionsOf(name), 'versions that can be compared');
    for await (const batch of batches)
      for (const [i, id] of batch.ids.entries()) found.set(id, nth(batch.versions, i));
    return found;
  };
  const before = await read();
  assert.deepEqual([...before.keys()], ids);
  assert.deepEqual(await read(), before);
  if (!isCopyTarget(store)) return;
  const [changed, removed] = [nth(ids, 105), nth(ids, 107)];
  const column = { name: vectorName, matrix: matrixFromRows([row(vectors, 0)]), has: allOf(1) };
  await store.upsert(name, { ids: [changed], vectors: [column], extra: [store.codec.pack('{}')] });
  await store.remove(name, [removed]);
  const after = await read();
  assert.equal(after.has(removed), false);
  assert.equal(after.size, before.size - 1);
  const others = [...after].filter(([id, version]) => before.get(id) !== version).map(([id]) => id);
  assert.deepEqual(others, [changed]);
}

async function waitsForWrites(place: ContractPlace): Promise<void> {
  const wait = expectDefined(place.store.changes?.waitForApplied, 'changes.waitForApplied');
  const { name, ids } = await place.fill('contract-applied', { ids: place.sortedIds(50) });
  await wait(name);
  assert.equal(await place.store.count(name), ids.length);
}

async function findsMatching(place: ContractPlace): Promise<void> {
  const matching = expectDefined(place.store.changes?.matching, 'changes.matching');
  const conditionFor = expectDefined(place.opened.conditionFor, 'conditionFor, for changes.matching');
  const { name, ids } = await place.fill('contract-matching', { ids: place.sortedIds(300) });
  const find = async (wanted: readonly PointId[]): Promise<PointId[]> => {
    const found: PointId[] = [];
    for await (const page of matching(name, conditionFor(wanted))) found.push(...page);
    return found.sort(place.store.keys.compare);
  };
  const wanted = ids.filter((_, i) => i % 7 === 2);
  assert.deepEqual(await find([...wanted, ...place.otherIds(300, 2)]), wanted);
  assert.deepEqual(await find(place.otherIds(300, 2)), []);
  const known = conditionFor(wanted);
  const unknown = async (): Promise<void> => {
    for await (const page of matching(name, { form: 'nope', bytes: known.bytes }))
      assert.ok(page.length >= 0);
  };
  await assert.rejects(unknown(), { name: 'TldrError' });
}

/** What clients have changed. */
export const CHANGES_CASES: readonly CaseOf[] = [
  {
    facet: 'changes.versions',
    name: 'tells versions that change with every write, in id order',
    check: tellsVersions,
  },
  {
    facet: 'changes.waitForApplied',
    name: 'waits until every write can be read',
    check: waitsForWrites,
  },
  { facet: 'changes.matching', name: 'finds the points that a condition selects', check: findsMatching },
];
