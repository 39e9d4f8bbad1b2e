import type { JsonObject } from '@bufbuild/protobuf';
import {
  isId,
  type ConditionJson,
  type ExampleJson,
  type ExpressionJson,
  type FilterJson,
  type LegacyJson,
  type PairJson,
  type ParamsJson,
  type PointId,
  type QueryCase,
  type QueryJson,
  type RecommendJson,
  type RequestJson,
  type SearchJson,
  type SparseJson,
  type StageJson,
} from './query-to-json.js';

const CALLS = { query: 'Query', search: 'Search', recommend: 'Recommend', discover: 'Discover' } as const;
const FORMS = { one: '', batch: 'Batch', groups: 'Groups' } as const;
const STRATEGIES = {
  average_vector: 'AverageVector',
  best_score: 'BestScore',
  sum_scores: 'SumScores',
} as const;

/** The method and the message of a case. */
export function grpcRequest(
  collectionName: string,
  { call, form, requests }: QueryCase,
): { readonly method: string; readonly json: JsonObject } {
  const method = `Points/${CALLS[call]}${FORMS[form]}`;
  const messages = requests.map((request) => ({
    collectionName,
    ...(call === 'query' ? queryMessage(request, form) : legacyMessage(call, request, form)),
  }));
  const [first] = messages;
  if (first === undefined) throw new Error('a case without a request');
  return { method, json: form === 'batch' ? { collectionName, [`${call}Points`]: messages } : first };
}

function queryMessage(request: RequestJson, form: QueryCase['form']): JsonObject {
  return { ...stageMessage(request), ...resultMessage(request, form) };
}

function stageMessage({ prefetch, query, ...search }: StageJson): JsonObject {
  return {
    ...(prefetch === undefined ? {} : { prefetch: prefetch.map(stageMessage) }),
    ...(query === undefined ? {} : { query: queryVariant(query) }),
    ...searchMessage(search),
  };
}

function searchMessage({
  using,
  filter,
  params,
  score_threshold,
  limit,
  lookup_from,
}: SearchJson): JsonObject {
  return {
    ...(using === undefined ? {} : { using }),
    ...(filter === undefined ? {} : { filter: filterMessage(filter) }),
    ...(params === undefined ? {} : { params: paramsMessage(params) }),
    ...(score_threshold === undefined ? {} : { scoreThreshold: score_threshold }),
    ...(limit === undefined ? {} : { limit: String(limit) }),
    ...(lookup_from === undefined
      ? {}
      : {
          lookupFrom: {
            collectionName: lookup_from.collection,
            ...(lookup_from.vector === undefined ? {} : { vectorName: lookup_from.vector }),
          },
        }),
  };
}

function resultMessage(request: RequestJson, form: QueryCase['form']): JsonObject {
  const { offset, with_payload, with_vector, group_by, group_size, with_lookup } = request;
  return {
    ...(offset === undefined || form === 'groups' ? {} : { offset: String(offset) }),
    ...(with_payload === undefined ? {} : { withPayload: selector(with_payload, 'fields') }),
    ...(with_vector === undefined ? {} : { withVectors: selector(with_vector, 'names') }),
    ...(group_by === undefined ? {} : { groupBy: group_by }),
    ...(group_size === undefined ? {} : { groupSize: String(group_size) }),
    ...(with_lookup === undefined ? {} : { withLookup: with_lookup }),
  };
}

function legacyMessage(call: QueryCase['call'], request: LegacyJson, form: QueryCase['form']): JsonObject {
  const { limit, groupSize, ...rest } = { ...searchMessage(request), ...resultMessage(request, form) };
  // Counts of groups are of another type in these messages.
  const common: JsonObject = {
    ...rest,
    ...(limit === undefined ? {} : { limit: form === 'groups' ? Number(limit) : limit }),
    ...(groupSize === undefined ? {} : { groupSize: Number(groupSize) }),
  };
  if (call === 'search') return { ...common, ...searchVector(request.vector) };
  if (call === 'recommend') return { ...common, ...recommendMessage(request) };
  return {
    ...common,
    ...(request.target === undefined ? {} : { target: { single: exampleMessage(request.target) } }),
    ...(request.context === undefined
      ? {}
      : {
          context: request.context.map(({ positive, negative }) => ({
            positive: exampleMessage(positive),
            negative: exampleMessage(negative),
          })),
        }),
  };
}

function searchVector(vector: LegacyJson['vector']): JsonObject {
  if (vector === undefined) return {};
  if (!('name' in vector)) return { vector: [...vector] };
  const { name, vector: values } = vector;
  if (!('indices' in values)) return { vectorName: name, vector: [...values] };
  return { vectorName: name, vector: [...values.values], sparseIndices: { data: [...values.indices] } };
}

function recommendMessage({ positive = [], negative = [], strategy }: RecommendJson): JsonObject {
  const ids = (examples: readonly ExampleJson[]): JsonObject[] => examples.filter(isId).map(idMessage);
  const vectors = (examples: readonly ExampleJson[]): JsonObject[] =>
    examples.flatMap((example) => (isId(example) ? [] : [vectorMessage(example)]));
  return {
    positive: ids(positive),
    negative: ids(negative),
    positiveVectors: vectors(positive),
    negativeVectors: vectors(negative),
    ...(strategy === undefined ? {} : { strategy: STRATEGIES[strategy] }),
  };
}

