import { expectDefined } from '../../../src/core/errors.js';
/**
 * The official client's name of each operation, with its method and path, from the server's OpenAPI
 * description. Only operations that name a collection, or list collections, can concern a served one.
 */
const TABLE = `
getCollections GET /collections
getCollectionsAliases GET /aliases
updateAliases POST /collections/aliases
getCollection GET /collections/{collection_name}
createCollection PUT /collections/{collection_name}
updateCollection PATCH /collections/{collection_name}
deleteCollection DELETE /collections/{collection_name}
collectionExists GET /collections/{collection_name}/exists
getCollectionAliases GET /collections/{collection_name}/aliases
collectionClusterInfo GET /collections/{collection_name}/cluster
updateCollectionCluster POST /collections/{collection_name}/cluster
getOptimizations GET /collections/{collection_name}/optimizations
createFieldIndex PUT /collections/{collection_name}/index
deleteFieldIndex DELETE /collections/{collection_name}/index/{field_name}
createVectorName PUT /collections/{collection_name}/vectors/{vector_name}
deleteVectorName DELETE /collections/{collection_name}/vectors/{vector_name}
listShardKeys GET /collections/{collection_name}/shards
createShardKey PUT /collections/{collection_name}/shards
deleteShardKey POST /collections/{collection_name}/shards/delete
listSnapshots GET /collections/{collection_name}/snapshots
createSnapshot POST /collections/{collection_name}/snapshots
recoverFromSnapshot PUT /collections/{collection_name}/snapshots/recover
deleteSnapshot DELETE /collections/{collection_name}/snapshots/{snapshot_name}
listShardSnapshots GET /collections/{collection_name}/shards/{shard_id}/snapshots
createShardSnapshot POST /collections/{collection_name}/shards/{shard_id}/snapshots
recoverShardFromSnapshot PUT /collections/{collection_name}/shards/{shard_id}/snapshots/recover
deleteShardSnapshot DELETE /collections/{collection_name}/shards/{shard_id}/snapshots/{snapshot_name}
upsertPoints PUT /collections/{collection_name}/points
getPoints POST /collections/{collection_name}/points
getPoint GET /collections/{collection_name}/points/{id}
deletePoints POST /collections/{collection_name}/points/delete
updateVectors PUT /collections/{collection_name}/points/vectors
deleteVectors POST /collections/{collection_name}/points/vectors/delete
overwritePayload PUT /collections/{collection_name}/points/payload
setPayload POST /collections/{collection_name}/points/payload
deletePayload POST /collections/{collection_name}/points/payload/delete
clearPayload POST /collections/{collection_name}/points/payload/clear
batchUpdate POST /collections/{collection_name}/points/batch
scrollPoints POST /collections/{collection_name}/points/scroll
countPoints POST /collections/{collection_name}/points/count
searchPoints POST /collections/{collection_name}/points/search
searchBatchPoints POST /collections/{collection_name}/points/search/batch
searchPointGroups POST /collections/{collection_name}/points/search/groups
recommendPoints POST /collections/{collection_name}/points/recommend
recommendBatchPoints POST /collections/{collection_name}/points/recommend/batch
recommendPointGroups POST /collections/{collection_name}/points/recommend/groups
discoverPoints POST /collections/{collection_name}/points/discover
discoverBatchPoints POST /collections/{collection_name}/points/discover/batch
queryPoints POST /collections/{collection_name}/points/query
queryBatchPoints POST /collections/{collection_name}/points/query/batch
queryPointsGroups POST /collections/{collection_name}/points/query/groups
searchMatrixPairs POST /collections/{collection_name}/points/search/matrix/pairs
searchMatrixOffsets POST /collections/{collection_name}/points/search/matrix/offsets
facet POST /collections/{collection_name}/facet`;

/** Parameters of the query string. Every other argument that is not in the path is in the body. */
const QUERY_PARAMETERS = ['wait', 'ordering', 'timeout', 'consistency', 'priority', 'checksum'];

/** Arguments of the client's operations: path, query and body in one object. */
export type Payload = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly name: string;
  readonly method: string;
  /** Segments of the path. `{x}` stands for the argument x. */
  readonly path: readonly string[];
}

/** The operations by the client's names. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  TABLE.trim()
    .split('\n')
    .map((line) => {
      const [name = '', method = '', path = ''] = line.split(' ');
      return [name, { name, method, path: path.split('/').slice(1) }];
    }),
);

/** Returns the request that the client would send. The body is still an object; null if there is none. */
export function restRequestOf(
  { method, path }: Operation,
  payload: Payload,
): { readonly url: string; readonly body: Payload | null } {
  const rest = new Map(Object.entries(payload));
  const take = (key: string): unknown => {
    const value = rest.get(key);
    rest.delete(key);
    return value;
  };
  const parts = path.map((part) =>
    part.startsWith('{') ? encodeURIComponent(String(take(part.slice(1, -1)))) : part,
  );
  const inQuery = method === 'GET' ? [...rest.keys()] : QUERY_PARAMETERS;
  const query = new URLSearchParams();
  for (const key of inQuery) {
    const value = take(key);
    if (['string', 'number', 'boolean'].includes(typeof value)) query.set(key, String(value));
  }
  const text = query.toString();
  const url = `/${parts.join('/')}${text === '' ? '' : `?${text}`}`;
  const empty = rest.size === 0 && method === 'DELETE';
  return { url, body: method === 'GET' || empty ? null : Object.fromEntries(rest) };
}

/** Returns the client's operation that sends such a request, with its arguments; null if it has none. */
export function operationFor(
  method: string,
  url: string,
): { readonly operation: Operation; readonly payload: Payload } | null {
  const { pathname, searchParams } = new URL(url, 'http://server');
  const parts = pathname.split('/').slice(1);
  for (const operation of OPERATIONS.values()) {
    const { path } = operation;
    const fits = (part: string, i: number): boolean => part.startsWith('{') || part === parts[i];
    if (operation.method !== method || path.length !== parts.length || !path.every(fits)) continue;
    const payload: Record<string, unknown> = Object.fromEntries(searchParams);
    path.forEach((part, i) => {
      if (part.startsWith('{'))
        payload[part.slice(1, -1)] = decodeURIComponent(expectDefined(parts[i], 'a part of the path'));
    });
    return { operation, payload };
  }
  return null;
}
