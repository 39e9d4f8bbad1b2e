import type { ServedCollection } from '../../../../src/store/served.js';
import { isServed, type Job, type ServedJob } from './rewrite-job.js';
import { compactLookup, fullLookup } from './lookup-from.js';
import { PREFETCH, type StageFields } from '../search-fields.js';
import { vectorName, withLookup, withVectors } from './vector-selectors.js';
import { serverVector } from '../hidden-vector.js';
import { compactQuery, diversityOf, intoOf, nearestOf, readGrpcQuery, type QueryVariant } from './query.js';
import { decodeText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { drop, edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { findServed, Refusal } from '../rules.js';
import {
  PREFETCH_DEPTH_MAX,
  treatStage,
  type StagePlace,
  type Treatment,
  type WrapTreatment,
} from '../stage-rules.js';

/** Deepest nesting that the server decodes. */
const NESTING_MAX = 100;

/** A query stage: its message, field numbers, and place in the request. */
interface Stage {
  readonly message: ProtoMessage;
  readonly fields: StageFields;
  readonly place: StagePlace;
  readonly using: string;
  readonly query: QueryVariant | null;
}

/**
 * Rewrites a query or a prefetch, with everything below it.
 * @throws Refusal
 */
export function rewriteStage(
  message: ProtoMessage,
  fields: StageFields,
  job: Job,
  place: StagePlace = { depth: 0, grouped: fields.groupSize !== undefined, into: 'other' },
): Uint8Array | ProtoBuilder {
  const { depth, grouped } = place;
  if (depth > PREFETCH_DEPTH_MAX) throw tooDeep(message, depth);
  const query = readGrpcQuery(message.bytes(fields.query));
  const asked = message.textOrEmpty(fields.using);
  const using = isServed(job) ? serverVector(asked, job.served) : asked;
  const stage: Stage = { message, fields, place, using, query };
  const into = intoOf(query);
  const inside: StagePlace = {
    depth: depth + 1,
    grouped,
    into: into === 'fusion' && depth > 0 ? 'other' : into,
  };
  const edits = new Map<number, FieldEdit>([
    [fields.prefetch, (prefetch) => rewriteStage(new ProtoMessage(prefetch), PREFETCH, job, inside)],
    ...outerEdits(fields, job),
  ]);
  const treatment = isServed(job) ? treat(stage, job.served) : null;
  if (!isServed(job) || treatment === null || treatment.kind === 'leave') return leave(stage, edits, job);
  return treatment.kind === 'project' ? project(stage, edits, job) : wrap({ stage, edits }, treatment, job);
}

/** Returns the edits outside the stages: the collection, the returned vectors, and the lookup collection. */
export function outerEdits(fields: OuterFields, job: Job): [number, FieldEdit][] {
  const { collection, using, withVectors: vectors, withLookup: lookup } = fields;
  const edits: [number, FieldEdit][] = [];
  if (isServed(job)) edits.push([using, vectorName(job.served)]);
  if (collection !== undefined && isServed(job)) edits.push([collection, physicalName(job)]);
  if (vectors !== undefined && isServed(job)) edits.push([vectors, withVectors(job.served)]);
  if (lookup !== undefined) edits.push([lookup, withLookup(job)]);
  return edits;
}

interface OuterFields {
  readonly collection?: number;
  readonly using: number;
  readonly withVectors?: number;
  readonly withLookup?: number;
}

/** Returns the edit of a collection's name into the server's name. */
export function physicalName({ collections }: Pick<Job, 'collections'>): FieldEdit {
  return (bytes) => {
    const name = decodeText(bytes);
    const target = findServed(name, collections)?.target ?? name;
    return target === name ? bytes : Buffer.from(target);
  };
}

function treat({ message, fields, place, using, query }: Stage, served: ServedCollection): Treatment {
  const params = message.bytes(fields.params);
  return treatStage(
    {
      place,
      using,
      query: query === null ? 'none' : query.shape === null ? 'other' : 'similarity',
      diversity: diversityOf(query),
      hasPrefetch: message.has(fields.prefetch),
      exact: params !== null && isExact(params),
      hasScoreThreshold: message.has(fields.scoreThreshold),
      limit: countIn(message, fields.limit),
      offset: countIn(message, fields.offset),
    },
    served,
  );
}

/** Returns a count; null if the field is absent or the message has none. */
export function countIn(message: ProtoMessage, field: number | undefined): number | null {
  const value = field === undefined ? null : message.varint(field);
  return value === null ? null : Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}

/** Returns whether SearchParams demand an exact search: exact 2. */
export function isExact(params: Uint8Array): boolean {
  return new ProtoMessage(params).varintOrZero(2) !== 0n;
}

function leave(
  { message, fields, using }: Stage,
  edits: Map<number, FieldEdit>,
  job: Job,
): Uint8Array | ProtoBuilder {
  message.bytes(fields.lookupFrom);
  return edited(message, edits.set(fields.lookupFrom, fullLookup(using, job)));
}

/** Compact layout: replaces the vectors in place. */
function project(stage: Stage, edits: Map<number, FieldEdit>, job: ServedJob): Uint8Array | ProtoBuilder {
  const { message, fields } = stage;
  const { ids, lookupFrom } = compactLookup(message.bytes(fields.lookupFrom), job);
  const query = compactQuery(stage.query, ids, job);
  edits.set(fields.query, () => query).set(fields.lookupFrom, () => lookupFrom);
  return edited(message, edits);
}

/** Two-stage layout: a prefetch searches the compact vectors, and the stage rescores with the full ones. */
function wrap(
  { stage, edits }: { readonly stage: Stage; readonly edits: Map<number, FieldEdit> },
  { candidates, plainLimit }: WrapTreatment,
  job: ServedJob,
): Uint8Array | ProtoBuilder {
  const { message, fields } = stage;
  const { ids, lookupFrom } = compactLookup(message.bytes(fields.lookupFrom), job);
  const params = message.bytes(fields.params);
  const nearest = nearestOf(stage.query);
  const prefetch = new ProtoBuilder()
    .bytes(PREFETCH.query, compactQuery(nearest, ids, job))
    .text(PREFETCH.using, job.served.compact)
    .varint(PREFETCH.limit, candidates);
  if (params !== null) prefetch.bytes(PREFETCH.params, params);
  if (lookupFrom !== null) prefetch.bytes(PREFETCH.lookupFrom, lookupFrom);
  edits.set(fields.params, drop).set(fields.lookupFrom, fullLookup(stage.using, job));
  if (plainLimit === null || nearest === null) return edited(message, edits).bytes(fields.prefetch, prefetch);
  edits.set(fields.query, drop).set(fields.limit, drop);
  return edited(message, edits)
    .bytes(fields.query, new ProtoBuilder().bytes(nearest.field, nearest.value))
    .varint(fields.limit, plainLimit)
    .bytes(fields.prefetch, prefetch);
}

function tooDeep(message: ProtoMessage, depth: number): Refusal {
  return new Refusal(
    400,
    `Wrong input: Validation failed: prefetches depth ${depth + below(message, depth)} exceeds max depth ${PREFETCH_DEPTH_MAX}`,
  );
}

function below(message: ProtoMessage, depth: number): number {
  if (depth > NESTING_MAX) throw new Malformed('recursion limit reached');
  return message
    .all(PREFETCH.prefetch)
    .reduce((most, bytes) => Math.max(most, 1 + below(new ProtoMessage(bytes), depth + 1)), 0);
}
