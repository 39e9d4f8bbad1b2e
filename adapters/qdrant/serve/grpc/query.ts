import type { ServedJob } from './rewrite-job.js';
import type { CompactIds } from './lookup-from.js';
import {
  editVectors,
  OTHER_QUERIES,
  SIMILARITY,
  type Leaf,
  type MessageShape,
} from './vectors-in-messages.js';
import { rowsOf } from './vector.js';
import { Ambiguous, Malformed, ProtoMessage, readFloats } from '../protobuf/message.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import { inferenceRefused, notDense, notSingle, unknownForm } from '../rules.js';
import type { Diversity, StagePlace } from '../stage-rules.js';

/** Query.nearest, Query.fusion, Query.rrf, and Query.nearest_with_mmr of nearest 1 and mmr 2. */
const NEAREST = 1;
const FUSIONS: readonly number[] = [6, 10];
const MMR = 9;

/** The variant of a Query message. */
export interface QueryVariant {
  readonly field: number;
  readonly value: Uint8Array;
  /** The shape of its vectors; null for a variant without vectors, undefined for an unknown one. */
  readonly shape: MessageShape | Leaf | null | undefined;
}

/** @throws Malformed for several variants */
export function readGrpcQuery(bytes: Uint8Array | null): QueryVariant | null {
  if (bytes === null) return null;
  const message = new ProtoMessage(bytes);
  const [span] = message.spans;
  if (message.spans.length > 1) throw new Ambiguous('a query of several variants');
  // The server reports the missing variant.
  if (span === undefined) return { field: 0, value: bytes, shape: null };
  const { field } = span;
  if (span.wireType !== 2 && field in SIMILARITY) throw new Malformed(`field ${field}: invalid wire type`);
  const shape = OTHER_QUERIES.includes(field) ? null : SIMILARITY[field];
  return { field, value: message.value(span), shape };
}

/** Returns whether a query fuses the results of its prefetches; `unknown` for an unknown variant. */
export function intoOf(query: QueryVariant | null): StagePlace['into'] {
  if (query?.shape === undefined && query !== null) return 'unknown';
  return query !== null && FUSIONS.includes(query.field) ? 'fusion' : 'other';
}

/**
 * Returns how a query diversifies its results (Mmr: diversity 2, candidates_limit 3); null if it does not.
 */
export function diversityOf(query: QueryVariant | null): Diversity | null {
  const mmr = query?.field === MMR ? new ProtoMessage(query.value).bytes(2) : null;
  if (mmr === null) return null;
  const message = new ProtoMessage(mmr);
  const candidates = message.varint(3);
  return {
    diversity: message.has(2) ? (readFloats(message, 2).at(-1) ?? null) : null,
    candidatesLimit: candidates === null ? null : Number(BigInt.asUintN(32, candidates)),
  };
}

/** Returns the nearest search inside a query with diversity: its prefetch needs only the nearest points. */
export function nearestOf(query: QueryVariant | null): QueryVariant | null {
  const shape = SIMILARITY[MMR];
  if (query?.field !== MMR || typeof shape !== 'object') return query;
  editVectors(query.value, shape, {});
  const nearest = new ProtoMessage(query.value).bytesOrEmpty(1);
  return { field: NEAREST, value: nearest, shape: 'input' };
}

/** Returns a Query with compact vectors. @throws Refusal for unknown forms */
export function compactQuery(
  query: QueryVariant | null,
  ids: CompactIds['ids'],
  job: ServedJob,
): ProtoBuilder {
  if (query?.shape === undefined || query.shape === null) throw unknownForm('query');
  const isNearest = query.field === NEAREST || query.field === MMR;
  const input = (bytes: Uint8Array): Uint8Array | ProtoBuilder =>
    compactInput(bytes, { ids, job, isNearest });
  const value =
    typeof query.shape === 'string' ? input(query.value) : editVectors(query.value, query.shape, { input });
  return new ProtoBuilder().bytes(query.field, value);
}

/** VectorInput: id 1, dense 2, sparse 3, multi_dense 4, document 5, image 6, object 7. */
function compactInput(
  bytes: Uint8Array,
  place: {
    readonly ids: CompactIds['ids'];
    readonly job: ServedJob;
    /** Whether the input is what is searched for, and not an example of it. */
    readonly isNearest: boolean;
  },
): Uint8Array | ProtoBuilder {
  const { ids, job, isNearest } = place;
  const message = new ProtoMessage(bytes);
  const [span] = message.spans;
  if (message.spans.length > 1) throw new Ambiguous('a vector of several variants');
  // The server reports the missing variant.
  if (span === undefined) return bytes;
  if (span.wireType !== 2) throw new Malformed(`field ${span.field}: invalid wire type`);
  const value = message.value(span);
  const dense = (floats: Uint8Array): ProtoBuilder =>
    new ProtoBuilder().bytes(2, new ProtoBuilder().bytes(1, floats));
  switch (span.field) {
    case 1:
      return ids === 'keep' ? bytes : dense(job.slots.add(job.lookups.vector(ids, value, job.served)));
    case 2: {
      const values = readFloats(new ProtoMessage(value), 1);
      return dense(isNearest ? job.slots.addSearched(values) : job.slots.add(values));
    }
    case 3:
      throw notDense('sparse');
    case 4:
      throw notSingle(rowsOf(value), job.served);
    case 5:
    case 6:
    case 7:
      throw inferenceRefused(job.served);
    default:
      throw unknownForm('query');
  }
}
