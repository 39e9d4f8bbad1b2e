import type { Aliases, MirroredCollection, WriteOutcome } from '../../../../src/store/write-guard.js';
import {
  finished,
  type GrpcCall,
  type GrpcStatus,
  type PendingRewrite,
  type ChangeRoute,
  type GrpcChange,
  type GrpcChanges,
} from '../../../../src/serve/protocol.js';
import { followable, outcomeOfAll } from './followable.js';
import { orStatus, refusalStatus } from '../grpc/answer.js';
import { METHODS } from '../grpc/methods.js';
import { checkGrpcSetPayloads } from './grpc-payload-depth.js';
import { grpcAffectedPoints, type AffectRule } from './grpc-affected-points.js';
import { grpcWrittenVectors } from './grpc-written.js';
import { isNothingToDo, permissionMessage, SETTINGS_PERMISSION_CALL } from './permission.js';
import { firstText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited } from '../protobuf/builder.js';
import { followedBy, followedNames, refuseFollowed, refuseFollowedTarget } from './mirrored-names.js';
import { Refusal } from '../rules.js';

/** The field `collection_name` of every write. */
const COLLECTION = 1;
const INVALID_ARGUMENT = 3;
/**
 * Clients write the name first. If it is not among this many fields, the client needs permission to change
 * every collection before the other fields are read.
 */
const FIELDS_MAX = 1000;
const ASK_FOR_SETTINGS = { own: SETTINGS_PERMISSION_CALL, alias: null };
/** Outcomes by UpdateStatus. */
const RESULTS: ReadonlyMap<bigint, WriteOutcome> = new Map([
  [1n, 'logged'],
  [2n, 'applied'],
]);

