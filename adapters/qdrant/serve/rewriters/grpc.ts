import type { ServedCollection } from '../../../../src/store/served.js';
import {
  type Addressed,
  type GrpcRewrite,
  type GrpcRewriter,
  type GrpcRoute,
  type PendingRewrite,
} from '../../../../src/serve/protocol.js';
import { isDeletedByGrpc, orStatus, rewriteGrpcAnswer } from '../grpc/answer.js';
import { createdStatus, rewriteCollections } from '../grpc/collections.js';
import { FLOAT_SLOTS, type Job, type ServedJob } from '../grpc/rewrite-job.js';
import { refuseExact } from '../stage-rules.js';
import { hideGrpcVector } from '../grpc/hide-in-conditions.js';
import { rewriteGrpcLegacy } from '../grpc/legacy.js';
import { GrpcLookups } from '../grpc/looked-up-points.js';
import { BATCHED_SEARCHES, COLLECTION } from '../search-fields.js';
import {
  grpcOperation,
  isOnCollections,
  isSearch,
  queryInstead,
  type ApiOperation,
  type Search,
} from '../operations.js';
import { grpcResultIds } from '../grpc/result-ids.js';
import { withClientVectors } from '../hidden-vector.js';
import { vectorName, withVectors } from '../grpc/vector-selectors.js';
import { physicalName, rewriteStage } from '../grpc/stage.js';
import { rewriteWrite } from '../grpc/write.js';
import { firstText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { clientText, findServed, lookupText, Refusal, refuseServedVector, refuseTarget } from '../rules.js';
import { VectorSlots } from '../vector-slots.js';

const UNIMPLEMENTED = 12;
const PERMISSION_DENIED = 7;

type Begun = GrpcRewrite | PendingRewrite<GrpcRewrite>;

/**
 * Returns the rewriter of gRPC requests to served collections and of their answers. Every other byte passes.
 */
export function grpcRewriter(collections: readonly ServedCollection[]): GrpcRewriter {
  return {
    route,
    collectionOf,
    begin: (path, message, lookups) => orStatus(() => rewriteCall({ path, message, collections }, lookups)),
    rewriteAnswer: (form, message) => rewriteGrpcAnswer(form, message, collections),
    rewriteStatus: (form, status) => {
      const served = findServed(form.collection, collections);
      const { message } = status;
      const shown = served === null ? withClientVectors(message, collections) : clientText(message, served);
      if (form.form === 'lookup') return { ...status, message: lookupText(shown, collections) };
      return createdStatus(form, { ...status, message: shown });
    },
    isDeleted: isDeletedByGrpc,
    resultIds: grpcResultIds,
  };
}

/** Returns the route of a method. Raw storage and the services between servers are refused. */
function route(path: string): GrpcRoute {
  if (!path.startsWith('/qdrant.')) return { kind: 'pass' };
  if (path.startsWith('/qdrant.StorageRead/'))
    return { kind: 'status', code: PERMISSION_DENIED, message: 'Forbidden: raw storage is not served here' };
  if (/^\/qdrant\.(\w*Internal|Raft)\//.test(path))
    return { kind: 'status', code: UNIMPLEMENTED, message: '' };
  return grpcOperation(path).kind === 'pass' ? { kind: 'pass' } : { kind: 'rewrite' };
}

/** Kinds of requests whose first field is no collection's name. */
const NAMELESS: readonly ApiOperation['kind'][] = [
  'unknown',
  'pass',
  'list collections',
  'list aliases',
  'change aliases',
];

function collectionOf(path: string, message: Uint8Array): Addressed | null {
  const { kind, changes } = grpcOperation(path);
  if (NAMELESS.includes(kind)) return null;
  try {
    const name = firstText(message, COLLECTION);
    return name === null ? null : { name, changes };
  } catch (error) {
    // A message that cannot be decoded is refused when it is rewritten.
    if (error instanceof Malformed) return null;
    throw error;
  }
}

interface Call {
  readonly path: string;
  readonly message: Uint8Array;
  readonly collections: readonly ServedCollection[];
}

function rewriteCall(call: Call, lookups: readonly Uint8Array[] | undefined): Begun {
  const { path, collections } = call;
  const operation = grpcOperation(path);
  if (operation.kind === 'pass') return { kind: 'pass' };
  if (operation.kind === 'unknown') return refuseNames(call);
  const message = new ProtoMessage(call.message);
  if (isOnCollections(operation))
    return rewriteCollections(operation.kind, { path, message, collections, lookups });
  const name = message.textOrEmpty(COLLECTION);
  const served = findServed(name, collections);
  const job = { collections, served, lookups: new GrpcLookups(lookups) };
  if (served === null) {
    refuseTarget(name, collections);
    return rewriteOther({ call, message, operation, name }, job);
  }
  const slots = new VectorSlots(served, FLOAT_SLOTS);
  const shown = hideGrpcVector(operation, message, served);
  return rewriteServed({ call, message: shown, operation, name }, { ...job, served, slots });
}

interface PointsCall {
  readonly call: Call;
  readonly message: ProtoMessage;
  readonly operation: ApiOperation;
  readonly name: string;
}

function rewriteServed({ call, message, operation, name }: PointsCall, job: ServedJob): Begun {
  const { path, body } = rewritePoints(message, operation, { path: call.path, job });
  const calls = job.lookups.calls();
  if (calls.length > 0)
    return { kind: 'lookup', calls, answer: { form: 'lookup', collection: name, errorsOnly: true } };
  const search = isSearch(operation);
  // As for REST, the object literal has no member behind a spread, since V8 would be slow.
  const send = (): GrpcRewrite => ({
    kind: 'send',
    call: { path, message: body.finish() },
    answer: { form: 'error', collection: name, errorsOnly: true },
    projected: job.slots.count,
    search,
  });
  return job.slots.filled<GrpcRewrite>(search ? 'queries' : 'points', send, orStatus);
}

/** Rewrites a request to another collection, which may look up points of a served one. */
function rewriteOther({ call, message, operation, name }: PointsCall, job: Job): GrpcRewrite {
  if (!isSearch(operation)) return { kind: 'pass' };
  try {
    const { body } = rewriteSearch(message, operation, { path: call.path, job });
    const bytes = body.finish();
    if (Buffer.compare(bytes, call.message) === 0) return { kind: 'pass' };
    const answer = { form: 'error', collection: name, errorsOnly: true };
    return { kind: 'send', call: { path: call.path, message: bytes }, answer, projected: 0, search: false };
  } catch (error) {
    // The server refuses a message that cannot be decoded.
    if (error instanceof Malformed) return { kind: 'pass' };
    throw error;
  }
}

interface Rewritten {
  readonly path: string;
  readonly body: ProtoBuilder;
}

function rewritePoints(
  message: ProtoMessage,
  operation: ApiOperation,
  { path, job }: { readonly path: string; readonly job: ServedJob },
): Rewritten {
  if (isSearch(operation)) return rewriteSearch(message, operation, { path, job });
  const { kind, fields } = operation;
  if (kind === 'write') return { path, body: rewriteWrite(message, fields, job) };
  const { exact, using, withVectors: vectors } = fields;
  const edits = new Map<number, FieldEdit>([[COLLECTION, physicalName(job)]]);
  // A count is exact unless the client says otherwise.
  if (exact !== undefined && message.varint(exact) !== 0n) refuseExact(job.served);
  if (using !== undefined && kind === 'vector') refuseServedVector(message.textOrEmpty(using), job.served);
  else if (using !== undefined) {
    message.bytes(using);
    edits.set(using, vectorName(job.served));
  }
  if (vectors !== undefined) {
    message.bytes(vectors);
    edits.set(vectors, withVectors(job.served));
  }
  return { path, body: edited(message, edits) };
}

function rewriteSearch(
  message: ProtoMessage,
  search: Search,
  { path, job }: { readonly path: string; readonly job: Job },
): Rewritten {
  const isBatch = search.form === 'batch';
  const requests = isBatch
    ? message.all(BATCHED_SEARCHES).map((bytes) => new ProtoMessage(bytes))
    : [message];
  const { requests: rewritten, converted } =
    search.kind === 'legacy'
      ? rewriteGrpcLegacy(requests, search.fields, job)
      : { requests: requests.map((request) => rewriteStage(request, search.fields, job)), converted: false };
  const to = converted && search.kind === 'legacy' ? queryInstead(search).method : path;
  const [first = new Uint8Array(0)] = rewritten;
  if (!isBatch) return { path: to, body: new ProtoBuilder().raw(first) };
  let at = 0;
  const edits = new Map<number, FieldEdit>([
    [COLLECTION, physicalName(job)],
    [BATCHED_SEARCHES, (bytes) => rewritten[at++] ?? bytes],
  ]);
  return { path: to, body: edited(message, edits) };
}

/**
 * Refuses an unknown method as unimplemented if its request names a served collection. Otherwise it passes.
 */
function refuseNames({ message: bytes, collections }: Call): GrpcRewrite {
  const message = ProtoMessage.from(bytes);
  if (message === null) throw new Refusal(501, '');
  const names = new Set(collections.flatMap(({ names: known, target }) => [...known, target]));
  const values = message.spans.filter(({ wireType }) => wireType === 2).map((span) => message.value(span));
  for (const value of values) if (names.has(Buffer.from(value).toString('utf8'))) throw new Refusal(501, '');
  return { kind: 'pass' };
}