/** VectorExample. */
function exampleMessage(example: ExampleJson): JsonObject {
  return isId(example) ? { id: idMessage(example) } : { vector: vectorMessage(example) };
}

/** Vector, in its older form where there is one. */
function vectorMessage(vector: Exclude<ExampleJson, PointId>): JsonObject {
  if (!('indices' in vector)) return { data: [...vector] };
  return { sparse: { indices: [...vector.indices], values: [...vector.values] } };
}

/** VectorInput. */
function inputMessage(example: ExampleJson): JsonObject {
  if (isId(example)) return { id: idMessage(example) };
  return 'indices' in example ? { sparse: sparseMessage(example) } : { dense: { data: [...example] } };
}

function sparseMessage({ indices, values }: SparseJson): JsonObject {
  return { indices: [...indices], values: [...values] };
}

function idMessage(id: PointId): JsonObject {
  return typeof id === 'number' ? { num: String(id) } : { uuid: id };
}

function pairMessages(pairs: readonly PairJson[]): JsonObject {
  return {
    pairs: pairs.map(({ positive, negative }) => ({
      positive: inputMessage(positive),
      negative: inputMessage(negative),
    })),
  };
}

function queryVariant(query: QueryJson): JsonObject {
  if ('nearest' in query) {
    const nearest = inputMessage(query.nearest);
    if (query.mmr === undefined) return { nearest };
    const { diversity, candidates_limit } = query.mmr;
    const mmr = {
      ...(diversity === undefined ? {} : { diversity }),
      ...(candidates_limit === undefined ? {} : { candidatesLimit: candidates_limit }),
    };
    return { nearestWithMmr: { nearest, mmr } };
  }
  if ('recommend' in query) {
    const { positive = [], negative = [], strategy } = query.recommend;
    const examples = { positive: positive.map(inputMessage), negative: negative.map(inputMessage) };
    return {
      recommend: { ...examples, ...(strategy === undefined ? {} : { strategy: STRATEGIES[strategy] }) },
    };
  }
  if ('discover' in query) {
    const { target, context } = query.discover;
    return { discover: { target: inputMessage(target), context: pairMessages(context) } };
  }
  if ('context' in query) return { context: pairMessages(query.context) };
  if ('order_by' in query) {
    const { key, direction } = query.order_by;
    return {
      orderBy: {
        key,
        ...(direction === undefined ? {} : { direction: direction === 'asc' ? 'Asc' : 'Desc' }),
      },
    };
  }
  if ('sample' in query) return { sample: 'Random' };
  if ('fusion' in query) return { fusion: query.fusion.toUpperCase() };
  if ('rrf' in query) return { rrf: { ...query.rrf } };
  const defaults = Object.entries(query.defaults ?? {}).map(([name, value]) => [
    name,
    { doubleValue: value },
  ]);
  return {
    formula: {
      expression: expressionMessage(query.formula),
      defaults: Object.fromEntries(defaults) as JsonObject,
    },
  };
}

function expressionMessage(expression: ExpressionJson): JsonObject {
  if (typeof expression === 'number') return { constant: expression };
  if (typeof expression === 'string') return { variable: expression };
  if ('sum' in expression) return { sum: { sum: expression.sum.map(expressionMessage) } };
  if ('mult' in expression) return { mult: { mult: expression.mult.map(expressionMessage) } };
  if ('neg' in expression) return { neg: expressionMessage(expression.neg) };
  return { condition: conditionMessage(expression) };
}

function filterMessage({ must = [], should = [], must_not = [] }: FilterJson): JsonObject {
  return {
    must: must.map(conditionMessage),
    should: should.map(conditionMessage),
    mustNot: must_not.map(conditionMessage),
  };
}

function conditionMessage(condition: ConditionJson): JsonObject {
  if ('has_id' in condition) return { hasId: { hasId: condition.has_id.map(idMessage) } };
  if ('has_vector' in condition) return { hasVector: { hasVector: condition.has_vector } };
  if ('is_empty' in condition) return { isEmpty: { key: condition.is_empty.key } };
  if (!('key' in condition)) return { filter: filterMessage(condition) };
  const { key } = condition;
  if ('range' in condition) return { field: { key, range: { ...condition.range } } };
  const { value } = condition.match;
  if (typeof value === 'number') return { field: { key, match: { integer: String(value) } } };
  return { field: { key, match: typeof value === 'string' ? { keyword: value } : { boolean: value } } };
}

function paramsMessage({ hnsw_ef, exact, indexed_only, quantization }: ParamsJson): JsonObject {
  return {
    ...(hnsw_ef === undefined ? {} : { hnswEf: String(hnsw_ef) }),
    ...(exact === undefined ? {} : { exact }),
    ...(indexed_only === undefined ? {} : { indexedOnly: indexed_only }),
    ...(quantization === undefined ? {} : { quantization: { ...quantization } }),
  };
}

function selector(asked: boolean | readonly string[], list: 'fields' | 'names'): JsonObject {
  return typeof asked === 'boolean' ? { enable: asked } : { include: { [list]: [...asked] } };
}
