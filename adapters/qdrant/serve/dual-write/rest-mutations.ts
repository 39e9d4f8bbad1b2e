import { expectDefined } from '../../../../src/core/errors.js';
import type {
  Aliases,
  MirroredCollection,
  MirroredFacts,
  WriteOutcome,
} from '../../../../src/store/write-guard.js';
import {
  finished,
  type PendingRewrite,
  type RestAnswer,
  type RestHead,
  type RestRequest,
  type ChangeRoute,
  type Named,
  type RestChange,
  type RestChanges,
  type Unnamed,
} from '../../../../src/serve/protocol.js';
import { followable, outcomeOfAll } from './followable.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan.js';
import { ByteEdits } from '../json/byte-edits.js';
import { NO_ROUTE, orRefusal } from '../rest/answer.js';
import { refuseServedAliases } from '../rest/collection.js';
import { elementsOf, entryOf, stringOf } from '../rest/fields.js';
import { isNothingToDo, permissionBody, SETTINGS_PERMISSION } from './permission.js';
import { checkRestSetPayloads } from './rest-payload-depth.js';
import { parsePath, type RestPath } from '../rest/path.js';
import { actionFor, isPath, type BodyKind } from '../rest/routes.js';
import { restAffectedPoints, type AffectKind } from './rest-affected-points.js';
import { restWrittenVectors } from './rest-written.js';
import { followedBy, followedNames, refuseFollowed, refuseFollowedTarget } from './mirrored-names.js';
import { Refusal } from '../rules.js';

/** Requests that change points, by method and path below the collection. */
const WRITES: Readonly<Record<string, AffectKind>> = {
  'PUT points': 'upsert',
  'POST points/delete': 'points',
  'POST points/payload': 'set payload',
  'PUT points/payload': 'set payload',
  'POST points/payload/delete': 'delete payload',
  'POST points/payload/clear': 'points',
  'PUT points/vectors': 'update vectors',
  'POST points/vectors/delete': 'delete vectors',
  'POST points/batch': 'operations',
};

/** Requests other than reads and searches that change no point and no setting. */
const HARMLESS = [
  'POST points/count',
  'POST facet',
  'POST shards/*/points/count',
  'POST snapshots',
  'DELETE snapshots/*',
  'POST shards/*/snapshots',
  'DELETE shards/*/snapshots/*',
].map((route) => route.split(' '));
const READS: ReadonlySet<BodyKind> = new Set(['matrix', 'read']);
/** Outcomes by the status of a write's result. */
const RESULTS: ReadonlyMap<string, WriteOutcome> = new Map([
  ['acknowledged', 'logged'],
  ['completed', 'applied'],
]);

type Meaning =
  | { readonly kind: 'other' | 'aliases' | 'missing' }
  | { readonly kind: 'unnamed'; readonly touch: AffectKind }
  | { readonly kind: 'elsewhere'; readonly collection: string }
  | { readonly kind: 'write'; readonly touch: AffectKind; readonly followed: MirroredCollection }
  | { readonly kind: 'index'; readonly followed: MirroredFacts };

/**
 * Returns the reader of changes for REST. It refuses changes of mirrored collections that cannot be mirrored.
 */
export function restChanges(collections: readonly MirroredCollection[]): RestChanges {
  const begin: RestChanges['begin'] = (head, body, aliases) =>
    orRefusal(() => read(head, body, { collections, aliases }));
  return {
    isChange: ({ method, url }) => isRestChange(method, parsePath(url)),
    route: (head, aliases) => route(head, { collections, aliases }),
    begin,
    read: (head, body, aliases) => finished<RestChange>(begin(head, body, aliases)),
    isPermitted,
    outcomeOf,
  };
}

/** The collections and aliases by which the names of a request are resolved. */
interface Names {
  readonly collections: readonly MirroredCollection[];
  readonly aliases: Aliases;
}

function route(head: RestHead, names: Names): ChangeRoute<RestRequest, RestAnswer> {
  const path = parsePath(head.url);
  const meaning = orRefusal(() => meaningOf(head, path, names));
  switch (meaning.kind) {
    case 'other':
      return { kind: 'other' };
    case 'missing':
      return NO_ROUTE;
    case 'unnamed':
      return unnamed(head, path, meaning.touch);
    case 'aliases':
      return { kind: 'read', permission: { own: SETTINGS_PERMISSION, alias: null } };
    // The server checks permissions on these itself.
    case 'elsewhere':
    case 'index':
      return { kind: 'read', permission: null };
    case 'write': {
      const { method } = head;
      const body = permissionBody(meaning.touch);
      const own = { method, url: urlOf(meaning.followed.source, path), body };
      const named = namedBy(path, meaning.followed, (url) => ({ method, url, body }));
      return { kind: 'read', permission: { own, alias: named && named.request } };
    }
    case 'answer':
      return { kind: 'refused', refusal: meaning, permission: permissionToRead(head, path) };
  }
}

/** Returns the permission that a client needs to read why the proxy refuses its request. */
function permissionToRead({ method, url }: RestHead, { raw, segments }: RestPath): RestRequest {
  const below = segments.slice(2);
  const touch = WRITES[`${method} ${below.join('/')}`];
  if (touch !== undefined) return { method, url, body: permissionBody(touch) };
  if (below[0] !== 'index') return SETTINGS_PERMISSION;
  return { method: 'PUT', url: `/${raw.slice(0, 2).join('/')}/points`, body: permissionBody('upsert') };
}

/** Returns whether a request to a collection may change something. */
export function isRestChange(method: string, { segments }: RestPath): boolean {
  const [first, name = '', ...below] = segments;
  return first === 'collections' && name !== '' && !isReading(method, below);
}

