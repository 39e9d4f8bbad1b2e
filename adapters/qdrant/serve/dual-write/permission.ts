import type { GrpcCall, RestRequest } from '../../../../src/serve/protocol.js';
import type { AffectRule } from './grpc-affected-points.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import type { AffectKind } from './rest-affected-points.js';

/**
 * Writes that ask for permission: the server checks their credentials as those of any write of this kind, then finds
 * nothing to do. They reach neither its log of operations nor its rate limiter.
 */

/** Nobody makes a shard of this name. */
const NO_SHARD_KEY = 'no such shard key: this only asks for permission';

/** What the server answers to them once it has accepted the credentials. */
const NOTHING_TO_DO: readonly string[] = [
  'Empty update request',
  'Shard key not specified',
  `Shard key "${NO_SHARD_KEY}" not found`,
];

/** Vectors cannot be updated for no point: the server refuses that before it looks at credentials. */
const BODIES: Readonly<Record<AffectKind, object>> = {
  upsert: { points: [] },
  points: { points: [] },
  'set payload': { payload: {}, points: [] },
  'delete payload': { keys: [], points: [] },
  'update vectors': { points: [{ id: 0, vector: [0] }], shard_key: NO_SHARD_KEY },
  'delete vectors': { points: [], vector: [''] },
  operations: { operations: [{ delete: { points: [] } }] },
};

const ALIASES = '/qdrant.Collections/UpdateAliases';

/**
 * No changes of aliases: the server checks credentials for them as for any change of a collection's settings. Both
 * need access to manage every collection.
 */
export const SETTINGS_PERMISSION: RestRequest = {
  method: 'POST',
  url: '/collections/aliases',
  body: Buffer.from('{"actions":[]}'),
};
export const SETTINGS_PERMISSION_CALL: GrpcCall = { path: ALIASES, message: new Uint8Array(0) };

/** The body of a write of this kind that only asks for permission. */
export function permissionBody(kind: AffectKind): Uint8Array {
  return Buffer.from(JSON.stringify(BODIES[kind]));
}

/** PointsSelector: points 1 without an id. */
const NO_POINTS = new ProtoBuilder().bytes(1, new Uint8Array(0)).finish();
/** PointsUpdateOperation: delete_points 9 with a selector 1. */
const DELETE_NOTHING = new ProtoBuilder().bytes(9, new ProtoBuilder().bytes(1, NO_POINTS)).finish();
const DELETE_VECTORS = '/qdrant.Points/DeleteVectors';

/** The message of a call that only asks for permission: collection 1, then the points of the method's own form. */
export function permissionMessage(path: string, collection: string, { kind, field }: AffectRule): Uint8Array {
  const message = new ProtoBuilder().text(1, collection);
  if (kind === 'selector') message.bytes(field, NO_POINTS);
  if (kind === 'operations') message.bytes(field, DELETE_NOTHING);
  // VectorsSelector 4 of names 1.
  if (path === DELETE_VECTORS) message.bytes(4, new ProtoBuilder().text(1, ''));
  return message.finish();
}

/** Whether a refusal's text says that nothing but the lack of anything to do was wrong. */
export function isNothingToDo(text: string): boolean {
  return NOTHING_TO_DO.some((said) => text.endsWith(said));
}
