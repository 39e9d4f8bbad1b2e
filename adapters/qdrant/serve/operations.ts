import { expectDefined } from '../../../src/core/errors.js';
import {
  DISCOVER,
  QUERY,
  QUERY_GROUPS,
  RECOMMEND,
  RECOMMEND_GROUPS,
  SEARCH,
  SEARCH_GROUPS,
  type LegacyCall,
  type LegacyFields,
  type StageFields,
} from './search-fields.js';

/**
 * The operations of the API, one row each. Both transports, the finder of changes and the shadow searches read
 * this table. An endpoint that is not in it reaches no served collection, unless it only reads.
 */

/** Field numbers in an operation's gRPC message. Its collection is always field 1. */
export interface MessageFields {
  readonly filter?: number;
  /** A PointsSelector. `itself`: the message is one. */
  readonly selector?: number | 'itself';
  /** Points with an id 1 each. */
  readonly points?: number;
  /** The vectors of each point. */
  readonly vectors?: number;
  /** A VectorsSelector, which names vectors. */
  readonly names?: number;
  /** A map of payload, and the key under which it is set. */
  readonly payload?: number;
  readonly key?: number;
  /** The operations of a batch. */
  readonly operations?: number;
  readonly withVectors?: number;
  /** The name of a vector. */
  readonly using?: number;
  readonly exact?: number;
  /** A copy of points to another shard. */
  readonly replicate?: number;
}

/** Names of writes, as in a batch over REST. */
export type SingleWrite =
  | 'upsert'
  | 'delete'
  | 'set_payload'
  | 'overwrite_payload'
  | 'delete_payload'
  | 'clear_payload'
  | 'update_vectors'
  | 'delete_vectors';

/** A change of points. */
export interface Write {
  readonly kind: 'write';
  readonly changes: true;
  readonly name: SingleWrite | 'batch';
  readonly fields: MessageFields;
}

/** `batch`: several searches in one request. `groups`: results are grouped by a key of the payload. */
export type SearchForm = 'one' | 'batch' | 'groups';

export interface Query {
  readonly kind: 'query';
  readonly changes: false;
  readonly form: SearchForm;
  readonly fields: StageFields;
}

/** A search of the older interfaces. */
export interface LegacySearch {
  readonly kind: 'legacy';
  readonly changes: false;
  readonly call: LegacyCall;
  readonly form: SearchForm;
  readonly fields: LegacyFields;
}

export type Search = Query | LegacySearch;

/** Kinds of operations on collections and aliases. */
const COLLECTION_KINDS = [
  'list collections',
  'list aliases',
  'change aliases',
  'info',
  'create',
  'update',
  'delete',
  'exists',
  'aliases',
] as const;
export type CollectionKind = (typeof COLLECTION_KINDS)[number];

interface Plain {
  readonly kind:
    | CollectionKind
    /** Nothing of the request but the collection's name concerns the proxy. */
    | 'named'
    /** Names no collection. */
    | 'pass'
    /** A change of payload indexes. */
    | 'index'
    /** A vector of the collection, by name. */
    | 'vector'
    /** A change of the collection's distribution, which may select points to copy. */
    | 'cluster'
    /** One point, always with its vectors. */
    | 'point'
    /** Points with the vectors that the request selects. */
    | 'points'
    | 'count'
    | 'facet'
    | 'matrix'
    /** Holds conditions, and otherwise nothing that concerns the proxy. */
    | 'filtered'
    /** Not in the table, and no read: it could carry vectors. */
    | 'unknown'
    /** Restores a snapshot, which would put other vectors under the encoder in use. */
    | 'restore';
  /** Whether it may change a point or a setting. */
  readonly changes: boolean;
  readonly fields: MessageFields;
}

export type ApiOperation = {
  /** Method and path, as in the table; null if only gRPC has it. */
  readonly rest: string | null;
  /** Path of the gRPC method; null if only REST has it. */
  readonly grpc: string | null;
} & (Search | Write | Plain);

export type WriteOperation = Extract<ApiOperation, Write>;

type Row = readonly [rest: string | null, grpc: string | null, Search | Write | Plain];

function reads(kind: Plain['kind'], fields: MessageFields = {}): Plain {
  return { kind, changes: false, fields };
}

function changes(kind: Plain['kind'], fields: MessageFields = {}): Plain {
  return { kind, changes: true, fields };
}

function write(name: Write['name'], fields: MessageFields): Write {
  return { kind: 'write', changes: true, name, fields };
}

function query(form: SearchForm, fields: StageFields): Query {
  return { kind: 'query', changes: false, form, fields };
}

function legacy(form: SearchForm, fields: LegacyFields): LegacySearch {
  return { kind: 'legacy', changes: false, call: fields.call, form, fields };
}

