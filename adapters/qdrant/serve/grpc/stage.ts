import type { ServedCollection } from '../../../../src/store/served.js';
import { refuseExactStage } from '../exact-searches.js';
import { isServed, type Job, type ServedJob } from './batch-projector.js';
import { compactLookup, fullLookup } from './lookup-from.js';
import { PREFETCH, type StageFields } from '../search-fields.js';
import { vectorName, withLookup, withVectors } from './selectors.js';
import { serverVector } from '../hidden-vector.js';
import { compactQuery, diversityOf, intoOf, nearestOf, readGrpcQuery, type QueryVariant } from './query.js';
import { decodeText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { drop, edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import {
  candidatesFor,
  DEFAULT_GROUPS,
  DEFAULT_LIMIT,
  isFetchable,
  limitOfDiverseLeaf,
  PREFETCH_DEPTH_MAX,
  Refusal,
  findServed,
  treatStage,
  type StagePlace,
  type Wanted,
} from '../rules.js';

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
  bytes: Uint8Array,
  fields: StageFields,
  job: Job,
  place: StagePlace = { depth: 0, grouped: fields.groupSize !== undefined, into: 'other' },
): Uint8Array | ProtoBuilder {
  const message = new ProtoMessage(bytes);
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
    [fields.prefetch, (prefetch) => rewriteStage(prefetch, PREFETCH, job, inside)],
    ...outerEdits(fields, job),
  ]);
  const treatment = isServed(job) ? treat(stage, job.served) : 'leave';
  if (!isServed(job) || treatment === 'leave') return leave(stage, edits, job);
  if (treatment === 'project') return project(stage, edits, job);
  const fits = depth < PREFETCH_DEPTH_MAX && isFetchable(job.served, wantedOf(stage));
  return fits && diverseLeafOf(stage)?.limit !== null ? wrap(stage, edits, job) : leave(stage, edits, job);
}

/** For MMR in a prefetch: the limit of the equivalent nearest search. Null for every other stage. */
function diverseLeafOf({ message, fields, place, query }: Stage): { readonly limit: number | null } | null {
  const diversity = diversityOf(query);
  if (diversity === null || place.depth === 0) return null;
  const limit = asCount(message.varint(fields.limit) ?? BigInt(DEFAULT_LIMIT));
  return { limit: limitOfDiverseLeaf(diversity, limit, place) };
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

function treat(
  { message, fields, place, using, query }: Stage,
  served: ServedCollection,
): ReturnType<typeof treatStage> {
  const params = message.bytes(fields.params);
  const exact = params !== null && isExact(params);
  refuseExactStage(exact, place, served);
  return treatStage(
    {
      using,
      query: query === null ? 'none' : query.shape === null ? 'other' : 'similarity',
      hasPrefetch: message.has(fields.prefetch),
      exact,
      hasScoreThreshold: message.has(fields.scoreThreshold),
    },
    served,
  );
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
function wrap(stage: Stage, edits: Map<number, FieldEdit>, job: ServedJob): Uint8Array | ProtoBuilder {
  const { message, fields } = stage;
  const { ids, lookupFrom } = compactLookup(message.bytes(fields.lookupFrom), job);
  const params = message.bytes(fields.params);
  const candidates = new ProtoBuilder()
    .bytes(PREFETCH.query, compactQuery(nearestOf(stage.query), ids, job))
    .text(PREFETCH.using, job.served.compact)
    .varint(PREFETCH.limit, candidatesFor(job.served, wantedOf(stage)));
  if (params !== null) candidates.bytes(PREFETCH.params, params);
  if (lookupFrom !== null) candidates.bytes(PREFETCH.lookupFrom, lookupFrom);
  edits.set(fields.params, drop).set(fields.lookupFrom, fullLookup(stage.using, job));
  const diverse = diverseLeafOf(stage);
  const nearest = nearestOf(stage.query);
  if (diverse === null || diverse.limit === null || nearest === null)
    return edited(message, edits).bytes(fields.prefetch, candidates);
  edits.set(fields.query, drop).set(fields.limit, drop);
  return edited(message, edits)
    .bytes(fields.query, new ProtoBuilder().bytes(nearest.field, nearest.value))
    .varint(fields.limit, diverse.limit)
    .bytes(fields.prefetch, candidates);
}

function wantedOf({ message, fields, query }: Stage): Wanted {
  const count = (field: number | undefined, otherwise: number): number =>
    field === undefined ? otherwise : asCount(message.varint(field) ?? BigInt(otherwise));
  const limit = count(fields.limit, fields.groupSize === undefined ? DEFAULT_LIMIT : DEFAULT_GROUPS);
  const considered = diversityOf(query)?.candidatesLimit ?? 0;
  return { limit: limit === 0 ? 0 : Math.max(limit, considered), offset: count(fields.offset, 0) };
}

function asCount(value: bigint): number {
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
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
