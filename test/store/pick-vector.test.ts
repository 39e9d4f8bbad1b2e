import { expect, test } from '@jest/globals';
import { pickVector } from '../../src/store/pick-vector.js';
import type { CollectionSpec } from '../../src/store/collection.js';

const vector = (name: string, multivector = false): CollectionSpec['vectors'][number] => ({
  name,
  dim: 8,
  distance: 'cosine',
  multivector,
  componentBytes: 4,
});
const spec = (...vectors: CollectionSpec['vectors']): CollectionSpec => ({
  name: 'docs',
  vectors,
  otherVectors: ['words'],
  partitions: [],
  metadata: {},
  native: '{}',
});

test('the only vector, or the one that is named', () => {
  expect(pickVector(spec(vector('')), undefined).name).toBe('');
  expect(pickVector(spec(vector('text')), undefined).name).toBe('text');
  expect(pickVector(spec(vector('text'), vector('title')), 'title').name).toBe('title');
});

test.each([
  [[], undefined, 'UNSUPPORTED', 'docs has no dense vector'],
  [[], 'words', 'UNSUPPORTED', 'docs has no dense vector'],
  [[vector('text'), vector('title')], undefined, 'INVALID_ARGUMENT', 'one of "text", "title"'],
  [[vector('text')], 'titel', 'NOT_FOUND', 'no dense vector "titel": it has "text"'],
  [[vector('text', true)], undefined, 'UNSUPPORTED', 'multivector'],
])('of %j, %j wanted: %s', (vectors, wanted, code, message) => {
  expect(() => pickVector(spec(...vectors), wanted)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});

test('a hidden vector of a two-stage target does not count, but can be named', () => {
  const description = {
    format: 1,
    encoder: 'e',
    layout: 'two-stage',
    source: 'docs',
    vector: 'text',
    compact: 'small',
    inputDim: 8,
    outputDim: 2,
    distance: 'cosine',
  };
  const target = {
    ...spec(vector('small'), vector('text')),
    metadata: { tldr: JSON.stringify(description) },
  };
  expect(pickVector(target, undefined).name).toBe('text');
  expect(pickVector(target, 'small').name).toBe('small');
  const other = { ...description, layout: 'compact' };
  expect(() => pickVector({ ...target, metadata: { tldr: JSON.stringify(other) } }, undefined)).toThrow(
    'several vectors',
  );
});
