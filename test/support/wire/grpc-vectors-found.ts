import type { JsonObject, JsonValue } from '@bufbuild/protobuf';

/** A dense vector of a request, and the name of the vector it is compared with or stored as. */
export interface FoundVector {
  readonly vector: string;
  readonly values: readonly number[];
}

/**
 * Every dense vector of a decoded request to Points, found by walking its JSON form: written independently of the
 * rewriter, to check it.
 */
export function denseVectors(method: string, request: JsonObject): FoundVector[] {
  switch (method) {
    case 'Points/Query':
    case 'Points/QueryGroups':
      return inStage(request);
    case 'Points/QueryBatch':
      return list(request['queryPoints']).flatMap(inStage);
    case 'Points/Search':
    case 'Points/SearchGroups':
      return inSearch(request);
    case 'Points/SearchBatch':
      return list(request['searchPoints']).flatMap(inSearch);
    case 'Points/Recommend':
    case 'Points/RecommendGroups':
    case 'Points/Discover':
      return inLegacy(request);
    case 'Points/RecommendBatch':
      return list(request['recommendPoints']).flatMap(inLegacy);
    case 'Points/DiscoverBatch':
      return list(request['discoverPoints']).flatMap(inLegacy);
    case 'Points/Upsert':
    case 'Points/UpdateVectors':
      return list(request['points']).flatMap(inPoint);
    case 'Points/UpdateBatch':
      return list(request['operations']).flatMap((operation) =>
        [object(operation['upsert']), object(operation['updateVectors'])].flatMap(({ points }) =>
          list(points).flatMap(inPoint),
        ),
      );
    default:
      return [];
  }
}

function object(value: JsonValue | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function list(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.map(object) : [];
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function numbers(value: JsonValue | undefined): number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

function inStage(stage: JsonObject): FoundVector[] {
  const vector = text(stage['using']);
  const own = within(stage['query'] ?? null).map((values) => ({ vector, values }));
  return [...own, ...list(stage['prefetch']).flatMap(inStage)];
}

function inSearch(search: JsonObject): FoundVector[] {
  if ('sparseIndices' in search) return [];
  return [{ vector: text(search['vectorName']), values: numbers(search['vector']) }];
}

function inLegacy(request: JsonObject): FoundVector[] {
  const parts = ['positiveVectors', 'negativeVectors', 'target', 'context'].map(
    (key) => request[key] ?? null,
  );
  return parts.flatMap(within).map((values) => ({ vector: text(request['using']), values }));
}

function inPoint(point: JsonObject): FoundVector[] {
  const vectors = object(point['vectors']);
  const named = Object.entries(object(object(vectors['vectors'])['vectors']));
  const all = 'vector' in vectors ? [...named, ['', vectors['vector'] ?? null] as const] : named;
  return all.flatMap(([vector, value]) => ofVector(object(value)).map((values) => ({ vector, values })));
}

/** Every vector below a part of a message that is nothing but inputs. */
function within(value: JsonValue): number[][] {
  if (Array.isArray(value)) return value.flatMap(within);
  if (typeof value !== 'object' || value === null) return [];
  if ('dense' in value || 'data' in value || 'sparse' in value || 'indices' in value || 'multiDense' in value)
    return ofVector(value);
  return Object.values(value).flatMap(within);
}

/** A Vector or VectorInput: the newer form counts where there is one. */
function ofVector(value: JsonObject): number[][] {
  if ('dense' in value) return [numbers(object(value['dense'])['data'])];
  if ('multiDense' in value)
    return list(object(value['multiDense'])['vectors']).map(({ data }) => numbers(data));
  if (['sparse', 'document', 'image', 'object', 'id', 'indices'].some((key) => key in value)) return [];
  return 'data' in value ? [numbers(value['data'])] : [];
}
