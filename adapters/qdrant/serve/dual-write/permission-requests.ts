import type { GrpcCall, RestRequest } from '../../../../src/serve/protocol.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import type { MessageFields, Write } from '../operations.js';

/**
 * Permission requests: writes without an effect. The server checks their credentials as for any write of this
 * kind, then finds nothing to do. They reach neither its write-ahead log nor its rate limiter.
 */

/** A shard key that no collection has. */
const NO_SHARD_KEY = 'no such shard key: this only asks for permission';

/** The server's answers to permission requests after it accepted the credentials. */
const NOTHING_TO_DO: readonly string[] = [
  'Empty update request',
  'Shard key not specified',
  `Shard key "${NO_SHARD_KEY}" not found`,
];

/** An update of vectors needs a point: without one, the server refuses it before it checks credentials. */
const BODIES: Readonly<Record<Write['name'], object>> = {
  upsert: { points: [] },
  delete: { points: [] },
  set_payload: { payload: {}, points: [] },
  overwrite_payload: { payload: {}, points: [] },
  delete_payload: { keys: [], points: [] },
  clear_payload: { points: [] },
  update_vectors: { points: [{ id: 0, vector: [0] }], shard_key: NO_SHARD_KEY },
  delete_vectors: { points: [], vector: [''] },
  batch: { operations: [{ delete: { points: [] } }] },
};

const ALIASES = '/qdrant.Collections/UpdateAliases';

/**
 * An empty list of alias changes. The server checks its credentials as for any change of a collection's
 * settings. Both need permission to manage every collection.
 */
export const SETTINGS_PERMISSION: RestRequest = {
  method: 'POST',
  url: '/collections/aliases',
  body: Buffer.from('{"actions":[]}'),
};
export const SETTINGS_PERMISSION_CALL: GrpcCall = { path: ALIASES, message: new Uint8Array(0) };

/** Returns the body of a permission request for writes of this kind. */
export function permissionBody(name: Write['name']): Uint8Array {
  return Buffer.from(JSON.stringify(BODIES[name]));
}

/** PointsSelector: points 1 without an id. */
const NO_POINTS = new ProtoBuilder().bytes(1, new Uint8Array(0)).finish();
/** PointsUpdateOperation: delete_points 9 with a selector 1. */
const DELETE_NOTHING = new ProtoBuilder().bytes(9, new ProtoBuilder().bytes(1, NO_POINTS)).finish();

/** Returns the message of a permission request: collection 1, then the write's own form of points. */
export function permissionMessage(
  { selector, operations, names }: MessageFields,
  collection: string,
): Uint8Array {
  const message = new ProtoBuilder().text(1, collection);
  if (typeof selector === 'number') message.bytes(selector, NO_POINTS);
  if (operations !== undefined) message.bytes(operations, DELETE_NOTHING);
  if (names !== undefined) message.bytes(names, new ProtoBuilder().text(1, ''));
  return message.finish();
}

/**
 * Returns whether a refusal's text means that the server accepted the credentials and found nothing to do.
 */
export function isNothingToDo(text: string): boolean {
  return NOTHING_TO_DO.some((said) => text.endsWith(said));
}
