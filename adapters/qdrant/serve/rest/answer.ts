import type { ServedCollection } from '../../../../src/store/served.js';
import type { AnswerForm, LookupAnswer, RestAnswer } from '../../../../src/serve/protocol.js';
import { withClientVectors } from '../hidden-vector.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { rewriteAliases, rewriteInfo, rewriteList } from './collection-info.js';
import { elementsOf, entryOf, stringOf } from './structures.js';
import { clientText, Refusal, findServed } from '../rules.js';

/** The server's answer for an unknown route, which has no body. */
export const NO_ROUTE: RestAnswer = { kind: 'answer', status: 404, contentType: '', body: '' };

/** The server's answer to the question whether a collection exists, if it does not. */
export const DOES_NOT_EXIST: RestAnswer = {
  kind: 'answer',
  status: 200,
  contentType: 'application/json',
  body: '{"result":{"exists":false},"status":"ok","time":0.0}',
};

/** Returns an error in the server's shape. */
export function errorAnswer(status: number, error: string): RestAnswer {
  return {
    kind: 'answer',
    status,
    contentType: 'application/json',
    body: `{"status":{"error":${JSON.stringify(error)}},"time":0.0}`,
  };
}

/** Returns a failed lookup as the answer to the request that needed it. */
export function failedAnswer(
  { status, contentType, retryAfter, body }: LookupAnswer,
  change: (text: string) => string,
): RestAnswer {
  const text = Buffer.from(withErrorText(body, change)).toString('utf8');
  return { kind: 'answer', status, contentType, retryAfter, body: text };
}

/**
 * Returns the decision, or the answer for a Refusal or a body that is no JSON. Other errors are bugs and are
 * thrown on.
 */
export function orRefusal<T>(decide: () => T): T | RestAnswer {
  try {
    return decide();
  } catch (error) {
    if (error instanceof Refusal) return errorAnswer(error.status, error.message);
    if (error instanceof JsonError) return errorAnswer(400, `Format error in JSON body: ${error.message}`);
    throw error;
  }
}

/**
 * Returns an answer rewritten for the client. An answer that is no JSON of the expected shape stays
 * unchanged.
 */
export function rewriteRestAnswer(
  { form, collection }: AnswerForm,
  body: Uint8Array,
  { status, collections }: { readonly status: number; readonly collections: readonly ServedCollection[] },
): Uint8Array {
  const served = findServed(collection, collections);
  if (status >= 400) {
    if (served === null) return withErrorText(body, (text) => withClientVectors(text, collections));
    return withErrorText(body, (text) => clientText(text, served));
  }
  const source = new ByteEdits(body);
  try {
    const root = scanJson(body);
    if (form === 'search') unwrapPoints(entryOf(root, 'result'), source);
    else if (form === 'search batch')
      for (const item of elementsOf(entryOf(root, 'result'), source)) unwrapPoints(item, source);
    else if (form === 'list') rewriteList(root, collections, source);
    else if (form === 'aliases') rewriteAliases(root, collections, source);
    else if (form === 'info' && served !== null) rewriteInfo(root, served, source);
  } catch (error) {
    if (error instanceof JsonError || error instanceof Refusal) return body;
    throw error;
  }
  return source.apply();
}

/** Returns a server's error with changed text. An answer of another shape stays unchanged. */
function withErrorText(body: Uint8Array, change: (text: string) => string): Uint8Array {
  const source = new ByteEdits(body);
  try {
    const error = entryOf(entryOf(scanJson(body), 'status'), 'error');
    if (error?.kind !== 'string') return body;
    const text = stringOf(error, source);
    const changed = change(text);
    if (changed === text) return body;
    source.replace(error, asciiJson(changed));
    return source.apply();
  } catch (thrown) {
    if (thrown instanceof JsonError || thrown instanceof Refusal) return body;
    throw thrown;
  }
}

/** Changes `{"points":[...]}` to `[...]`, the form of the older interfaces. */
function unwrapPoints(result: JsonNode | undefined, source: ByteEdits): void {
  const points = entryOf(result, 'points');
  if (result === undefined || points === undefined) return;
  source.replace({ start: result.start, end: points.start });
  source.replace({ start: points.end, end: result.end });
}

/**
 * Returns whether the answer is `{"result": true}`. By an alias, the server deletes nothing and answers
 * false.
 */
export function isDeletedByRest(body: Uint8Array): boolean {
  try {
    return entryOf(scanJson(body), 'result')?.kind === 'true';
  } catch (error) {
    if (error instanceof JsonError) return false;
    throw error;
  }
}

/** Returns result ids in order, one list for each search of the request. Groups are concatenated. */
export function restResultIds(body: Uint8Array): readonly (readonly string[])[] {
  const source = new ByteEdits(body);
  try {
    const result = entryOf(scanJson(body), 'result');
    if (result?.kind !== 'array') return result === undefined ? [] : [idsIn(result, source)];
    const isBatch = result.items.some(
      (item) => item.kind === 'array' || entryOf(item, 'points') !== undefined,
    );
    return isBatch ? result.items.map((item) => idsIn(item, source)) : [idsIn(result, source)];
  } catch (error) {
    if (error instanceof JsonError || error instanceof Refusal) return [];
    throw error;
  }
}

function idsIn(node: JsonNode, source: ByteEdits): string[] {
  const groups = entryOf(node, 'groups');
  if (groups !== undefined)
    return elementsOf(groups, source).flatMap((group) => idsIn(entryOf(group, 'hits') ?? group, source));
  const points = node.kind === 'object' ? entryOf(node, 'points') : node;
  return elementsOf(points, source).flatMap((point) => {
    const id = entryOf(point, 'id');
    if (id === undefined) return [];
    return [id.kind === 'string' ? stringOf(id, source) : source.read(id)];
  });
}
