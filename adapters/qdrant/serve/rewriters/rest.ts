import { expectDefined } from '../../../../src/core/errors.js';
import { contentCoding } from '../../../../src/core/content-coding.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import {
  type AnswerForm,
  type LookupAnswer,
  type PendingRewrite,
  type RestRewrite,
  type RestRewriter,
  type RestRoute,
} from '../../../../src/serve/protocol.js';
import { creationTrial } from '../settings/probe-creation-errors.js';
import { scanJson } from '../json/scan-body.js';
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
import { changingParts, rewriteBody, type BodyResult } from '../rest/rewrite-body.js';
import { checkDeletion, refuseServedAliases, STANDING } from '../rest/collection-info.js';
import { hideRestVector, scanShown } from '../rest/hide-in-conditions.js';
import { Lookups } from '../rest/lookup-from.js';
import { mayLookUp, rewriteOther } from '../rest/lookups-into-served.js';
import { isSearch, type ApiOperation } from '../operations.js';
import { readRestHead, type OperationHead } from '../rest/read-head.js';
import { rewritePoint } from '../rest/get-point.js';
import { JSON_SLOTS } from '../rest/stage.js';
import { VectorSlots } from '../vector-slots.js';
import {
  clientText,
  existing,
  isHiddenTarget,
  lookupText,
  Refusal,
  refuseTarget,
  findServed,
  treatDeletion,
  treatWithVector,
  refuseServedVector,
} from '../rules.js';

/** A request to a served collection. */
interface ServedRequest {
  readonly served: ServedCollection;
  /** The client's name of the collection. */
  readonly name: string;
  readonly head: OperationHead;
}

/** Returns the rewriter of REST requests to served collections and of their answers. */
export function restRewriter(collections: readonly ServedCollection[]): RestRewriter<OperationHead> {
  return {
    read: readRestHead,
    route: (head) => orRefusal(() => route(head, collections)),
    begin: (head, body, lookups) => orRefusal(() => rewrite({ head, body, lookups }, collections)),
    rewriteAnswer: (form, status, body) => rewriteRestAnswer(form, body, { status, collections }),
    isDeleted: isDeletedByRest,
    resultIds: restResultIds,
  };
}

function route(head: OperationHead, collections: readonly ServedCollection[]): RestRoute {
  const { url, headers, operation, addressed } = head;
  const { kind } = operation;
  if (collections.length === 0) return { kind: 'pass' };
  if (kind === 'list collections' || kind === 'list aliases') {
    const form = kind === 'list aliases' ? 'aliases' : 'list';
    return { kind: 'forward', url, answer: { form, collection: '', errorsOnly: false } };
  }
  if (kind === 'change aliases') return { kind: 'rewrite' };
  if (addressed === null) return { kind: 'pass' };
  if (kind === 'exists' && isHiddenTarget(addressed.name, collections)) return DOES_NOT_EXIST;
  const request = servedRequest(head, addressed.name, collections);
  if (request !== null) return routeServed(request);
  // A compressed body passes unchanged to the server.
  const isPlain = contentCoding(headers['content-encoding']) === null;
  const looksUp = isPlain && mayLookUp(operation);
  return { kind: looksUp ? 'rewrite' : 'pass' };
}

/**
 * Returns the request if its collection is served; otherwise null.
 * @throws Refusal for a target that clients know by another name
 */
function servedRequest(
  head: OperationHead,
  name: string,
  collections: readonly ServedCollection[],
): ServedRequest | null {
  const served = findServed(name, collections);
  if (served !== null) return { served, name, head };
  const isTaken = collections.some(({ target }) => target === name);
  if (head.operation.kind === 'create' && isTaken) throw existing(name);
  refuseTarget(name, collections);
  return null;
}

function routeServed(request: ServedRequest): RestRoute {
  const { served, name, head } = request;
  const { method, path, operation } = head;
  const parts = changingParts(operation);
  if (parts === 'all' || (parts === 'conditions' && served.layout === 'two-stage'))
    return { kind: 'rewrite' };
  switch (operation.kind) {
    case 'create':
      return { kind: 'rewrite' };
    case 'unknown':
      return NO_ROUTE;
    case 'restore':
      throw new Refusal(
        400,
        `Bad request: ${method} /${path.segments.join('/')} is not supported on a served collection: restoring a snapshot would put other vectors under the encoder in use`,
      );
    case 'vector':
      refuseServedVector(lastSegment(head), served);
      break;
    case 'point':
      treatWithVector(true, served);
      if (served.layout === 'two-stage') return { kind: 'rewrite' };
      break;
    case 'delete': {
      const treatment = treatDeletion(name, served);
      if (treatment === 'pass') return { kind: 'pass' };
      if (treatment === 'check') return { kind: 'rewrite' };
      break;
    }
    default:
      break;
  }
  return {
    kind: 'forward',
    url: targetUrl(request),
    answer: answerForm(FORMS[operation.kind] ?? 'errors', request),
  };
}