const UPSERT = '/qdrant.Points/Upsert';
/** Methods that change points, and the fields that name the points. */
const WRITES: Readonly<Record<string, AffectRule>> = {
  [UPSERT]: { kind: 'points', field: 3 },
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

/** Methods that change a collection in a way that is not mirrored. */
const REFUSED: ReadonlySet<string> = new Set([
  '/qdrant.Collections/Update',
  '/qdrant.Collections/Delete',
  '/qdrant.Collections/CreateShardKey',
  '/qdrant.Collections/DeleteShardKey',
  '/qdrant.Collections/UpdateCollectionClusterSetup',
  '/qdrant.Points/CreateVectorName',
  '/qdrant.Points/DeleteVectorName',
]);
const CREATE = '/qdrant.Collections/Create';
const ALIASES = '/qdrant.Collections/UpdateAliases';

/**
 * Returns the reader of changes for gRPC. It refuses changes of mirrored collections that cannot be mirrored.
 */
export function grpcChanges(collections: readonly MirroredCollection[]): GrpcChanges {
  const begin: GrpcChanges['begin'] = (path, message, aliases) =>
    orStatus(() => read({ path, bytes: message }, collections, aliases));
  return {
    isChange: isGrpcChange,
    route: (path, message, aliases) => route(path, message, { collections, aliases }),
    begin,
    read: (path, message, aliases) => finished<GrpcChange>(begin(path, message, aliases)),
    isPermitted: (code, text) => code === 0 || (code === INVALID_ARGUMENT && isNothingToDo(text)),
    outcomeOf,
  };
}

/** Returns whether a call may change something. */
export function isGrpcChange(path: string): boolean {
  if (path in WRITES || INDEXES.has(path) || REFUSED.has(path) || path === CREATE || path === ALIASES)
    return true;
  return path.startsWith('/qdrant.') && METHODS[path] === undefined;
}

/** The collections and aliases by which the names of a call are resolved. */
interface Names {
  readonly collections: readonly MirroredCollection[];
  readonly aliases: Aliases;
}

function route(
  path: string,
  message: Uint8Array,
  { collections, aliases }: Names,
): ChangeRoute<GrpcCall, GrpcStatus> {
  if (METHODS[path] === undefined) return { kind: 'read', permission: null };
  if (path === ALIASES) return { kind: 'read', permission: ASK_FOR_SETTINGS };
  const name = orStatus(() => ({ kind: 'name', text: firstText(message, COLLECTION, FIELDS_MAX) }) as const);
  if (name.kind === 'status') return name;
  if (name.text === null) return { kind: 'read', permission: ASK_FOR_SETTINGS };
  return routeNamed(path, name.text, { collections, aliases });
}

function routeNamed(
  path: string,
  name: string,
  { collections, aliases }: Names,
): ChangeRoute<GrpcCall, GrpcStatus> {
  const rule = WRITES[path];
  const toAsk = (known: string, touched: AffectRule): GrpcCall => ({
    path,
    message: permissionMessage(path, known, touched),
  });
  const meaning = orStatus(() => {
    if (path !== CREATE) return { kind: 'meant', followed: followedBy(name, collections, aliases) } as const;
    refuseFollowedTarget(name, collections);
    // That it exists already is the server's to say.
    return { kind: 'meant', followed: null } as const;
  });
  const refused = (refusal: GrpcStatus): ChangeRoute<GrpcCall, GrpcStatus> => ({
    kind: 'refused',
    refusal,
    permission: permissionToRead(path, name),
  });
  if (meaning.kind === 'status') return refused(meaning);
  const { followed } = meaning;
  if (rule === undefined) {
    if (followed === null) return { kind: 'other' };
    // The server checks permissions on changes of indexes itself.
    if (INDEXES.has(path)) return { kind: 'read', permission: null };
    return refused(refusalStatus(refuseFollowed(path)));
  }
  if (followed !== null) {
    const alias = name === followed.source ? null : toAsk(name, rule);
    return { kind: 'read', permission: { own: toAsk(followed.source, rule), alias } };
  }
  if (aliases.has(name)) return { kind: 'read', permission: null };
  return { kind: 'unnamed', name, permission: toAsk(name, rule) };
}

/** Returns the permission that a client needs to read why the proxy refuses its call. */
function permissionToRead(path: string, name: string): GrpcCall {
  const to = INDEXES.has(path) ? UPSERT : path;
  const rule = WRITES[to];
  if (rule === undefined) return SETTINGS_PERMISSION_CALL;
  return { path: to, message: permissionMessage(to, name, rule) };
}

/** @throws Refusal */
function read(
  { path, bytes }: { readonly path: string; readonly bytes: Uint8Array },
  collections: readonly MirroredCollection[],
  aliases: Aliases,
): GrpcChange | PendingRewrite<GrpcChange> {
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
  const name = message.textOrEmpty(COLLECTION);
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
      kind: 'elsewhere',
      request: { path, message: renamed(message, at) },
      named: { alias: name, collection: at, request: { path, message: bytes } },
    };
  }
  const { name: collection, source, target } = followed;
  const to = (own: string): GrpcCall => ({ path, message: renamed(message, own) });
  const named = name === source ? null : { alias: name, collection: source, request: to(name) };
  if (rule !== undefined) {
    checkGrpcSetPayloads(path, message);
    const change: GrpcChange = {
      kind: 'points',
      collection,
      touched: grpcAffectedPoints(message, rule),
      ownName: source,
      request: to(source),
      named,
    };
    return followable<GrpcChange>(change, grpcWrittenVectors(message, METHODS[path]), {
      followed,
      orRefusal: orStatus,
    });
  }
  if (!INDEXES.has(path)) throw refuseFollowed(path);
  return { kind: 'settings', collection, source: to(source), named, target: to(target) };
}

/** Returns the message with another collection name. */
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

/** @throws Refusal when any text of a message is the name of a mirrored collection */
function refuseNames(message: ProtoMessage, refusal: Refusal, names: ReadonlySet<string>): void {
  for (const span of message.spans)
    if (span.wireType === 2 && names.has(Buffer.from(message.value(span)).toString('utf8'))) throw refusal;
}

/** Returns the outcome in a PointsOperationResponse or UpdateBatchResponse: results 1 with status 2 each. */
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
