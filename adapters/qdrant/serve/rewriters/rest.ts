import { expectDefined } from '../../../../src/core/errors.js';
import { contentCoding } from '../../../../src/core/content-coding.js';
import type { Matrix } from '../../../../src/core/matrix.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import {
  finished,
  type Addressed,
  type AnswerForm,
  type LookupAnswer,
  type PendingRewrite,
  type RestAnswer,
  type RestHead,
  type RestRewrite,
  type RestRewriter,
  type RestRoute,
} from '../../../../src/serve/protocol.js';
import { creationTrial } from '../settings/probe-creation-errors.js';
import { scanJson } from '../json/scan.js';
import { ByteEdits } from '../json/byte-edits.js';
import {
  DOES_NOT_EXIST,
  failedAnswer,
  isDeletedByRest,
  NO_ROUTE,
  orRefusal,
  restResultIds,
  rewriteRestAnswer,
} from '../rest/answer.js';
import { rewriteBody, type BodyResult } from '../rest/body.js';
import { checkDeletion, refuseServedAliases, STANDING } from '../rest/collection.js';
import { hideRestVector, scanShown } from '../rest/hidden.js';
import { Lookups } from '../rest/lookup.js';
import { mayLookUp, rewriteOther } from '../rest/other.js';
import { isRestChange } from '../dual-write/rest-mutations.js';
import { parsePath, type RestPath } from '../rest/path.js';
import { rewritePoint } from '../rest/point.js';
import { VectorSlots } from '../rest/vector-slots.js';
import { actionFor, queryPath, type BodyKind, type RouteAction } from '../rest/routes.js';
import {
  clientText,
  existing,
  isHiddenTarget,
  lookupText,
  Refusal,
  refuseTarget,
  findServed,
  treatWithVector,
  unknownVector,
} from '../rules.js';

/** A request to a served collection. */
interface ServedRequest {
  readonly served: ServedCollection;
  /** The client's name of the collection. */
  readonly name: string;
  readonly path: RestPath;
  readonly action: RouteAction;
}

/** Returns the rewriter of REST requests to served collections and of their answers. */
export function restRewriter(collections: readonly ServedCollection[]): RestRewriter {
  const begin: RestRewriter['begin'] = (head, body, lookups) =>
    orRefusal(() => rewrite({ head, body, lookups }, collections));
  return {
    collectionOf,
    route: (head) => orRefusal(() => route(head, collections)),
    begin,
    rewrite: (head, body, lookups) => finished<RestRewrite>(begin(head, body, lookups)),
    rewriteAnswer: (form, status, body) => rewriteRestAnswer(form, body, { status, collections }),
    isDeleted: isDeletedByRest,
    resultIds: restResultIds,
  };
}

function collectionOf({ method, url }: RestHead): Addressed | null {
  const path = parsePath(url);
  const [first, name] = path.segments;
  if (first !== 'collections' || name === undefined || isAliasChange(method, path)) return null;
  return { name, changes: isRestChange(method, path) };
}

function route({ method, url, headers }: RestHead, collections: readonly ServedCollection[]): RestRoute {
  const path = parsePath(url);
  const [first, name] = path.segments;
  const depth = path.segments.length;
  if (collections.length === 0) return { kind: 'pass' };
  if (method === 'GET' && depth === 1 && (first === 'collections' || first === 'aliases')) {
    const form = first === 'collections' ? 'list' : 'aliases';
    return { kind: 'forward', url, answer: { form, collection: '', errorsOnly: false } };
  }
  if (first !== 'collections' || name === undefined) return { kind: 'pass' };
  if (isAliasChange(method, path)) return { kind: 'rewrite' };
  if (isExistence(method, path) && isHiddenTarget(name, collections)) return DOES_NOT_EXIST;
  const request = servedRequest(method, path, collections);
  if (request !== null) return routeServed(request, method);
  // A compressed body passes unchanged to the server.
  const isPlain = contentCoding(headers['content-encoding']) === null;
  const looksUp = isPlain && otherSearch(method, path) !== null;
  return { kind: looksUp ? 'rewrite' : 'pass' };
}

/**
 * Returns the kind of a search of a collection that is not served, if it may look up points in a served one.
 */
