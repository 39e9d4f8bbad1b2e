import type { Matrix } from '../../../../src/core/matrix.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import {
  finished,
  type Addressed,
  type GrpcRewrite,
  type GrpcRewriter,
  type GrpcRoute,
  type PendingRewrite,
} from '../../../../src/serve/protocol.js';
import { isDeletedByGrpc, orStatus, rewriteGrpcAnswer } from '../grpc/answer.js';
import { createdStatus, rewriteCollections } from '../grpc/collections.js';
import { BatchProjector, type Job, type ServedJob } from '../grpc/batch-projector.js';
import { refuseExact } from '../exact-searches.js';
import { hideGrpcVector } from '../grpc/hidden.js';
import { rewriteGrpcLegacy } from '../grpc/legacy.js';
import { isGrpcChange } from '../dual-write/grpc-mutations.js';
import { GrpcLookups } from '../grpc/lookups.js';
import { METHODS, type MethodRule } from '../grpc/methods.js';
import { grpcResultIds } from '../grpc/results.js';
import { withClientVectors } from '../hidden-vector.js';
import { vectorName, withVectors } from '../grpc/selectors.js';
import { physicalName, rewriteStage } from '../grpc/stage.js';
import { rewriteWrite } from '../grpc/write.js';
import { firstText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { clientText, lookupText, Refusal, refuseTarget, findServed } from '../rules.js';

const UNIMPLEMENTED = 12;
const PERMISSION_DENIED = 7;
/** Field numbers of every request for points and of every batch of searches. */
const COLLECTION = 1;
const BATCH = 2;

type Begun = GrpcRewrite | PendingRewrite<GrpcRewrite>;
type PointsRule = Exclude<MethodRule, { readonly kind: 'pass' } | { readonly kind: CollectionKind }>;
type CollectionKind = Parameters<typeof rewriteCollections>[0];

/**
 * Returns the rewriter of gRPC requests to served collections and of their answers. Every other byte passes.
 */
export function grpcRewriter(collections: readonly ServedCollection[]): GrpcRewriter {
  const begin: GrpcRewriter['begin'] = (path, message, lookups) =>
    orStatus(() => rewriteCall({ path, message, collections }, lookups));
  return {
    route,
    collectionOf,
    begin,
    rewrite: (path, message, lookups) => finished<GrpcRewrite>(begin(path, message, lookups)),
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
  return METHODS[path]?.kind === 'pass' ? { kind: 'pass' } : { kind: 'rewrite' };
}

function collectionOf(path: string, message: Uint8Array): Addressed | null {
  const kind = METHODS[path]?.kind;
  // In requests of these kinds, the first field is no name.
  if (kind === undefined || kind === 'pass' || kind === 'list' || kind === 'changeAliases') return null;
  try {
    const name = firstText(message, COLLECTION);
    return name === null ? null : { name, changes: isGrpcChange(path) };
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
  const rule = METHODS[path];
  if (rule?.kind === 'pass') return { kind: 'pass' };
  if (rule === undefined) return refuseNames(call);
  const message = new ProtoMessage(call.message);
  if (isCollectionRule(rule)) return rewriteCollections(rule.kind, { path, message, collections, lookups });
  const name = message.textOrEmpty(COLLECTION);
  const served = findServed(name, collections);
  const job = { collections, served, lookups: new GrpcLookups(lookups) };
  if (served === null) {
    refuseTarget(name, collections);
    return rewriteOther({ call, message, rule, name }, job);
  }
  const projections = new BatchProjector(
    served,
    rule.kind === 'query' || rule.kind === 'legacy' ? 'queries' : 'points',
  );
  const shown = hideGrpcVector(path, message, served);
  return rewriteServed({ call, message: shown, rule, name }, { ...job, served, projections });
}

interface PointsCall {
  readonly call: Call;
  readonly message: ProtoMessage;
  readonly rule: PointsRule;
  readonly name: string;
}

function rewriteServed({ call, message, rule, name }: PointsCall, job: ServedJob): Begun {
  const { path, body } = rewritePoints(message, rule, { path: call.path, job });
  const calls = job.lookups.calls();
  if (calls.length > 0)
    return { kind: 'lookup', calls, answer: { form: 'lookup', collection: name, errorsOnly: true } };
  const { projections, served } = job;
  const send = (): GrpcRewrite => ({
    kind: 'send',
    call: { path, message: body.finish() },
    answer: { form: 'error', collection: name, errorsOnly: true },
    projected: projections.count,
    search: rule.kind === 'query' || rule.kind === 'legacy',
  });
  if (projections.count === 0) return send();
  // As for REST, the object literal has no member behind a spread, since V8 would be slow.
  const finish = (y: Matrix): GrpcRewrite =>
    orStatus(() => {
      projections.fill(y);
      return send();
    });
  return { projector: served.projector, as: projections.kind, x: projections.rows, finish };
}

/** Rewrites a request to another collection, which may look up points of a served one. */
function rewriteOther({ call, message, rule, name }: PointsCall, job: Job): GrpcRewrite {
  if (rule.kind !== 'query' && rule.kind !== 'legacy') return { kind: 'pass' };
  try {
    const { body } = rewriteSearch(message, rule, { path: call.path, job });
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
  rule: PointsRule,
  { path, job }: { readonly path: string; readonly job: ServedJob },
): Rewritten {
  switch (rule.kind) {
    case 'query':
    case 'legacy':
      return rewriteSearch(message, rule, { path, job });
    case 'points': {
      const edits = new Map<number, FieldEdit>([[COLLECTION, physicalName(job)]]);
      const { exact } = rule;
      if (exact !== undefined && (message.varint(exact.field) ?? BigInt(exact.otherwise)) !== 0n)
        refuseExact(job.served);
      if (rule.using !== undefined) {
        message.bytes(rule.using);
        edits.set(rule.using, vectorName(job.served));
      }
      if (rule.withVectors !== undefined) {
        message.bytes(rule.withVectors);
        edits.set(rule.withVectors, withVectors(job.served));
      }
      return { path, body: edited(message, edits) };
    }
    case 'vectorName': {
      const vector = message.textOrEmpty(rule.name);
      if (vector === job.served.vector || vector === job.served.compact)
        throw new Refusal(400, `Bad request: vector "${vector}" of a served collection cannot be changed`);
      return { path, body: edited(message, new Map([[COLLECTION, physicalName(job)]])) };
    }
    default:
      return { path, body: rewriteWrite(message, rule, job) };
  }
}

type SearchRule = Extract<PointsRule, { readonly kind: 'query' | 'legacy' }>;

function rewriteSearch(
  message: ProtoMessage,
  rule: SearchRule,
  { path, job }: { readonly path: string; readonly job: Job },
): Rewritten {
  const requests = rule.batch === true ? message.all(BATCH) : [message.raw];
  const { requests: rewritten, converted } =
    rule.kind === 'legacy'
      ? rewriteGrpcLegacy(requests, rule.fields, job)
      : { requests: requests.map((bytes) => rewriteStage(bytes, rule.fields, job)), converted: false };
  const to = converted && rule.kind === 'legacy' ? rule.becomes : path;
  const [first = new Uint8Array(0)] = rewritten;
  if (rule.batch !== true) return { path: to, body: new ProtoBuilder().raw(first) };
  let at = 0;
  const edits = new Map<number, FieldEdit>([
    [COLLECTION, physicalName(job)],
    [BATCH, (bytes) => rewritten[at++] ?? bytes],
  ]);
  return { path: to, body: edited(message, edits) };
}

function isCollectionRule(rule: MethodRule): rule is Extract<MethodRule, { readonly kind: CollectionKind }> {
  return !['points', 'query', 'legacy', 'write', 'deleteVectors', 'updateBatch', 'vectorName'].includes(
    rule.kind,
  );
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
