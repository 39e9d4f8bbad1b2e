import type { JsonValue } from '@bufbuild/protobuf';
import { framed } from '../serve/grpc-probe.js';
import { encodeRequest, pathOf } from '../wire/grpc-schemas.js';
import { DIM } from './fixtures.js';

/** Writes of every kind to a collection that is migrated, and what the server sees of those that it refuses. */

export const vector = Array.from({ length: DIM }, (_, i) => i + 1);

/** The form of a write that every point matches. */
export const EVERY = { filter: {} };
/** Route below a collection and body of each write over REST. */
export const REST: readonly (readonly [string, object])[] = [
  ['PUT points', { points: [{ id: 1, vector }] }],
  ['POST points/payload', { payload: { a: 1 }, ...EVERY }],
  ['PUT points/payload', { payload: { a: 1 }, ...EVERY }],
  ['POST points/payload/delete', { keys: ['a'], ...EVERY }],
  ['POST points/payload/clear', EVERY],
  ['PUT points/vectors', { points: [{ id: 1, vector }] }],
  ['POST points/vectors/delete', { vector: [''], ...EVERY }],
  ['POST points/batch', { operations: [{ delete: EVERY }, { upsert: { points: [{ id: 1, vector }] } }] }],
  ['POST points/delete', EVERY],
  ['PUT index', { field_name: 'a', field_schema: 'integer' }],
  ['DELETE index/a', {}],
];
const ALL = { filter: {} };
const POINTS = [{ id: { num: '1' }, vectors: { vector: { data: vector } } }];
/** Method and message of each write over gRPC. */
export const GRPC: readonly (readonly [string, Readonly<Record<string, JsonValue>>])[] = [
  ['Points/Upsert', { points: POINTS }],
  ['Points/SetPayload', { payload: { a: { integerValue: '1' } }, pointsSelector: ALL }],
  ['Points/OverwritePayload', { payload: { a: { integerValue: '1' } }, pointsSelector: ALL }],
  ['Points/DeletePayload', { keys: ['a'], pointsSelector: ALL }],
  ['Points/ClearPayload', { points: ALL }],
  ['Points/UpdateVectors', { points: POINTS }],
  ['Points/DeleteVectors', { pointsSelector: ALL, vectors: { names: [''] } }],
  ['Points/UpdateBatch', { operations: [{ deletePoints: { points: ALL } }] }],
  ['Points/Delete', { points: ALL }],
  ['Points/CreateFieldIndex', { fieldName: 'a', fieldType: 'FieldTypeInteger' }],
  ['Points/DeleteFieldIndex', { fieldName: 'a' }],
];

const NONE = { points: [] };
/** Requests that change nothing, as which the server sees what it refuses. */
const REST_PERMISSION: Readonly<Record<string, object>> = {
  'PUT points': NONE,
  'POST points/payload': { payload: {}, ...NONE },
  'PUT points/payload': { payload: {}, ...NONE },
  'POST points/payload/delete': { keys: [], ...NONE },
  'POST points/payload/clear': NONE,
  'PUT points/vectors': {
    points: [{ id: 0, vector: [0] }],
    shard_key: 'no such shard key: this only asks for permission',
  },
  'POST points/vectors/delete': { ...NONE, vector: [''] },
  'POST points/batch': { operations: [{ delete: NONE }] },
  'POST points/delete': NONE,
};
const NO_POINTS = { points: {} };
const GRPC_PERMISSION: Readonly<Record<string, Readonly<Record<string, JsonValue>>>> = {
  'Points/Upsert': {},
  'Points/SetPayload': { pointsSelector: NO_POINTS },
  'Points/OverwritePayload': { pointsSelector: NO_POINTS },
  'Points/DeletePayload': { pointsSelector: NO_POINTS },
  'Points/ClearPayload': { points: NO_POINTS },
  'Points/UpdateVectors': {},
  'Points/DeleteVectors': { pointsSelector: NO_POINTS, vectors: { names: [''] } },
  'Points/UpdateBatch': { operations: [{ deletePoints: { points: NO_POINTS } }] },
  'Points/Delete': { points: NO_POINTS },
};
/** A write that only asks for permission, by one of the source's names. Changes of an index ask by themselves. */
export function restPermission([route, body]: (typeof REST)[number], name: string): unknown[] {
  const [method = '', below = ''] = route.split(' ');
  const asks = REST_PERMISSION[route] ?? body;
  return [`${method} /collections/${name}/${below}?wait=true`, JSON.stringify(asks)];
}

/** The same over gRPC. */
export function grpcPermission([method, json]: (typeof GRPC)[number], name: string): unknown[] {
  const asks = GRPC_PERMISSION[method] ?? { ...json, wait: true };
  const message = encodeRequest(method, { ...asks, collectionName: name });
  return [pathOf(method), framed(message).toString('latin1')];
}
