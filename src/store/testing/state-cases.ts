import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import type { CaseOf, ContractPlace } from './fixtures.js';

const KEY = 'contract-entry';

async function keepsEntries({ target }: ContractPlace): Promise<void> {
  const state = expectDefined(target.state, 'state');
  assert.notEqual(state.endpoint, '');
  assert.notEqual(state.label(KEY), state.label('contract-none'));
  assert.equal(await state.read(KEY), null);
  await state.create(KEY, { a: '1', b: '{"n":9007199254740993}' });
  await state.create(KEY, { a: 'an existing entry stays' });
  assert.deepEqual(await state.read(KEY), { a: '1', b: '{"n":9007199254740993}' });
  assert.deepEqual(await state.read(KEY, ['a']), { a: '1' });
  await state.change(KEY, { a: '2', c: 'x' }, { a: '1' });
  const changed = { a: '2', b: '{"n":9007199254740993}', c: 'x' };
  assert.deepEqual(await state.read(KEY), changed);
  await state.change(KEY, { a: '3' }, { a: '1' });
  await state.change(KEY, { a: '3' }, { a: '2', b: 'another' });
  await state.change('contract-none', { a: '3' }, {});
  assert.deepEqual(await state.read(KEY), changed);
  assert.equal(await state.read('contract-none'), null);
  await state.remove(KEY, { a: '1' });
  assert.deepEqual(await state.read(KEY), changed);
  await state.remove(KEY, { a: '2' });
  assert.equal(await state.read(KEY), null);
}

async function letsOneWin({ target }: ContractPlace): Promise<void> {
  const state = expectDefined(target.state, 'state');
  await state.create(KEY, { owner: 'nobody' });
  const owners = ['a', 'b', 'c', 'd', 'e', 'f'];
  await Promise.all(owners.map((owner) => state.change(KEY, { owner, [owner]: 'won' }, { owner: 'nobody' })));
  const fields = expectDefined(await state.read(KEY), 'the entry');
  const owner = expectDefined(fields['owner'], 'the owner');
  assert.deepEqual(fields, { owner, [owner]: 'won' });
  await state.remove(KEY, { owner });
  assert.equal(await state.read(KEY), null);
}

/** States of migrations. */
export const STATE_CASES: readonly CaseOf[] = [
  { facet: 'state', name: 'changes an entry only if it is as expected', check: keepsEntries },
  { facet: 'state', name: 'lets one of several changes win', check: letsOneWin },
];