/** Paths below a collection; `*` stands for any segment. A path with a slash in front is a whole path. */
const TABLE: readonly Row[] = [
  ['GET /collections', 'Collections/List', reads('list collections')],
  ['GET /aliases', 'Collections/ListAliases', reads('list aliases')],
  ['POST /collections/aliases', 'Collections/UpdateAliases', changes('change aliases')],

  ['GET', 'Collections/Get', reads('info')],
  ['PUT', 'Collections/Create', changes('create')],
  ['PATCH', 'Collections/Update', changes('update')],
  ['DELETE', 'Collections/Delete', changes('delete')],
  ['GET exists', 'Collections/CollectionExists', reads('exists')],
  ['GET aliases', 'Collections/ListCollectionAliases', reads('aliases')],
  ['PUT index', 'Points/CreateFieldIndex', changes('index')],
  ['DELETE index/*', 'Points/DeleteFieldIndex', changes('index')],
  ['PUT vectors/*', 'Points/CreateVectorName', changes('vector', { using: 3 })],
  ['DELETE vectors/*', 'Points/DeleteVectorName', changes('vector', { using: 3 })],
  ['GET optimizations', null, reads('named')],
  ['GET cluster', 'Collections/CollectionClusterInfo', reads('named')],
  ['POST cluster', 'Collections/UpdateCollectionClusterSetup', changes('cluster', { replicate: 10 })],
  ['GET shards', 'Collections/ListShardKeys', reads('named')],
  ['PUT shards', 'Collections/CreateShardKey', changes('named')],
  ['POST shards/delete', 'Collections/DeleteShardKey', changes('named')],
  ['POST shards/*/cleanup', null, changes('named')],

  ['PUT points', 'Points/Upsert', write('upsert', { points: 3, vectors: 4, filter: 6 })],
  ['POST points/delete', 'Points/Delete', write('delete', { selector: 3 })],
  ['POST points/payload', 'Points/SetPayload', write('set_payload', { payload: 3, selector: 5, key: 8 })],
  ['PUT points/payload', 'Points/OverwritePayload', write('overwrite_payload', { selector: 5 })],
  ['POST points/payload/delete', 'Points/DeletePayload', write('delete_payload', { selector: 5 })],
  ['POST points/payload/clear', 'Points/ClearPayload', write('clear_payload', { selector: 3 })],
  [
    'PUT points/vectors',
    'Points/UpdateVectors',
    write('update_vectors', { points: 3, vectors: 2, filter: 6 }),
  ],
  ['POST points/vectors/delete', 'Points/DeleteVectors', write('delete_vectors', { selector: 3, names: 4 })],
  ['POST points/batch', 'Points/UpdateBatch', write('batch', { operations: 3 })],

  ['GET points/*', null, reads('point')],
  ['POST points', 'Points/Get', reads('points', { withVectors: 5 })],
  ['POST points/scroll', 'Points/Scroll', reads('points', { filter: 2, withVectors: 7 })],
  ['POST points/count', 'Points/Count', reads('count', { filter: 2, exact: 3 })],
  // Over gRPC, the server does not check whether a facet is exact.
  ['POST facet', 'Points/Facet', reads('facet', { filter: 3 })],
  ['POST shards/*/points', null, reads('points')],
  ['POST shards/*/points/scroll', null, reads('points')],
  ['POST shards/*/points/count', null, reads('filtered')],

  ['POST points/query', 'Points/Query', query('one', QUERY)],
  ['POST points/query/batch', 'Points/QueryBatch', query('batch', QUERY)],
  ['POST points/query/groups', 'Points/QueryGroups', query('groups', QUERY_GROUPS)],
  ['POST points/search', 'Points/Search', legacy('one', SEARCH)],
  ['POST points/search/batch', 'Points/SearchBatch', legacy('batch', SEARCH)],
  ['POST points/search/groups', 'Points/SearchGroups', legacy('groups', SEARCH_GROUPS)],
  ['POST points/recommend', 'Points/Recommend', legacy('one', RECOMMEND)],
  ['POST points/recommend/batch', 'Points/RecommendBatch', legacy('batch', RECOMMEND)],
  ['POST points/recommend/groups', 'Points/RecommendGroups', legacy('groups', RECOMMEND_GROUPS)],
  ['POST points/discover', 'Points/Discover', legacy('one', DISCOVER)],
  ['POST points/discover/batch', 'Points/DiscoverBatch', legacy('batch', DISCOVER)],
  ['POST points/search/matrix/pairs', 'Points/SearchMatrixPairs', reads('matrix', { filter: 2, using: 5 })],
  [
    'POST points/search/matrix/offsets',
    'Points/SearchMatrixOffsets',
    reads('matrix', { filter: 2, using: 5 }),
  ],

  ['GET snapshots', 'Snapshots/List', reads('named')],
  ['POST snapshots', 'Snapshots/Create', reads('named')],
  ['GET snapshots/*', null, reads('named')],
  ['DELETE snapshots/*', 'Snapshots/Delete', reads('named')],
  ['PUT snapshots/recover', null, changes('restore')],
  ['POST snapshots/upload', null, changes('restore')],
  ['GET shards/*/snapshot', null, reads('named')],
  ['GET shards/*/snapshots', null, reads('named')],
  ['GET shards/*/snapshots/*', null, reads('named')],
  ['POST shards/*/snapshots', null, reads('named')],
  ['DELETE shards/*/snapshots/*', null, reads('named')],
  ['PUT shards/*/snapshots/recover', null, changes('restore')],
  ['POST shards/*/snapshots/upload', null, changes('restore')],
  ['POST shards/*/snapshot/partial/create', null, changes('named')],
  ['POST /snapshots', 'Snapshots/CreateFull', reads('pass')],
  ['GET /snapshots', 'Snapshots/ListFull', reads('pass')],
  ['DELETE /snapshots/*', 'Snapshots/DeleteFull', reads('pass')],
  ['GET /snapshots/*', null, reads('pass')],
  ['GET /', 'Qdrant/HealthCheck', reads('pass')],
  ['GET /healthz', null, reads('pass')],
  ['GET /livez', null, reads('pass')],
  ['GET /readyz', null, reads('pass')],
  ['GET /metrics', null, reads('pass')],
  ['GET /telemetry', null, reads('pass')],
  ['GET /issues', null, reads('pass')],
  ['DELETE /issues', null, changes('pass')],
  ['GET /cluster', null, reads('pass')],
  ['GET /cluster/telemetry', null, reads('pass')],
  ['POST /cluster/recover', null, changes('pass')],
  ['DELETE /cluster/peer/*', null, changes('pass')],
  ['GET /quotas', null, reads('pass')],
  ['PUT /quotas', null, changes('pass')],
];

