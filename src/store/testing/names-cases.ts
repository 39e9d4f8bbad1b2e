import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import type { CollectionNames } from '../copy-target.js';
import type { CaseOf, ContractPlace } from './fixtures.js';

function namesOf({ target }: ContractPlace): CollectionNames {
  return expectDefined(target.names, 'names');
}

async function switches(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const names = namesOf(place);
  const a = await place.fill('contract-named-a');
  const b = await place.fill('contract-named-b', { ids: place.sortedIds(9) });
  await names.switch('contract-pointer', a.name);
  assert.equal(await store.count('contract-pointer'), a.ids.length);
  await names.switch('contract-pointer', b.name);
  assert.equal((await names.all()).get('contract-pointer'), b.name);
  assert.equal(await store.count('contract-pointer'), b.ids.length);
  assert.equal(await store.exists(a.name), true);
  await store.drop(a.name);
  assert.equal(await store.exists(a.name), false);
  const listed = await store.listCollections();
  assert.ok(listed.includes(b.name) && !listed.includes('contract-pointer'));
  await names.drop('contract-pointer');
}

async function dropsNames(place: ContractPlace): Promise<void> {
  const names = namesOf(place);
  const { name } = await place.fill('contract-passed');
  await names.switch('contract-passing-by', name);
  await names.drop('contract-passing-by');
  await names.drop('contract-passing-by');
  assert.equal((await names.all()).has('contract-passing-by'), false);
  assert.equal(await place.store.exists(name), true);
}

async function hides(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const names = namesOf(place);
  const over = expectDefined(names.over, 'names.over');
  const a = await place.fill('contract-seen-a');
  const b = await place.fill('contract-seen-b', { ids: place.sortedIds(12) });
  const [own, other] = [a.ids.length, b.ids.length];
  assert.equal(await over.refusal(), null);
  const before = await store.listCollections();
  await over.hide(a.name, b.name);
  assert.equal(await store.count(a.name), other);
  assert.deepEqual(
    [...(await names.all())].filter(([, to]) => to === b.name),
    [[a.name, b.name]],
  );
  await names.drop(a.name);
  assert.equal(await store.count(a.name), own);
  await over.hide(a.name, b.name);
  await store.drop(a.name);
  assert.equal(await store.count(a.name), other);
  assert.deepEqual([...(await store.listCollections()), a.name].sort(), [...before].sort());
  await names.drop(a.name);
}

/** Names that lead to collections. */
export const NAMES_CASES: readonly CaseOf[] = [
  { facet: 'names', name: 'switches names, lists and drops collections', check: switches },
  { facet: 'names', name: 'drops a name and not its collection', check: dropsNames },
  { facet: 'names.over', name: "lets a collection's name lead elsewhere and back", check: hides },
];