/** @throws Refusal */
function meaningOf({ method }: RestHead, path: RestPath, { collections, aliases }: Names): Meaning {
  const { segments } = path;
  const [, name = '', ...below] = segments;
  if (!isRestChange(method, path)) return { kind: 'other' };
  if (method === 'POST' && segments.length === 2 && name === 'aliases') return { kind: 'aliases' };
  if (method === 'PUT' && below.length === 0) {
    refuseFollowedTarget(name, collections);
    // If the collection exists already, the server says so.
    return { kind: 'other' };
  }
  const followed = followedBy(name, collections, aliases);
  const touch = WRITES[`${method} ${below.join('/')}`];
  if (followed === null) {
    const collection = aliases.get(name);
    if (touch === undefined) return { kind: 'other' };
    return collection === undefined ? { kind: 'unnamed', touch } : { kind: 'elsewhere', collection };
  }
  if (touch !== undefined) return { kind: 'write', touch, followed };
  const isIndex = below[0] === 'index' && (method === 'PUT' ? below.length === 1 : below.length === 2);
  if (isIndex && (method === 'PUT' || method === 'DELETE')) return { kind: 'index', followed };
  if (actionFor(method, below).kind === 'missing') return { kind: 'missing' };
  throw refuseFollowed(`${method} /${segments.join('/')}`);
}

function isReading(method: string, below: readonly string[]): boolean {
  if (['GET', 'HEAD', 'OPTIONS'].includes(method)) return true;
  if (HARMLESS.some(([by, path = '']) => by === method && isPath(path.split('/'), below))) return true;
  const action = actionFor(method, below);
  return action.kind === 'rewrite' && (action.search || READS.has(action.body));
}

function read(head: RestHead, body: Uint8Array, names: Names): RestChange | PendingRewrite<RestChange> {
  const { method, url } = head;
  const path = parsePath(url);
  const meaning = meaningOf(head, path, names);
  switch (meaning.kind) {
    case 'other':
      return { kind: 'other' };
    case 'missing':
      return NO_ROUTE;
    case 'aliases':
      refuseServedAliases(
        scanJson(body),
        followedNames(names.collections, names.aliases),
        new ByteEdits(body),
      );
      return { kind: 'other' };
    case 'unnamed':
      return unnamed(head, path, meaning.touch);
    case 'elsewhere': {
      const { collection } = meaning;
      return {
        kind: 'elsewhere',
        request: { method, url: urlOf(collection, path), body },
        named: {
          alias: expectDefined(path.segments[1], 'the name in the address'),
          collection,
          request: { method, url, body },
        },
      };
    }
    case 'index': {
      const { followed } = meaning;
      return {
        kind: 'settings',
        collection: followed.name,
        source: { method, url: urlOf(followed.source, path), body },
        named: namedBy(path, followed, (at) => ({ method, url: at, body })),
        target: { method, url: urlOf(followed.target, path), body },
      };
    }
    case 'write': {
      const { followed, touch } = meaning;
      const [root, source] = [scanJson(body), new ByteEdits(body)];
      // If a payload overwrites another, the server ignores the key.
      if (method !== 'PUT') checkRestSetPayloads(touch, root, source);
      const change: RestChange = {
        kind: 'points',
        collection: followed.name,
        touched: restAffectedPoints(touch, root, source),
        ownName: followed.source,
        request: { method, url: urlOf(followed.source, path), body },
        named: namedBy(path, followed, (at) => ({ method, url: at, body })),
      };
      return followable<RestChange>(change, restWrittenVectors(touch, root, source), { followed, orRefusal });
    }
  }
}

function unnamed({ method, url }: RestHead, { segments }: RestPath, touch: AffectKind): Unnamed<RestRequest> {
  const permission = { method, url, body: permissionBody(touch) };
  return { kind: 'unnamed', name: expectDefined(segments[1], 'the name in the address'), permission };
}

/** Returns the address with a collection's own name. */
function urlOf(collection: string, { raw, search }: RestPath): string {
  return `/collections/${encodeURIComponent(collection)}/${raw.slice(2).join('/')}${search}`;
}

/** Returns the request by the client's name for the collection, if that is an alias; otherwise null. */
function namedBy(
  { raw, segments, search }: RestPath,
  { source }: MirroredFacts,
  requestAt: (url: string) => RestRequest,
): Named<RestRequest> | null {
  const alias = expectDefined(segments[1], 'the name in the address');
  if (alias === source) return null;
  const url = `/${raw.join('/')}${search}`;
  return { alias, collection: source, request: requestAt(url) };
}

/** Returns whether an answer grants permission: 200, or 400 whose error says that there is nothing to do. */
function isPermitted(status: number, body: Uint8Array): boolean {
  if (status !== 400) return status === 200;
  try {
    const error = entryOf(entryOf(scanJson(body), 'status'), 'error');
    return error?.kind === 'string' && isNothingToDo(stringOf(error, new ByteEdits(body)));
  } catch (thrown) {
    if (thrown instanceof JsonError || thrown instanceof Refusal) return false;
    throw thrown;
  }
}

/** Returns the outcome in `{"result": {"status": "completed"}}`, or in a list of such results. */
function outcomeOf(status: number, body: Uint8Array): WriteOutcome {
  if (status !== 200) return 'unknown';
  try {
    const source = new ByteEdits(body);
    const result = entryOf(scanJson(body), 'result');
    const results: readonly JsonNode[] = result?.kind === 'object' ? [result] : elementsOf(result, source);
    if (results.length === 0) return 'unknown';
    return outcomeOfAll(
      results.map((one) => {
        const text = entryOf(one, 'status');
        return text === undefined ? undefined : RESULTS.get(stringOf(text, source));
      }),
    );
  } catch (error) {
    if (error instanceof JsonError || error instanceof Refusal) return 'unknown';
    throw error;
  }
}
