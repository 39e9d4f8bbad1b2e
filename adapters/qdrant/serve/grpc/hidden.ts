import { expectDefined } from '../../../../src/core/errors.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import { Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, type FieldEdit, type ProtoBuilder } from '../protobuf/builder.js';
import { absentVector } from '../hidden-vector.js';

/** Messages that hold conditions: the fields of each that lead to a condition. */
type Messages = Readonly<Record<string, Readonly<Record<number, string>>>>;

const EXPRESSION = 'Expression';
const ONE = { 1: EXPRESSION };
const TWO = { 1: EXPRESSION, 2: EXPRESSION };
const SELECTED = { 2: 'PointsSelector' };

const MESSAGES: Messages = {
  Filter: { 1: 'Condition', 2: 'Condition', 3: 'Condition', 4: 'MinShould' },
  MinShould: { 1: 'Condition' },
  Condition: { 4: 'Filter', 6: 'NestedCondition', 7: 'HasVectorCondition' },
  NestedCondition: { 2: 'Filter' },
  PointsSelector: { 2: 'Filter' },
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
  PrefetchQuery: { 1: 'PrefetchQuery', 2: 'Query', 4: 'Filter' },
  QueryPoints: { 2: 'PrefetchQuery', 3: 'Query', 5: 'Filter' },
  SearchPoints: { 3: 'Filter' },
  RecommendPoints: { 4: 'Filter' },
  DiscoverPoints: { 4: 'Filter' },
  PointsUpdateOperation: {
    1: 'PointStructList',
    2: 'PointsSelector',
    3: 'SetPayload',
    4: 'OverwritePayload',
    5: 'DeletePayload',
    6: 'PointsSelector',
    7: 'UpdateVectors',
    8: 'DeleteVectors',
    9: 'DeletePoints',
    10: 'ClearPayload',
  },
  PointStructList: { 3: 'Filter' },
  UpdateVectors: { 3: 'Filter' },
  SetPayload: SELECTED,
  OverwritePayload: SELECTED,
  DeletePayload: SELECTED,
  DeleteVectors: { 1: 'PointsSelector' },
  DeletePoints: { 1: 'PointsSelector' },
  ClearPayload: { 1: 'PointsSelector' },
  ReplicatePoints: { 3: 'Filter' },
};

/** Returns the fields of a message that lead to a condition. */
function fieldsOf(type: string): Readonly<Record<number, string>> {
  return expectDefined(MESSAGES[type], `the message ${type}`);
}

/** Requests that hold conditions. */
const REQUESTS: Messages = {
  Query: fieldsOf('QueryPoints'),
  QueryBatch: { 2: 'QueryPoints' },
  QueryGroups: fieldsOf('QueryPoints'),
  Search: { 3: 'Filter' },
  SearchBatch: { 2: 'SearchPoints' },
  SearchGroups: { 3: 'Filter' },
  Recommend: { 4: 'Filter' },
  RecommendBatch: { 2: 'RecommendPoints' },
  RecommendGroups: { 4: 'Filter' },
  Discover: { 4: 'Filter' },
  DiscoverBatch: { 2: 'DiscoverPoints' },
  SearchMatrixPairs: { 2: 'Filter' },
  SearchMatrixOffsets: { 2: 'Filter' },
  Scroll: { 2: 'Filter' },
  Count: { 2: 'Filter' },
  Facet: { 3: 'Filter' },
  Upsert: { 6: 'Filter' },
  UpdateVectors: { 6: 'Filter' },
  UpdateBatch: { 3: 'PointsUpdateOperation' },
  Delete: { 3: 'PointsSelector' },
  DeleteVectors: { 3: 'PointsSelector' },
  SetPayload: { 5: 'PointsSelector' },
  OverwritePayload: { 5: 'PointsSelector' },
  DeletePayload: { 5: 'PointsSelector' },
  ClearPayload: { 3: 'PointsSelector' },
  UpdateCollectionClusterSetup: { 10: 'ReplicatePoints' },
};

/** Deepest nesting that the server decodes. */
const NESTING_MAX = 100;

/**
 * Returns a request whose conditions on the hidden vector (HasVectorCondition: has_vector 1) name a vector
 * that no point has, since for clients the hidden vector does not exist.
 * @throws Malformed
 */
export function hideGrpcVector(path: string, message: ProtoMessage, served: ServedCollection): ProtoMessage {
  const fields = REQUESTS[path.slice(path.lastIndexOf('/') + 1)];
  if (served.layout !== 'two-stage' || fields === undefined) return message;
  const { raw } = message;
  // Few requests contain the name. The others are not decoded.
  if (!Buffer.from(raw.buffer, raw.byteOffset, raw.length).includes(served.compact)) return message;
  const hiding = new Hiding(served);
  const shown = hiding.within(message, fields, 0);
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

  within(message: ProtoMessage, fields: Readonly<Record<number, string>>, depth: number): ProtoBuilder {
    if (depth > NESTING_MAX) throw new Malformed('recursion limit reached');
    const edits = Object.entries(fields).map(([field, type]): [number, FieldEdit] => [
      Number(field),
      (value) => this.#message(type, value, depth + 1),
    ]);
    return edited(message, new Map(edits));
  }

  #message(type: string, value: Uint8Array, depth: number): Uint8Array | ProtoBuilder {
    const before = this.count;
    const message = new ProtoMessage(value);
    const changed =
      type === 'HasVectorCondition'
        ? edited(message, new Map([[1, (name) => this.#name(name)]]))
        : this.within(message, fieldsOf(type), depth);
    return this.count === before ? value : changed;
  }

  #name(name: Uint8Array): Uint8Array {
    if (!this.#hidden.equals(name)) return name;
    this.count++;
    return this.#absent;
  }
}
