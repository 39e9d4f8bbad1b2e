import type { MirroredCollection, WriteOutcome } from '../../../../src/store/write-interceptor.js';
import {
  type ChangeRoute,
  type GrpcCall,
  type GrpcChange,
  type GrpcChanges,
  type GrpcStatus,
  type PendingRewrite,
} from '../../../../src/serve/protocol.js';
import { changeOf, routeOf, type ChangeRequest, type Names, type ChangeTransport } from './find-changes.js';
import { outcomeOfAll } from './check-written-vectors.js';
import { orStatus, refusalStatus } from '../grpc/answer.js';
import { COLLECTION } from '../search-fields.js';
import { grpcWriteParts } from './points-changed-by-grpc-write.js';
import { isNothingToDo, permissionMessage, SETTINGS_PERMISSION_CALL } from './permission-requests.js';
import { firstText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited } from '../protobuf/builder.js';
import { mirroredNames, notMirrored } from './mirrored-names.js';
import { grpcOperation } from '../operations.js';
import { Refusal } from '../rules.js';

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

const NOT_A_METHOD = new Refusal(501, '');
const GRPC: ChangeTransport<GrpcCall, GrpcStatus> = {
  answer: refusalStatus,
  unknown: refusalStatus(NOT_A_METHOD),
  settings: SETTINGS_PERMISSION_CALL,
};

/**
 * Returns the reader of changes for gRPC. It refuses changes of mirrored collections that cannot be mirrored.
 */
export function grpcChanges(collections: readonly MirroredCollection[]): GrpcChanges {
  return {
    isChange: (path) => path.startsWith('/qdrant.') && grpcOperation(path).changes,
    route: (path, message, aliases) => route({ path, message }, { collections, aliases }),
    begin: (path, message, aliases) => orStatus(() => read({ path, message }, { collections, aliases })),
    isPermitted: (code, text) => code === 0 || (code === INVALID_ARGUMENT && isNothingToDo(text)),
    outcomeOf,
  };
}

function route({ path, message }: GrpcCall, names: Names): ChangeRoute<GrpcCall, GrpcStatus> {
  const { kind } = grpcOperation(path);
  if (kind === 'unknown') return { kind: 'read', permission: null };
  if (kind === 'change aliases') return { kind: 'read', permission: ASK_FOR_SETTINGS };
  const name = orStatus(() => ({ kind: 'name', text: firstText(message, COLLECTION, FIELDS_MAX) }) as const);
  if (name.kind === 'status') return name;
  if (name.text === null) return { kind: 'read', permission: ASK_FOR_SETTINGS };
  return routeOf(changeRequest({ path, message }, name.text), names, GRPC);
}

function changeRequest({ path, message }: GrpcCall, name: string): ChangeRequest<GrpcCall> {
  return {
    operation: grpcOperation(path),
    name,
    text: path,
    by: (collection) => ({ path, message: collection === name ? message : renamed(message, collection) }),
    permission: ({ grpc, fields }, collection) => ({
      path: String(grpc),
      message: permissionMessage(fields, collection),
    }),
  };
}

/** @throws Refusal */
function read(call: GrpcCall, names: Names): GrpcChange | PendingRewrite<GrpcChange> {
  const { kind } = grpcOperation(call.path);
  const refused = (): ReadonlySet<string> => mirroredNames(names.collections, names.aliases);
  if (kind === 'unknown') {
    const message = ProtoMessage.from(call.message);
    if (message === null) throw NOT_A_METHOD;
    refuseNames(message, NOT_A_METHOD, refused());
    return { kind: 'other' };
  }
  const message = new ProtoMessage(call.message);
  if (kind === 'change aliases') {
    refuseAliases(message, refused());
    return { kind: 'other' };
  }
  const request = changeRequest(call, message.textOrEmpty(COLLECTION));
  return changeOf(request, names, GRPC, ({ fields }) => grpcWriteParts(message, fields));
}

/** Returns the message with another collection name. */
function renamed(message: Uint8Array, collection: string): Uint8Array {
  const rename = new Map([[COLLECTION, () => Buffer.from(collection)]]);
  return edited(new ProtoMessage(message), rename).finish();
}

/** ChangeAliases: actions 1, each of create_alias 1, rename_alias 2 or delete_alias 3 with names 1 and 2. */
function refuseAliases(message: ProtoMessage, names: ReadonlySet<string>): void {
  for (const action of message.all(1))
    for (const field of [1, 2, 3])
      for (const change of new ProtoMessage(action).all(field))
        refuseNames(new ProtoMessage(change), notMirrored('changing its aliases'), names);
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
