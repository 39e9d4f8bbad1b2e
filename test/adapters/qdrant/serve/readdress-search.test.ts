import type { JsonValue } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import {
  readdressedCall,
  readdressedUrl,
} from '../../../../adapters/qdrant/serve/shadow/readdress-search.js';
import { decodeRequest, encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';

const FULL = new Map([['docs', 'docs full']]);

test('an address leads to the same search on the other collection', () => {
  expect(readdressedUrl('/collections/docs/points/query?timeout=3', FULL)).toEqual({
    name: 'docs',
    url: '/collections/docs%20full/points/query?timeout=3',
  });
  expect(readdressedUrl('/collections/other/points/query', FULL)).toBeNull();
});

test('a call becomes the same search on the other collection, as it came but for its name', () => {
  const on = (method: string, request: JsonValue): JsonValue => {
    const made = readdressedCall({ path: pathOf(method), message: encodeRequest(method, request) }, FULL);
    return made === null ? null : decodeRequest(method, made.call.message);
  };
  const docs = { collectionName: 'docs', limit: '3', query: { nearest: { dense: { data: [1, 2, 3, 4] } } } };
  const full = { ...docs, collectionName: 'docs full' };
  expect(on('Points/Query', docs)).toEqual(full);
  expect(on('Points/QueryBatch', { collectionName: 'docs', queryPoints: [docs, docs] })).toEqual({
    collectionName: 'docs full',
    queryPoints: [full, full],
  });
  expect(on('Points/Search', { collectionName: 'docs', vector: [1] })).toEqual({
    collectionName: 'docs full',
    vector: [1],
  });
  expect(on('Points/Query', { ...docs, collectionName: 'other' })).toBeNull();
  expect(on('Points/Count', { collectionName: 'docs' })).toBeNull();
  expect(
    readdressedCall({ path: pathOf('Points/Query'), message: Buffer.from('ff', 'hex') }, FULL),
  ).toBeNull();
});

test('a search of a batch that names no collection, or another one, keeps it so', () => {
  const queryPoints = [{ limit: '1' }, { collectionName: 'other', limit: '2' }];
  const message = encodeRequest('Points/QueryBatch', { collectionName: 'docs', queryPoints });
  const made = readdressedCall({ path: pathOf('Points/QueryBatch'), message }, FULL);
  expect(decodeRequest('Points/QueryBatch', made?.call.message ?? new Uint8Array(0))).toEqual({
    collectionName: 'docs full',
    queryPoints,
  });
});
