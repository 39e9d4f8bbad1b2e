/** The treatment of a request to a served collection, by its method and the path below the collection. */
export type RouteAction =
  /** The body passes unchanged. `answer`: the changes to the answer besides clients' names in errors. */
  | { readonly kind: 'forward'; readonly answer: 'errors' | 'info' | 'aliases' | 'deleted' }
  | { readonly kind: 'rewrite'; readonly body: BodyKind; readonly search: boolean }
  /** Only conditions on a hidden vector change in the body. */
  | { readonly kind: 'conditions'; readonly body: ConditionBody }
  /** A creation of the collection, which exists. */
  | { readonly kind: 'exists' }
  /** One point, always with its vectors. */
  | { readonly kind: 'point' }
  /** A vector of the collection, by name. */
  | { readonly kind: 'vector' }
  /** A route that no known server has. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'refuse'; readonly why: string };

/** Kinds of bodies that are read and changed. */
export type BodyKind =
  | 'query'
  | 'query batch'
  | 'query groups'
  | `${'search' | 'recommend' | 'discover'}${'' | ' batch'}`
  | `${'search' | 'recommend'} groups`
  | 'matrix'
  | 'read'
  | 'upsert'
  | 'update vectors'
  | 'delete vectors'
  | 'operations'
  | 'patch';

/** Kinds of bodies in which only conditions change. */
export type ConditionBody = 'selection' | 'count' | 'facet' | 'set payload' | 'delete payload' | 'cluster';

interface RouteRule {
  readonly method: string;
  /** Segments below the collection. `*` stands for any segment. */
  readonly path: readonly string[];
  readonly action: RouteAction;
}

const ERRORS: RouteAction = { kind: 'forward', answer: 'errors' };
const RESTORE = {
  kind: 'refuse',
  why: 'restoring a snapshot would put other vectors under the encoder in use',
} as const;

function conditions(body: ConditionBody): RouteAction {
  return { kind: 'conditions', body };
}

function search(body: BodyKind): RouteAction {
  return { kind: 'rewrite', body, search: true };
}

function change(body: BodyKind): RouteAction {
  return { kind: 'rewrite', body, search: false };
}

const TABLE: readonly (readonly [string, RouteAction])[] = [
  ['GET ', { kind: 'forward', answer: 'info' }],
  ['PUT ', { kind: 'exists' }],
  ['PATCH ', change('patch')],
  ['DELETE ', { kind: 'forward', answer: 'deleted' }],
  ['GET aliases', { kind: 'forward', answer: 'aliases' }],
  ['GET exists', ERRORS],
  ['PUT index', ERRORS],
  ['DELETE index/*', ERRORS],
  ['GET cluster', ERRORS],
  ['POST cluster', conditions('cluster')],
  ['GET shards', ERRORS],
  ['PUT shards', ERRORS],
  ['POST shards/delete', ERRORS],
  ['PUT vectors/*', { kind: 'vector' }],
  ['DELETE vectors/*', { kind: 'vector' }],
  ['PUT points', change('upsert')],
  ['PUT points/vectors', change('update vectors')],
  ['POST points/vectors/delete', change('delete vectors')],
  ['POST points/batch', change('operations')],
  ['POST points/delete', conditions('selection')],
  ['POST points/payload', conditions('set payload')],
  ['PUT points/payload', conditions('set payload')],
  ['POST points/payload/delete', conditions('delete payload')],
  ['POST points/payload/clear', conditions('selection')],
  ['POST points/count', conditions('count')],
  ['POST facet', conditions('facet')],
  ['GET points/*', { kind: 'point' }],
  ['POST points', change('read')],
  ['POST points/scroll', change('read')],
  ['POST points/query', search('query')],
  ['POST points/query/batch', search('query batch')],
  ['POST points/query/groups', search('query groups')],
  ['POST points/search', search('search')],
  ['POST points/search/batch', search('search batch')],
  ['POST points/search/groups', search('search groups')],
  ['POST points/recommend', search('recommend')],
  ['POST points/recommend/batch', search('recommend batch')],
  ['POST points/recommend/groups', search('recommend groups')],
  ['POST points/discover', search('discover')],
  ['POST points/discover/batch', search('discover batch')],
  ['POST points/search/matrix/pairs', change('matrix')],
  ['POST points/search/matrix/offsets', change('matrix')],
  ['POST shards/*/points', change('read')],
  ['POST shards/*/points/scroll', change('read')],
  ['POST shards/*/points/count', conditions('selection')],
  ['POST shards/*/cleanup', ERRORS],
  ['POST snapshots', ERRORS],
  ['DELETE snapshots/*', ERRORS],
  ['PUT snapshots/recover', RESTORE],
  ['POST snapshots/upload', RESTORE],
  ['POST shards/*/snapshots', ERRORS],
  ['DELETE shards/*/snapshots/*', ERRORS],
  ['PUT shards/*/snapshots/recover', RESTORE],
  ['POST shards/*/snapshots/upload', RESTORE],
  ['POST shards/*/snapshot/partial/create', ERRORS],
];

const RULES: readonly RouteRule[] = TABLE.map(([route, action]) => {
  const [method = '', path = ''] = route.split(' ');
  return { method, path: path === '' ? [] : path.split('/'), action };
});

/** Returns whether segments match a path in which `*` stands for any segment. */
export function isPath(path: readonly string[], segments: readonly string[]): boolean {
  return path.length === segments.length && path.every((one, i) => one === '*' || one === segments[i]);
}

/** Methods that only read. */
const READING = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Returns the treatment of a request below a served collection. An unknown read passes: it can only reveal
 * sizes. Any other unknown request could carry vectors.
 */
export function actionFor(method: string, segments: readonly string[]): RouteAction {
  const rule = RULES.find(({ method: wanted, path }) => wanted === method && isPath(path, segments));
  if (rule !== undefined) return rule.action;
  if (READING.includes(method)) return ERRORS;
  return { kind: 'missing' };
}

/** Returns the path of the query endpoint that replaces an older one. */
export function queryPath(body: BodyKind): string {
  if (body.endsWith(' batch')) return 'points/query/batch';
  return body.endsWith(' groups') ? 'points/query/groups' : 'points/query';
}