/** Returns the id or vector in an address that ends with one. */
function lastSegment({ path }: OperationHead): string {
  return expectDefined(path.segments.at(-1), 'the id or vector in the address');
}

/** The changes to answers besides clients' names in errors. */
const FORMS: Readonly<Partial<Record<ApiOperation['kind'], string>>> = {
  info: 'info',
  aliases: 'aliases',
  delete: 'deleted',
};

function answerForm(form: string, { served, name }: ServedRequest): AnswerForm | null {
  if (form !== 'errors') return { form, collection: name, errorsOnly: false };
  // Errors may contain the target's name and that of the hidden vector.
  const tells = served.names[0] !== served.target || served.layout === 'two-stage';
  return tells ? { form, collection: name, errorsOnly: true } : null;
}

function targetUrl(
  { served, name, head: { path } }: ServedRequest,
  below = path.raw.slice(2).join('/'),
): string {
  const collection =
    name === served.target
      ? expectDefined(path.raw[1], 'the name in the address')
      : encodeURIComponent(served.target);
  return `/collections/${collection}${below === '' ? '' : `/${below}`}${path.search}`;
}

interface WholeRequest {
  readonly head: OperationHead;
  readonly body: Uint8Array;
  readonly lookups: readonly LookupAnswer[] | undefined;
}

function rewrite(
  whole: WholeRequest,
  collections: readonly ServedCollection[],
): RestRewrite | PendingRewrite<RestRewrite> {
  const { head, body, lookups } = whole;
  const { path, operation, addressed } = head;
  // Of the requests to no collection, only changes of aliases are rewritten.
  if (addressed === null) {
    const names = collections.flatMap(({ names: known, target }) => [...known, target]);
    refuseServedAliases(scanJson(body), new Set(names), new ByteEdits(body));
    return unchanged(whole);
  }
  const request = servedRequest(head, addressed.name, collections);
  if (request === null) {
    const changed = mayLookUp(operation) ? rewriteOther(operation, body, collections) : body;
    if (changed === body) return unchanged(whole);
    const answer = { form: 'errors', collection: addressed.name, errorsOnly: true };
    return { ...unchanged({ ...whole, body: changed }), answer };
  }
  const { served } = request;
  const { kind } = operation;
  if (kind === 'point') return rewritePoint(lastSegment(head), { served, search: path.search }, lookups);
  if (kind === 'create') return createAgain(whole, request);
  const parts = changingParts(operation);
  if (parts === 'conditions') return forwarded(request, hideRestVector(operation, body, served));
  const failed = lookups?.find(({ status }) => status >= 400);
  if (failed !== undefined)
    return failedAnswer(failed, (text) =>
      kind === 'update' ? clientText(text, served) : lookupText(text, collections),
    );
  if (kind === 'delete') {
    if (lookups === undefined) return { kind: 'lookup', requests: STANDING };
    checkDeletion(request.name, served, lookups);
    return forwarded(request, body, 'deleted');
  }
  if (parts === 'none') throw new Refusal(400, 'Bad request: this request has no body to rewrite');
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
  const { served } = request;
  const { operation, path } = head;
  const { body: shown, root } = scanShown(operation, body, served);
  const source = new ByteEdits(shown);
  const slots = new VectorSlots(served, JSON_SLOTS);
  const asked = new Lookups(lookups, path.search);
  const rewriting = { served, collections, source, slots, lookups: asked };
  const result: BodyResult = rewriteBody(operation, root, rewriting);
  const requests = asked.requests();
  if (requests.length > 0) return { kind: 'lookup', requests };
  const below = result.asQuery ? result.path : path.raw.slice(2).join('/');
  const form = result.asQuery ? result.answer : operation.kind === 'update' ? 'updated' : 'errors';
  const search = isSearch(operation);
  // The object literal has no member behind a spread: V8 would create its hidden class anew for every search.
  const send = (): RestRewrite => ({
    kind: 'send',
    request: { method: head.method, url: targetUrl(request, below), body: source.apply() },
    answer: answerForm(form, request),
    projected: slots.count,
    search,
  });
  return slots.filled<RestRewrite>(search ? 'queries' : 'points', send, orRefusal);
}

function forwarded(request: ServedRequest, body: Uint8Array, form = 'errors'): RestRewrite {
  return {
    kind: 'send',
    request: { method: request.head.method, url: targetUrl(request), body },
    answer: answerForm(form, request),
    projected: 0,
    search: false,
  };
}

function unchanged({ head, body }: WholeRequest): RestRewrite & { readonly kind: 'send' } {
  const { method, url } = head;
  return { kind: 'send', request: { method, url, body }, answer: null, projected: 0, search: false };
}
