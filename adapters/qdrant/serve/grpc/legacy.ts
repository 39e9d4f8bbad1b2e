import { expectDefined } from '../../../../src/core/errors.js';
import { isServed, type Job, type ServedJob } from './rewrite-job.js';
import { legacyToQuery } from './legacy-to-query.js';
import {
  compactLookup,
  fullLookup,
  LOOKUP_VECTOR,
  grpcLookupPlaceOf,
  type CompactIds,
} from './lookup-from.js';
import type { LegacyFields } from '../search-fields.js';
import { editVectors, type LeafEdits, type MessageShape } from './vectors-in-messages.js';
import { countIn, isExact, outerEdits, rewriteStage } from './stage.js';
import { readDense, vectorOf } from './vector.js';
import { Ambiguous, Malformed, ProtoMessage, readFloats } from '../protobuf/message.js';
import { drop, edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { LEGACY_LOOKUP_VECTOR, unknownForm } from '../rules.js';
import { treatStage, type Treatment } from '../stage-rules.js';

/** TargetVector: single 1; ContextExamplePair: positive 1, negative 2. */
const TARGET: MessageShape = { name: 'target', one: { 1: 'example' } };
const PAIR: MessageShape = { name: 'context', one: { 1: 'example', 2: 'example' } };

/** The rewritten requests of a batch of the older interfaces, and whether they became queries. */
export interface LegacyRewrite {
  readonly requests: readonly (Uint8Array | ProtoBuilder)[];
  readonly converted: boolean;
}

/**
 * Rewrites a batch of the older interfaces. If one request has to become a query, all of them do, since a
 * batch has one kind. If a request has no query form, it is invalid. Then none is changed: the server
 * explains the error, and the full vectors answer the others.
 * @throws Refusal
 */
export function rewriteGrpcLegacy(
  requests: readonly ProtoMessage[],
  fields: LegacyFields,
  job: Job,
): LegacyRewrite {
  const messages = requests.map((request) => withLookupVector(request, fields));
  const treatments = messages.map((message) => (isServed(job) ? treat(message, fields, job) : 'leave'));
  if (treatments.includes('wrap')) {
    const queries = messages.map((message) => legacyToQuery(message, fields));
    if (queries.every((query) => query !== null)) {
      for (const message of messages) requireExamples(message, fields, job);
      const rewritten = queries.map((query) =>
        rewriteStage(new ProtoMessage(query.finish()), fields.query, job),
      );
      return { requests: rewritten, converted: true };
    }
  }
  const changed = messages.map((message, i) =>
    isServed(job) && treatments[i] === 'project'
      ? project(message, fields, job)
      : leave(message, fields, job),
  );
  return { requests: changed, converted: false };
}

/**
 * Checks that points exist: a query for groups ignores missing ids, but the older call refuses them.
 * @throws Refusal
 */
function requireExamples(message: ProtoMessage, fields: LegacyFields, job: Job): void {
  const { call, groupSize, inputs } = fields;
  if (call !== 'recommend' || groupSize === undefined || !isServed(job)) return;
  const own = {
    collection: job.served.target,
    shardKeys: message.bytes(expectDefined(fields.shardKeys, 'the field of shard keys')),
  };
  const lookup = message.bytes(expectDefined(fields.lookupFrom, 'the field of the lookup'));
  const place = lookup === null ? own : grpcLookupPlaceOf(lookup, job);
  for (const ids of inputs.slice(0, 2)) for (const id of message.all(ids)) job.lookups.require(place, id);
}

/** Adds the name of the vector to look up, since a query would look up another one by default. */
function withLookupVector(message: ProtoMessage, { lookupFrom }: LegacyFields): ProtoMessage {
  if (lookupFrom === undefined) return message;
  const bytes = message.bytes(lookupFrom);
  if (bytes === null || new ProtoMessage(bytes).has(LOOKUP_VECTOR)) return message;
  const named = new ProtoBuilder().raw(bytes).text(LOOKUP_VECTOR, LEGACY_LOOKUP_VECTOR);
  return new ProtoMessage(edited(message, new Map([[lookupFrom, () => named]])).finish());
}

function treat(message: ProtoMessage, fields: LegacyFields, job: ServedJob): Treatment['kind'] {
  const { call, inputs, scoreThreshold, groupSize } = fields;
  const params = message.bytes(fields.params);
  // Values with sparse indices are no dense vector, whichever vector they name.
  const isSparse = call === 'search' && message.has(expectDefined(inputs[1], 'the field of sparse indices'));
  const { kind } = treatStage(
    {
      place: { depth: 0, grouped: groupSize !== undefined, into: 'other' },
      using: message.textOrEmpty(fields.using),
      query: isSparse ? 'other' : 'similarity',
      diversity: null,
      hasPrefetch: false,
      exact: params !== null && isExact(params),
      hasScoreThreshold: scoreThreshold !== undefined && message.has(scoreThreshold),
      limit: countIn(message, fields.limit),
      offset: countIn(message, fields.offset),
    },
    job.served,
  );
  return kind;
}

function leave(message: ProtoMessage, fields: LegacyFields, job: Job): Uint8Array | ProtoBuilder {
  const edits = new Map(outerEdits(fields, job));
  if (fields.lookupFrom !== undefined) {
    message.bytes(fields.lookupFrom);
    edits.set(fields.lookupFrom, fullLookup(message.textOrEmpty(fields.using), job));
  }
  return edited(message, edits);
}

/** Compact layout: replaces the vectors in place. */
function project(message: ProtoMessage, fields: LegacyFields, job: ServedJob): ProtoBuilder {
  const { call, inputs, moved } = fields;
  for (const { field } of message.spans)
    if (!inputs.includes(field) && !(field in moved)) throw unknownForm(call);
  const edits = new Map(outerEdits(fields, job));
  if (call === 'search') {
    const vector = expectDefined(inputs[0], 'the field of the vector');
    const searched = job.slots.addSearched(readFloats(message, vector));
    return edited(message, edits.set(vector, drop)).bytes(vector, searched);
  }
  const lookup = expectDefined(fields.lookupFrom, 'the field of the lookup');
  const { ids, lookupFrom } = compactLookup(message.bytes(lookup), job);
  edits.set(lookup, () => lookupFrom);
  const vectors: LeafEdits = {
    vector: (bytes) => compactVector(bytes, job),
    example: (bytes) => compactExample(bytes, ids, job),
  };
  return call === 'recommend'
    ? projectRecommend({ message, inputs, edits }, vectors, ids, job)
    : projectDiscover({ message, inputs, edits }, vectors);
}

interface InPlace {
  readonly message: ProtoMessage;
  readonly inputs: readonly number[];
  readonly edits: Map<number, FieldEdit>;
}

function projectRecommend(
  { message, inputs, edits }: InPlace,
  { vector }: LeafEdits,
  ids: CompactIds['ids'],
  job: ServedJob,
): ProtoBuilder {
  const [positive = 0, negative = 0, positiveVectors = 0, negativeVectors = 0] = inputs;
  if (vector !== undefined) edits.set(positiveVectors, vector).set(negativeVectors, vector);
  if (ids === 'keep') return edited(message, edits);
  const out = edited(message, edits.set(positive, drop).set(negative, drop));
  for (const [from, to] of [[positive, positiveVectors] as const, [negative, negativeVectors] as const])
    for (const id of message.all(from))
      out.bytes(to, vectorOf(job.slots.add(job.lookups.vector(ids, id, job.served)), 'flat'));
  return out;
}

function projectDiscover({ message, inputs, edits }: InPlace, vectors: LeafEdits): ProtoBuilder {
  const [target = 0, context = 0] = inputs;
  message.bytes(target);
  edits.set(target, (bytes) => editVectors(bytes, TARGET, vectors));
  edits.set(context, (bytes) => editVectors(bytes, PAIR, vectors));
  return edited(message, edits);
}

function compactVector(bytes: Uint8Array, job: ServedJob): ProtoBuilder {
  const { values, form } = readDense(new ProtoMessage(bytes), job.served);
  return vectorOf(job.slots.add(values), form);
}

/** VectorExample: id 1 or vector 2. */
function compactExample(
  bytes: Uint8Array,
  ids: CompactIds['ids'],
  job: ServedJob,
): Uint8Array | ProtoBuilder {
  const message = new ProtoMessage(bytes);
  const [span] = message.spans;
  if (message.spans.length > 1) throw new Ambiguous('an example of several variants');
  if (span === undefined) return bytes;
  if (span.field > 2) throw unknownForm('example');
  if (span.wireType !== 2) throw new Malformed(`field ${span.field}: invalid wire type`);
  const value = message.value(span);
  if (span.field === 2) return new ProtoBuilder().bytes(2, compactVector(value, job));
  if (ids === 'keep') return bytes;
  return new ProtoBuilder().bytes(
    2,
    vectorOf(job.slots.add(job.lookups.vector(ids, value, job.served)), 'flat'),
  );
}