function otherSearch(method: string, { segments }: RestPath): BodyKind | null {
  const action = actionFor(method, segments.slice(2));
  return action.kind === 'rewrite' && mayLookUp(action.body) ? action.body : null;
}

function isAliasChange(method: string, { segments }: RestPath): boolean {
  return method === 'POST' && segments.length === 2 && segments[1] === 'aliases';
}

function isExistence(method: string, { segments }: RestPath): boolean {
  return method === 'GET' && segments.length === 3 && segments[2] === 'exists';
}

/**
 * Returns the served collection of a request; null for none.
 * @throws Refusal for a target that clients know by another name
 */
function servedRequest(
  method: string,
  path: RestPath,
  collections: readonly ServedCollection[],
): ServedRequest | null {
  const name = path.segments[1] ?? '';
  const served = findServed(name, collections);
  if (served !== null) return { served, name, path, action: actionFor(method, path.segments.slice(2)) };
  if (method === 'PUT' && path.segments.length === 2 && collections.some(({ target }) => target === name))
    throw existing(name);
  refuseTarget(name, collections);
  return null;
}

function routeServed({ served, name, path, action }: ServedRequest, method: string): RestRoute {
  switch (action.kind) {
    case 'rewrite':
      return { kind: 'rewrite' };
    case 'conditions':
      if (served.layout === 'two-stage') return { kind: 'rewrite' };
      break;
    case 'exists':
      return { kind: 'rewrite' };
    case 'refuse':
      throw new Refusal(
        400,
        `Bad request: ${method} /${path.segments.join('/')} is not supported on a served collection: ${action.why}`,
      );
    case 'missing':
      return NO_ROUTE;
    case 'vector':
      refuseServedVector(expectDefined(path.segments[3], 'the id or vector in the address'), served);
      break;
    case 'point':
      treatWithVector(true, served);
      if (served.layout === 'two-stage') return { kind: 'rewrite' };
      break;
    case 'forward':
      if (action.answer !== 'deleted') break;
      // By an alias, the server deletes nothing and says so.
      if (name !== served.names[0]) return { kind: 'pass' };
      if (name !== served.target) return { kind: 'rewrite' };
  }
  const form = action.kind === 'forward' ? action.answer : 'errors';
  return {
    kind: 'forward',
    url: targetUrl({ served, name, path }),
    answer: answerForm(form, { served, name }),
  };
}

/** Refuses to create or delete the vectors that the encoder uses. */
function refuseServedVector(vector: string, served: ServedCollection): void {
  if (vector === served.vector)
    throw new Refusal(
      400,
      `Bad request: vector "${vector}" is served in a reduced space and cannot be changed`,
    );
  if (vector === served.compact) throw unknownVector(vector);
}

function answerForm(
  form: string,
  { served, name }: { readonly served: ServedCollection; readonly name: string },
): AnswerForm | null {
  if (form !== 'errors') return { form, collection: name, errorsOnly: false };
  // Errors may contain the target's name and that of the hidden vector.
  const tells = served.names[0] !== served.target || served.layout === 'two-stage';
  return tells ? { form, collection: name, errorsOnly: true } : null;
}

function targetUrl(
  { served, name, path }: Pick<ServedRequest, 'served' | 'name' | 'path'>,
  below = path.raw.slice(2).join('/'),
): string {
  const collection =
    name === served.target
      ? expectDefined(path.raw[1], 'the name in the address')
      : encodeURIComponent(served.target);
  return `/collections/${collection}${below === '' ? '' : `/${below}`}${path.search}`;
}

interface WholeRequest {
  readonly head: RestHead;
  readonly body: Uint8Array;
  readonly lookups: readonly LookupAnswer[] | undefined;
}

