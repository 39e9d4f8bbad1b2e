import type { MirroredCollection, WriteOutcome } from '../../../../src/store/write-interceptor.js';
import {
  type PendingRewrite,
  type RestAnswer,
  type RestChange,
  type RestChanges,
  type RestRequest,
} from '../../../../src/serve/protocol.js';
import { changeOf, routeOf, type ChangeRequest, type Names, type ChangeTransport } from './find-changes.js';
import { outcomeOfAll } from './check-written-vectors.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan-body.js';
import { ByteEdits } from '../json/byte-edits.js';
import { errorAnswer, NO_ROUTE, orRefusal } from '../rest/answer.js';
import { refuseServedAliases } from '../rest/collection-info.js';
import { elementsOf, entryOf, stringOf } from '../rest/structures.js';
import { isNothingToDo, permissionBody, SETTINGS_PERMISSION } from './permission-requests.js';
import type { OperationHead } from '../rest/read-head.js';
import { restWriteParts } from './points-changed-by-rest-write.js';
import { mirroredNames } from './mirrored-names.js';
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
export function restChanges(collections: readonly MirroredCollection[]): RestChanges<OperationHead> {
  return {
    route: (head, aliases) => {
      if (!head.changes) return { kind: 'other' };
      const request = changeRequest(head, new Uint8Array(0));
      return request === null
        ? { kind: 'read', permission: { own: SETTINGS_PERMISSION, alias: null } }
        : routeOf(request, { collections, aliases }, REST);
    },
    begin: (head, body, aliases) => orRefusal(() => read(head, body, { collections, aliases })),
    isPermitted,
    outcomeOf,
  };
}

/** Returns a request to a collection; null for a change of aliases. */
function changeRequest(
  { method, path, operation, addressed }: OperationHead,
  body: Uint8Array,
): ChangeRequest<RestRequest> | null {
  if (addressed === null) return null;
  const { name } = addressed;
  const { segments, raw, search } = path;
  const urlOf = (collection: string, below: string): string => {
    const segment = collection === name ? String(raw[1]) : encodeURIComponent(collection);
    return `/collections/${segment}/${below}${search}`;
  };
  return {
    operation,
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
function read(head: OperationHead, body: Uint8Array, names: Names): RestChange | PendingRewrite<RestChange> {
  if (!head.changes) return { kind: 'other' };
  const request = changeRequest(head, body);
  if (request !== null) return changeOf(request, names, REST, ({ name }) => restWriteParts(name, body));
  const mirrored = mirroredNames(names.collections, names.aliases);
  refuseServedAliases(scanJson(body), mirrored, new ByteEdits(body));
  return { kind: 'other' };
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
