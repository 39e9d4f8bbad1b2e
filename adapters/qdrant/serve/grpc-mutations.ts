import type {
  Aliases,
  FollowedCollection,
  GrpcChange,
  GrpcChanges,
  WriteOutcome,
} from '../../../src/core/followed.js';
import { finished, type GrpcCall, type Projecting } from '../../../src/core/wire.js';
import { followable, outcomeOfAll } from './followable.js';
import { orStatus } from './grpc-answer.js';
import { METHODS } from './grpc-methods.js';
import { checkSetPayloads } from './grpc-payload-depth.js';
import { touchedBy, type TouchRule } from './grpc-touched.js';
import { writtenVectors } from './grpc-written.js';
import { isNothingToDo, permissionMessage } from './permission.js';
import { Malformed, ProtoMessage } from './proto-message.js';
import { edited } from './proto-pieces.js';
import { followedBy, followedNames, Refusal, refuseFollowed, refuseFollowedTarget } from './rules.js';

/** Of every request that writes. */
const COLLECTION = 1;
const INVALID_ARGUMENT = 3;
/** By UpdateStatus. */
const RESULTS: ReadonlyMap<bigint, WriteOutcome> = new Map([
  [1n, 'logged'],
  [2n, 'applied'],
]);

/** Methods that change points, and where their requests say which. */
const WRITES: Readonly<Record<string, TouchRule>> = {
  '/qdrant.Points/Upsert': { kind: 'points', field: 3 },
  '/qdrant.Points/Delete': { kind: 'selector', field: 3 },
  '/qdrant.Points/UpdateVectors': { kind: 'points', field: 3 },
  '/qdrant.Points/DeleteVectors': { kind: 'selector', field: 3 },
  '/qdrant.Points/SetPayload': { kind: 'selector', field: 5 },
  '/qdrant.Points/OverwritePayload': { kind: 'selector', field: 5 },
  '/qdrant.Points/DeletePayload': { kind: 'selector', field: 5 },
  '/qdrant.Points/ClearPayload': { kind: 'selector', field: 3 },
  '/qdrant.Points/UpdateBatch': { kind: 'operations', field: 3 },
};

const INDEXES: ReadonlySet<string> = new Set([
  '/qdrant.Points/CreateFieldIndex',
  '/qdrant.Points/DeleteFieldIndex',
]);

/** Methods that change a collection in a way that is not followed. */
const REFUSED: ReadonlySet<string> = new Set([
  ...['/qdrant.Collections/Update', '/qdrant.Collections/Delete', '/qdrant.Collections/CreateShardKey'],
  ...['/qdrant.Collections/DeleteShardKey', '/qdrant.Collections/UpdateCollectionClusterSetup'],
  ...['/qdrant.Points/CreateVectorName', '/qdrant.Points/DeleteVectorName'],
]);
const CREATE = '/qdrant.Collections/Create';
const ALIASES = '/qdrant.Collections/UpdateAliases';

/** Reads which points of followed collections a call changes; refuses what cannot be followed. */
export function grpcChanges(collections: readonly FollowedCollection[]): GrpcChanges {
  const begin: GrpcChanges['begin'] = (path, message, aliases) =>
    orStatus(() => read({ path, bytes: message }, collections, aliases));
  return {
    isChange,
    begin,
    read: (path, message, aliases) => finished<GrpcChange>(begin(path, message, aliases)),
    isPermitted: (code, text) => code === 0 || (code === INVALID_ARGUMENT && isNothingToDo(text)),
    outcomeOf,
  };
}

/** Whether a call may change something. */
export function isChange(path: string): boolean {
  if (path in WRITES || INDEXES.has(path) || REFUSED.has(path) || path === CREATE || path === ALIASES)
    return true;
  return path.startsWith('/qdrant.') && METHODS[path] === undefined;
}

/** @throws Refusal */
function read(
  { path, bytes }: { readonly path: string; readonly bytes: Uint8Array },
  collections: readonly FollowedCollection[],
  aliases: Aliases,
): GrpcChange | Projecting<GrpcChange> {
  if (METHODS[path] === undefined) {
    const message = ProtoMessage.from(bytes);
    const unknown = new Refusal(501, '');
    if (message === null) throw unknown;
    refuseNames(message, unknown, followedNames(collections, aliases));
    return { kind: 'other' };
  }
  const message = new ProtoMessage(bytes);
  if (path === ALIASES) {
    refuseAliases(message, followedNames(collections, aliases));
    return { kind: 'other' };
  }
  const name = message.text(COLLECTION) ?? '';
  if (path === CREATE) {
    refuseFollowedTarget(name, collections);
    // That it exists already is the server's to say.
    return { kind: 'other' };
  }
  const followed = followedBy(name, collections, aliases);
  const rule = WRITES[path];
  if (followed === null) {
    if (rule === undefined) return { kind: 'other' };
    const at = aliases.get(name);
    if (at === undefined)
      return { kind: 'unnamed', name, permission: { path, message: permissionMessage(path, name, rule) } };
    return {
      ...{ kind: 'elsewhere', request: { path, message: renamed(message, at) } },
      named: { alias: name, collection: at, request: { path, message: bytes } },
    };
  }
  const { name: collection, source, target } = followed;
  const to = (own: string): GrpcCall => ({ path, message: renamed(message, own) });
  const named = name === source ? null : { alias: name, collection: source, request: to(name) };
  if (rule !== undefined) {
    checkSetPayloads(path, message);
    const toAsk = (known: string): GrpcCall => ({ path, message: permissionMessage(path, known, rule) });
    const change: GrpcChange = {
      ...{ kind: 'points', collection, touched: touchedBy(message, rule), request: to(source) },
      permission: toAsk(source),
      named: named && { ...named, permission: toAsk(name) },
    };
    return followable<GrpcChange>(change, writtenVectors(message, METHODS[path]), {
      followed,
      orRefusal: orStatus,
    });
  }
  if (!INDEXES.has(path)) throw refuseFollowed(path);
  return { kind: 'settings', collection, source: to(source), named, target: to(target) };
}

/** The message with another name of the collection. */
function renamed(message: ProtoMessage, collection: string): Uint8Array {
  return edited(message, new Map([[COLLECTION, () => Buffer.from(collection)]])).finish();
}

/** ChangeAliases: actions 1, each of create_alias 1, rename_alias 2 or delete_alias 3 with names 1 and 2. */
function refuseAliases(message: ProtoMessage, names: ReadonlySet<string>): void {
  for (const action of message.all(1))
    for (const field of [1, 2, 3])
      for (const change of new ProtoMessage(action).all(field))
        refuseNames(new ProtoMessage(change), refuseFollowed('changing its aliases'), names);
}

/** @throws Refusal where any text of a message is the name of a followed collection */
function refuseNames(message: ProtoMessage, refusal: Refusal, names: ReadonlySet<string>): void {
  for (const span of message.spans)
    if (span.wireType === 2 && names.has(Buffer.from(message.value(span)).toString('utf8'))) throw refusal;
}

/** PointsOperationResponse and UpdateBatchResponse: result 1, once or more, with status 2 each. */
function outcomeOf(bytes: Uint8Array): WriteOutcome {
  try {
    const results = new ProtoMessage(bytes).all(1);
    if (results.length === 0) return 'unknown';
    return outcomeOfAll(results.map((one) => RESULTS.get(new ProtoMessage(one).varint(2) ?? -1n)));
  } catch (error) {
    if (error instanceof Malformed) return 'unknown';
    throw error;
  }
}
