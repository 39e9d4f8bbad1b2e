import { expectDefined } from '../../../../src/core/errors.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import { Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, type FieldEdit, type ProtoBuilder } from '../protobuf/builder.js';
import { absentVector } from '../hidden-vector.js';
import { BATCH_OPERATIONS, isSearch, type MessageFields, type ApiOperation } from '../operations.js';
import { BATCHED_SEARCHES, PREFETCH, type StageFields } from '../search-fields.js';

/** The fields of a message that lead to a condition, each with the message in it, or with that one's name. */
interface Shape {
  readonly [field: number]: string | Shape;
}

const EXPRESSION = 'Expression';
const ONE = { 1: EXPRESSION };
const TWO = { 1: EXPRESSION, 2: EXPRESSION };
const SELECTOR = { 2: 'Filter' };

const MESSAGES: Readonly<Record<string, Shape>> = {
  Filter: { 1: 'Condition', 2: 'Condition', 3: 'Condition', 4: 'MinShould' },
  MinShould: { 1: 'Condition' },
  Condition: { 4: 'Filter', 6: 'NestedCondition', 7: 'HasVectorCondition' },
  NestedCondition: { 2: 'Filter' },
  PointsSelector: SELECTOR,
  SearchParams: { 6: 'IdfParams' },
  IdfParams: { 1: 'Filter' },
  Query: { 8: 'Formula' },
  Formula: { 1: EXPRESSION },
  [EXPRESSION]: {
    3: 'Condition',
    7: 'MultExpression',
    8: 'SumExpression',
    9: 'DivExpression',
    13: 'PowExpression',
    ...Object.fromEntries([10, 11, 12, 14, 15, 16].map((field) => [field, EXPRESSION])),
    ...Object.fromEntries([17, 18, 19].map((field) => [field, 'DecayParamsExpression'])),
  },
  MultExpression: ONE,
  SumExpression: ONE,
  DivExpression: TWO,
  PowExpression: TWO,
  DecayParamsExpression: TWO,
  PrefetchQuery: shapeOf(PREFETCH),
  PointsUpdateOperation: Object.fromEntries(
    [...BATCH_OPERATIONS].map(([field, { fields }]) => [field, shapeOf(fields)]),
  ),
  ReplicatePoints: { 3: 'Filter' },
};

type WithConditions = Pick<MessageFields, 'filter' | 'selector' | 'operations' | 'replicate'> &
  Partial<Pick<StageFields, 'prefetch' | 'query' | 'params'>>;

function shapeOf(fields: WithConditions): Shape {
  const { filter, selector, operations, replicate, prefetch, query, params } = fields;
  if (selector === 'itself') return SELECTOR;
  const messages = [
    [filter, 'Filter'],
    [selector, 'PointsSelector'],
    [operations, 'PointsUpdateOperation'],
    [replicate, 'ReplicatePoints'],
    [prefetch, 'PrefetchQuery'],
    [query, 'Query'],
    [params, 'SearchParams'],
  ] as const;
  return Object.fromEntries(
    messages.flatMap(([field, message]) => (field === undefined ? [] : [[field, message]])),
  );
}

/** Returns the fields of an operation's request that lead to a condition. */
function shapeOfRequest(operation: ApiOperation): Shape {
  if (!isSearch(operation)) return shapeOf(operation.fields);
  const { filter, params } = operation.fields;
  const search = shapeOf(operation.kind === 'query' ? operation.fields : { filter, params });
  return operation.form === 'batch' ? { [BATCHED_SEARCHES]: search } : search;
}

/** Deepest nesting that the server decodes. */
const NESTING_MAX = 100;

/**
 * Returns a request whose conditions on the hidden vector (HasVectorCondition: has_vector 1) name a vector
 * that no point has, since for clients the hidden vector does not exist.
 * @throws Malformed
 */
export function hideGrpcVector(
  operation: ApiOperation,
  message: ProtoMessage,
  served: ServedCollection,
): ProtoMessage {
  if (served.layout !== 'two-stage') return message;
  const { raw } = message;
  // Few requests contain the name. The others are not decoded.
  if (!Buffer.from(raw.buffer, raw.byteOffset, raw.length).includes(served.compact)) return message;
  const hiding = new Hiding(served);
  const shown = hiding.within(message, shapeOfRequest(operation), 0);
  return hiding.count === 0 ? message : new ProtoMessage(shown.finish());
}

class Hiding {
  readonly #hidden: Buffer;
  readonly #absent: Buffer;
  /** Conditions changed so far. */
  count = 0;

  constructor(served: ServedCollection) {
    this.#hidden = Buffer.from(served.compact);
    this.#absent = Buffer.from(absentVector(served));
  }

  within(message: ProtoMessage, shape: Shape, depth: number): ProtoBuilder {
    if (depth > NESTING_MAX) throw new Malformed('recursion limit reached');
    const edits = Object.entries(shape).map(
      ([field, inner]: [string, string | Shape]): [number, FieldEdit] => [
        Number(field),
        (value) => this.#message(inner, value, depth + 1),
      ],
    );
    return edited(message, new Map(edits));
  }

  #message(shape: string | Shape, value: Uint8Array, depth: number): Uint8Array | ProtoBuilder {
    const before = this.count;
    const message = new ProtoMessage(value);
    const changed =
      shape === 'HasVectorCondition'
        ? edited(message, new Map([[1, (name) => this.#name(name)]]))
        : this.within(
            message,
            typeof shape === 'string' ? expectDefined(MESSAGES[shape], `the message ${shape}`) : shape,
            depth,
          );
    return this.count === before ? value : changed;
  }

  #name(name: Uint8Array): Uint8Array {
    if (!this.#hidden.equals(name)) return name;
    this.count++;
    return this.#absent;
  }
}