function rewrite(
  whole: WholeRequest,
  collections: readonly ServedCollection[],
): RestRewrite | PendingRewrite<RestRewrite> {
  const { head, body, lookups } = whole;
  const path = parsePath(head.url);
  if (isAliasChange(head.method, path)) {
    const names = collections.flatMap(({ names: known, target }) => [...known, target]);
    refuseServedAliases(scanJson(body), new Set(names), new ByteEdits(body));
    return unchanged(whole);
  }
  const request = servedRequest(head.method, path, collections);
  if (request === null) {
    const other = otherSearch(head.method, path);
    const changed = other === null ? body : rewriteOther(other, body, collections);
    if (changed === body) return unchanged(whole);
    const answer = {
      form: 'errors',
      collection: expectDefined(path.segments[1], 'the name in the address'),
      errorsOnly: true,
    };
    return { ...unchanged({ ...whole, body: changed }), answer };
  }
  const { served, action } = request;
  if (action.kind === 'point')
    return rewritePoint(
      expectDefined(path.segments[3], 'the id or vector in the address'),
      { served, search: path.search },
      lookups,
    );
  if (action.kind === 'conditions')
    return forwarded(head.method, request, hideRestVector(action.body, body, served));
  if (action.kind === 'exists') return createAgain(whole, request);
  const failed = lookups?.find(({ status }) => status >= 400);
  const isUpdate = action.kind === 'rewrite' && action.body === 'patch';
  if (failed !== undefined)
    return failedAnswer(failed, (text) =>
      isUpdate ? clientText(text, served) : lookupText(text, collections),
    );
  if (action.kind === 'forward' && action.answer === 'deleted') {
    if (lookups === undefined) return { kind: 'lookup', requests: STANDING };
    checkDeletion(request.name, served, lookups);
    return forwarded(head.method, request, body, 'deleted');
  }
  if (action.kind !== 'rewrite') throw new Refusal(400, 'Bad request: this request has no body to rewrite');
  return rewriteServed(whole, request, collections);
}

/** Sends a creation that cannot succeed, to learn which of the settings the server would refuse. */
function createAgain({ head, body, lookups }: WholeRequest, request: ServedRequest): RestRewrite {
  const { served, name } = request;
  const trial = creationTrial(body);
  const answer = lookups?.[0];
  if (answer === undefined) {
    const tried = { method: head.method, url: targetUrl(request), body: trial.body };
    return { kind: 'lookup', requests: [tried] };
  }
  const errors: (string | null)[] = [];
  const failed = failedAnswer(answer, (text) => {
    const own = trial.errorOf(text);
    errors.push(own);
    return own === null ? text : clientText(own, served);
  });
  if (errors.includes(null)) throw existing(name);
  return failed;
}

function rewriteServed(
  { head, body, lookups }: WholeRequest,
  request: ServedRequest,
  collections: readonly ServedCollection[],
): RestRewrite | PendingRewrite<RestRewrite> {
  const { served, action, path } = request;
  if (action.kind !== 'rewrite') return unchanged({ head, body, lookups });
  const { body: shown, root } = scanShown(action.body, body, served);
  const source = new ByteEdits(shown);
  const projection = new VectorSlots(served);
  const asked = new Lookups(lookups, path.search);
  const rewriting = { served, collections, source, projection, lookups: asked };
  const result: BodyResult = rewriteBody(action.body, root, rewriting);
  const requests = asked.requests();
  if (requests.length > 0) return { kind: 'lookup', requests };
  const below = result.asQuery ? queryPath(action.body) : path.raw.slice(2).join('/');
  const form = result.asQuery ? result.answer : action.body === 'patch' ? 'updated' : 'errors';
  const send = (): RestRewrite => ({
    kind: 'send',
    request: { method: head.method, url: targetUrl(request, below), body: source.apply() },
    answer: answerForm(form, request),
    projected: projection.count,
    search: action.search,
  });
  if (projection.count === 0) return send();
  // The object literal has no member behind a spread: V8 would create its hidden class anew for every search.
  const finish = (y: Matrix): RestRewrite | RestAnswer =>
    orRefusal(() => {
      projection.fill(y);
      return send();
    });
  return {
    projector: served.projector,
    as: action.search ? 'queries' : 'points',
    x: projection.rows,
    finish,
  };
}

function forwarded(method: string, request: ServedRequest, body: Uint8Array, form = 'errors'): RestRewrite {
  return {
    kind: 'send',
    request: { method, url: targetUrl(request), body },
    answer: answerForm(form, request),
    projected: 0,
    search: false,
  };
}

function unchanged({ head, body }: WholeRequest): RestRewrite & { readonly kind: 'send' } {
  const { method, url } = head;
  return { kind: 'send', request: { method, url, body }, answer: null, projected: 0, search: false };
}
