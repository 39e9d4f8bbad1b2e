import { expect, test } from '@jest/globals';
import { insertOnly } from '../../../../adapters/qdrant/store/state-store.js';

const BY_FILTER = { update_filter: { must: [{ has_id: [] }] } };
const BY_MODE = { update_mode: 'insert_only' };

test.each([
  ['1.16.0', BY_FILTER],
  ['1.16.3', BY_FILTER],
  ['1.17.0', BY_MODE],
  ['1.17.0-dev', BY_MODE],
  ['1.19.2', BY_MODE],
  ['2.0.0', BY_MODE],
  ['2.16.1', BY_MODE],
])('%s inserts only in the way that it knows', (version, members) => {
  expect(insertOnly(version)).toEqual(members);
});
