import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import { row } from '../../core/matrix.js';
import type { CaseOf, ContractPlace } from './fixtures.js';

async function tellsLoad(place: ContractPlace): Promise<void> {
  const load = expectDefined(place.store.load, 'load');
  const { name, vectors } = await place.fill('contract-busy');
  const { optimizing, failure } = await load.status(name);
  assert.deepEqual({ optimizing, failure }, { optimizing: false, failure: null });
  assert.equal(load.rateLimitCount(), 0);
  const limits = await load.limits(name);
  assert.ok(limits.results > 0 && limits.readsPerMinute > 0, 'a limit of none');
  const request = { vectorName: place.vectorName, vector: row(vectors, 0), limit: 3 };
  assert.ok((await load.timeSearch(name, request)) > 0);
}

/** How busy a store is. */
export const LOAD_CASES: readonly CaseOf[] = [
  { facet: 'load', name: 'tells its load, and how long a search takes', check: tellsLoad },
];
