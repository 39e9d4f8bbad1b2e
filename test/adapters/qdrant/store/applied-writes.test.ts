import { expect, test } from '@jest/globals';
import { isApplied } from '../../../../adapters/qdrant/store/matching-ids.js';
import { encodeAnswer } from '../../../support/wire/grpc-schemas.js';

test.each([
  ['Completed', true],
  ['Acknowledged', false],
  ['WaitTimeout', false],
])('a write whose answer says %s is applied: %s', (status, applied) => {
  const answer = encodeAnswer('Points/Delete', { result: { operationId: '7', status }, time: 0.1 });
  expect(isApplied(answer)).toBe(applied);
});