/** The operations of a batch, by their field in a PointsUpdateOperation. */
export const BATCH_OPERATIONS: ReadonlyMap<number, Write> = new Map([
  [1, write('upsert', { points: 1, vectors: 4, filter: 3 })],
  [2, write('delete', { selector: 'itself' })],
  [3, write('set_payload', { payload: 1, selector: 2, key: 4 })],
  [4, write('overwrite_payload', { selector: 2 })],
  [5, write('delete_payload', { selector: 2 })],
  [6, write('clear_payload', { selector: 'itself' })],
  [7, write('update_vectors', { points: 1, vectors: 2, filter: 3 })],
  [8, write('delete_vectors', { selector: 1, names: 2 })],
  [9, write('delete', { selector: 1 })],
  [10, write('clear_payload', { selector: 1 })],
]);

/** All operations. */
export const API_OPERATIONS: readonly ApiOperation[] = TABLE.map(([rest, method, does]) => ({
  rest,
  grpc: method === null ? null : `/qdrant.${method}`,
  ...does,
}));

/** The upsert. A client that may upsert points may also change payload indexes. */
export const UPSERT: WriteOperation = expectDefined(
  API_OPERATIONS.find((one): one is WriteOperation => one.kind === 'write' && one.name === 'upsert'),
  'the upsert',
);

const ROUTES = API_OPERATIONS.flatMap((operation) => {
  if (operation.rest === null) return [];
  const [method, path = ''] = operation.rest.split(' ');
  const whole = path.startsWith('/') ? path : `/collections/*/${path}`;
  return [{ method, path: whole.split('/').filter((segment) => segment !== ''), operation }];
});
const METHODS: ReadonlyMap<string | null, ApiOperation> = new Map(
  API_OPERATIONS.map((one) => [one.grpc, one]),
);
/** Methods that only read. */
const READING = ['GET', 'HEAD', 'OPTIONS'];
/** An unknown read passes: it can only reveal sizes. */
const UNKNOWN_READ: ApiOperation = { rest: null, grpc: null, ...reads('named') };
const UNKNOWN: ApiOperation = { rest: null, grpc: null, ...changes('unknown') };

/** Returns the operation of a REST request by its method and the segments of its path. */
export function restOperation(method: string, segments: readonly string[]): ApiOperation {
  const route = ROUTES.find(
    ({ method: expected, path }) =>
      expected === method &&
      path.length === segments.length &&
      path.every((segment, i) => segment === '*' || segment === segments[i]),
  );
  if (route !== undefined) return route.operation;
  return READING.includes(method) ? UNKNOWN_READ : UNKNOWN;
}

/** Returns the operation of a gRPC call by its path. */
export function grpcOperation(path: string): ApiOperation {
  return METHODS.get(path) ?? UNKNOWN;
}

/** Returns the query that can replace a search of the older interfaces: its path over REST, and its method. */
export function queryInstead({ form }: LegacySearch): { readonly path: string; readonly method: string } {
  const found = API_OPERATIONS.find((operation) => operation.kind === 'query' && operation.form === form);
  const { rest, grpc } = expectDefined(found, `a query of the form "${form}"`);
  return { path: String(rest).replace('POST ', ''), method: String(grpc) };
}

export function isSearch<Kind extends Search | Write | Plain>(
  operation: Kind,
): operation is Extract<Kind, Search> {
  return operation.kind === 'query' || operation.kind === 'legacy';
}

export function isOnCollections<Kind extends Search | Write | Plain>(
  operation: Kind,
): operation is Kind & { readonly kind: CollectionKind } {
  return (COLLECTION_KINDS as readonly string[]).includes(operation.kind);
}

/** Returns whether a write holds vectors or the names of vectors. */
export function holdsVectors({ fields }: Write): boolean {
  return fields.vectors !== undefined || fields.names !== undefined || fields.operations !== undefined;
}
