import { expectDefined } from '../../../../src/core/errors.js';
import type { MirroredCollection, WriteOutcome } from '../../../../src/store/write-guard.js';
import {
  finished,
  type PendingRewrite,
  type RestAnswer,
  type RestChange,
  type RestChanges,
  type RestHead,
  type RestRequest,
} from '../../../../src/serve/protocol.js';
import { changeOf, routeOf, type ChangeRequest, type Names, type ChangeTransport } from './changes.js';
import { outcomeOfAll } from './followable.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan.js';
import { ByteEdits } from '../json/byte-edits.js';
import { errorAnswer, NO_ROUTE, orRefusal } from '../rest/answer.js';
import { refuseServedAliases } from '../rest/collection.js';
import { elementsOf, entryOf, stringOf } from '../rest/fields.js';
import { isNothingToDo, permissionBody, SETTINGS_PERMISSION } from './permission.js';
import { parsePath } from '../rest/path.js';
import { restOperation } from '../operations.js';
import { restWriteParts } from './rest-writes.js';
import { followedNames } from './mirrored-names.js';
import { Refusal } from '../rules.js';

/** Outcomes by the status of a write's result. */
const RESULTS: ReadonlyMap<string, WriteOutcome> = new Map([
  ['acknowledged', 'logged'],
  ['completed', 'applied'],
]);

const REST: ChangeTransport<RestRequest, RestAnswer> = {
  answer: ({ status, message }) => errorAnswer(status, message),
  unknown: NO_ROUTE,
  settings: SETTINGS_PERMISSION,
};

/**
 * Returns the reader of changes for REST. It refuses changes of mirrored collections that cannot be mirrored.
 */
export function restChanges(collections: readonly MirroredCollection[]): RestChanges {
  const begin: RestChanges['begin'] = (head, body, aliases) =>
    orRefusal(() => read(head, body, { collections, aliases }));
  return {
    isChange: ({ method, url }) => {
      const { segments } = parsePath(url);
      return isOnCollection(segments) && restOperation(method, segments).changes;
    },
    route: (head, aliases) => {
      const request = changeRequest(head, new Uint8Array(0));
      if (request?.operation.kind === 'change aliases')
        return { kind: 'read', permission: { own: SETTINGS_PERMISSION, alias: null } };
      return request === null ? { kind: 'other' } : routeOf(request, { collections, aliases }, REST);
    },
    begin,
    read: (head, body, aliases) => finished<RestChange>(begin(head, body, aliases)),
    isPermitted,
    outcomeOf,
  };
}

function isOnCollection([first, name]: readonly string[]): boolean {
  return first === 'collections' && name !== undefined;
}

/** Returns a request to a collection; null for any other. */
function changeRequest({ method, url }: RestHead, body: Uint8Array): ChangeRequest<RestRequest> | null {
  const { segments, raw, search } = parsePath(url);
  if (!isOnCollection(segments)) return null;
  const name = expectDefined(segments[1], 'the name in the address');
  const urlOf = (collection: string, below: string): string => {
    const segment = collection === name ? String(raw[1]) : encodeURIComponent(collection);
    return `/collections/${segment}/${below}${search}`;
  };
  return {
    operation: restOperation(method, segments),
    name,
    text: `${method} /${segments.join('/')}`,
    by: (collection) => ({ method, url: urlOf(collection, raw.slice(2).join('/')), body }),
    permission: (write, collection) => {
      const [by = method, below = ''] = String(write.rest).split(' ');
      return { method: by, url: urlOf(collection, below), body: permissionBody(write.name) };
    },
  };
}

/** @throws Refusal */
function read(head: RestHead, body: Uint8Array, names: Names): RestChange | PendingRewrite<RestChange> {
  const request = changeRequest(head, body);
  if (request === null) return { kind: 'other' };
  if (request.operation.kind === 'change aliases') {
    const followed = followedNames(names.collections, names.aliases);
    refuseServedAliases(scanJson(body), followed, new ByteEdits(body));
    return { kind: 'other' };
  }
  return changeOf(request, names, REST, ({ name }) => restWriteParts(name, body));
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
