import { expectDefined } from '../../../../src/core/errors.js';
import type { LegacyFields } from '../search-fields.js';
import { ProtoMessage } from '../protobuf/message.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import { isNameLength } from '../rules.js';

/** VectorInput: id 1, dense 2, sparse 3; the newer forms of Vector (101 to 106) are its fields 2 to 7. */
const ID = 1;
const DENSE = 2;
const SPARSE = 3;
const NEWER_OFFSET = 99;

/**
 * Returns the query message that is equivalent to a request of the older interfaces; null if there is none,
 * since the request is incomplete or has unknown fields.
 */
export function legacyToQuery(message: ProtoMessage, fields: LegacyFields): ProtoBuilder | null {
  const { moved, inputs, collection, limit, groupSize, query: to } = fields;
  // An absent count is zero. The older interfaces then return nothing, but a query would be refused.
  const isZero = (count: number): boolean => message.varintOrZero(count) === 0n;
  if (isZero(limit) || (groupSize !== undefined && isZero(groupSize))) return null;
  // In a batch, the server refuses a name of this length. For other names, a query gives the same error.
  if (!isNameLength(message.textOrEmpty(collection))) return null;
  const out = new ProtoBuilder();
  for (const span of message.spans) {
    const field = moved[span.field];
    if (field !== undefined) out.moved(message, span, field);
    else if (!inputs.includes(span.field)) return null;
  }
  const query = queryOf(message, fields);
  if (query === null) return null;
  return out.bytes(to.query, query);
}

/** Returns a Query: nearest 1, recommend 2, discover 3, context 4. */
function queryOf(message: ProtoMessage, { call, inputs }: LegacyFields): ProtoBuilder | null {
  if (call === 'search') return new ProtoBuilder().bytes(1, searchInput(message, inputs));
  if (call === 'recommend') {
    const recommend = recommendInput(message, inputs);
    return recommend === null ? null : new ProtoBuilder().bytes(2, recommend);
  }
  return discoverQuery(message, inputs);
}

function searchInput(message: ProtoMessage, [vector = 0, sparse = 0]: readonly number[]): ProtoBuilder {
  const indices = message.bytes(sparse);
  const values = new ProtoBuilder();
  for (const span of message.spans) if (span.field === vector) values.moved(message, span, 1);
  if (indices === null) return new ProtoBuilder().bytes(DENSE, values);
  return new ProtoBuilder().bytes(SPARSE, values.raw(renumbered(new ProtoMessage(indices), 1, 2)));
}

/** RecommendInput: positive 1, negative 2, strategy 3. */
function recommendInput(message: ProtoMessage, inputs: readonly number[]): ProtoBuilder | null {
  const [positiveIds = 0, negativeIds = 0, positives = 0, negatives = 0, strategy = 0] = inputs;
  const out = new ProtoBuilder();
  const add = (ids: number, vectors: number, field: number): number => {
    const examples = [
      ...message.all(ids).map((id) => new ProtoBuilder().bytes(ID, id)),
      ...message.all(vectors).map(vectorInput),
    ];
    for (const example of examples) if (example !== null) out.bytes(field, example);
    return examples.includes(null) ? Number.NaN : examples.length;
  };
  const counts = [add(positiveIds, positives, 1), add(negativeIds, negatives, 2)] as const;
  const average = message.varintOrZero(strategy) === 0n;
  const enough = average ? counts[0] > 0 : counts[0] + counts[1] > 0;
  if (!enough || counts.some(Number.isNaN)) return null;
  for (const span of message.spans) if (span.field === strategy) out.moved(message, span, 3);
  return out;
}

/** DiscoverInput: target 1, context 2; ContextInput: pairs 1 of positive 1 and negative 2. */
function discoverQuery(
  message: ProtoMessage,
  [targetField = 0, contextField = 0]: readonly number[],
): ProtoBuilder | null {
  const context = new ProtoBuilder();
  const pairs = message.all(contextField);
  for (const bytes of pairs) {
    const pair = new ProtoMessage(bytes);
    const [positive, negative] = [exampleInput(pair.bytes(1)), exampleInput(pair.bytes(2))];
    if (positive === null || negative === null || pair.spans.length > 2) return null;
    context.bytes(1, new ProtoBuilder().bytes(1, positive).bytes(2, negative));
  }
  const target = message.bytes(targetField);
  if (target === null) return pairs.length === 0 ? null : new ProtoBuilder().bytes(4, context);
  const input = exampleInput(new ProtoMessage(target).bytes(1));
  return input === null
    ? null
    : new ProtoBuilder().bytes(3, new ProtoBuilder().bytes(1, input).bytes(2, context));
}

/** Returns a VectorExample (id 1 or vector 2) as VectorInput. */
function exampleInput(bytes: Uint8Array | null): ProtoBuilder | null {
  if (bytes === null) return null;
  const message = new ProtoMessage(bytes);
  const span = message.variant([1, 2]);
  if (span === null || message.spans.length > 1) return null;
  if (span.field === 1)
    return new ProtoBuilder().bytes(ID, expectDefined(message.bytes(1), 'the id of an example'));
  return vectorInput(expectDefined(message.bytes(2), 'the vector of an example'));
}

/** Returns a Vector as VectorInput; null for the older form of multivectors and for unknown forms. */
function vectorInput(bytes: Uint8Array): ProtoBuilder | null {
  const message = new ProtoMessage(bytes);
  const newer = message.variant([101, 102, 103, 104, 105, 106]);
  if (newer !== null)
    return new ProtoBuilder().bytes(
      newer.field - NEWER_OFFSET,
      expectDefined(message.bytes(newer.field), 'the values of a vector'),
    );
  if (message.spans.some(({ field }) => field > 2)) return null;
  const values = renumbered(message, 1, 1);
  const indices = message.bytes(2);
  if (indices === null) return new ProtoBuilder().bytes(DENSE, values);
  return new ProtoBuilder().bytes(SPARSE, values.raw(renumbered(new ProtoMessage(indices), 1, 2)));
}

/** Returns the occurrences of a field under another number. */
function renumbered(message: ProtoMessage, from: number, to: number): ProtoBuilder {
  const out = new ProtoBuilder();
  for (const span of message.spans) if (span.field === from) out.moved(message, span, to);
  return out;
}
