import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import {
  answeredList,
  answeredNumber,
  num,
  stringifyJson,
  valueAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { idOf, pathOf, shardKeyJson } from '../points/ids-over-rest.js';
import { searchParams } from './scratch-collection.js';

/** Returns the whole answer to a search, including the time it took. */
export function queryPoints(rest: Rest, collection: string, request: SearchRequest): Promise<Json> {
  const { prefetch, partition } = request;
  const body: JsonObject = {
    query: floatsJson(request.vector),
    using: request.vectorName,
    limit: num(request.limit),
    with_payload: request.withPayload ?? false,
    ...searchParams({ ...request, exact: request.exact === true && prefetch === undefined }),
    ...(partition === undefined ? {} : { shard_key: shardKeyJson(partition) }),
  };
  if (prefetch !== undefined) {
    body['prefetch'] = {
      query: floatsJson(prefetch.vector),
      using: prefetch.vectorName,
      limit: num(prefetch.limit),
      ...searchParams({ exact: request.exact === true, quantized: prefetch.quantized }),
    };
  }
  return rest.raw('POST', `${pathOf(collection)}/points/query`, body);
}

/** Returns the points of a search's answer, best first. */
export function scoredPoints(answer: Json, collection: string): ScoredPoint[] {
  const of = `a search of ${collection}`;
  return answeredList({ json: valueAt(answer, 'result'), of }, 'points').map((point) => {
    const payload = valueAt(point, 'payload');
    return {
      id: idOf(valueAt(point, 'id')),
      // The server writes a score that is no number, such as an overflow of dot products, as null.
      score: valueAt(point, 'score') === null ? Number.NaN : answeredNumber({ json: point, of }, 'score'),
      ...(payload === undefined || payload === null ? {} : { payloadJson: stringifyJson(payload) }),
    };
  });
}

function floatsJson(values: Float32Array): Json {
  return Array.from(values, num);
}
