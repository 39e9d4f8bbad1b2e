import type { ServedCollection } from '../../../src/core/served-collection.js';
import { JsonError, scanJson, type JsonNode } from './json-scan.js';
import { asciiJson, Splices } from './json-splice.js';
import { stringOf } from './rest-fields.js';
import type { BodyKind } from './rest-routes.js';
import { absentVector } from './rules.js';

/** Bodies of points hold text of any kind: without this word they hold no condition. */
const CONDITIONS_UNDER: Readonly<Partial<Record<BodyKind, string>>> = {
  upsert: 'update_filter',
  'update vectors': 'update_filter',
  operations: 'filter',
};
/** Where a condition may be given as an array of its one value. */
const CONDITION_LISTS: ReadonlySet<string> = new Set([
  ...['should', 'must', 'must_not', 'conditions', 'min_should', 'filter', 'update_filter', 'nested'],
  ...['sum', 'mult'],
]);
const BACKSLASH = 0x5c;
/** Only validated by the scan, so scanned by itself. */
const FILTERS: ReadonlySet<string> = new Set(['filter', 'update_filter']);

/** A body, and what the scan found in it. */
export interface Scanned {
  readonly body: Uint8Array;
  readonly root: JsonNode;
}

/**
 * A body in which conditions on the hidden vector (`has_vector`) name one that no point has: to clients there is no
 * such vector.
 * @throws JsonError
 */
export function scanShown(kind: BodyKind, body: Uint8Array, served: ServedCollection): Scanned {
  const scanned = { body, root: scanJson(body) };
  return mayName(kind, body, served) ? hiddenIn(scanned, served) : scanned;
}

/** The same for a body that is sent on as it is but for its conditions; what is no JSON stays. */
export function hideVector(body: Uint8Array, served: ServedCollection): Uint8Array {
  if (!mayName(null, body, served)) return body;
  try {
    return hiddenIn({ body, root: scanJson(body) }, served).body;
  } catch (error) {
    if (error instanceof JsonError) return body;
    throw error;
  }
}

function hiddenIn(scanned: Scanned, served: ServedCollection): Scanned {
  const { body, root } = scanned;
  const source = new Splices(body);
  const absent = asciiJson(absentVector(served));
  const isHidden = (node: JsonNode, at: number): boolean =>
    node.kind === 'string' && stringOf(moved(node, at), source) === served.compact;
  const hide = (node: JsonNode, at: number): void => source.replace(moved(node, at), absent);
  /** @param key the nearest above, `at` where the scanned part begins */
  const walk = (node: JsonNode, key: string, at: number): void => {
    if (node.kind === 'array') {
      const [first] = node.items;
      if (first !== undefined && node.items.length === 1 && CONDITION_LISTS.has(key) && isHidden(first, at))
        hide(first, at);
      else for (const item of node.items) walk(item, key, at);
    } else if (node.kind === 'object')
      for (const { key: name, value } of node.entries) {
        if (name === 'has_vector' && isHidden(value, at)) hide(value, at);
        else if (value.kind !== 'skipped') walk(value, name, at);
        else if (FILTERS.has(name)) {
          const part = body.subarray(at + value.start, at + value.end);
          walk(scanJson(part), name, at + value.start);
        }
      }
  };
  walk(root, '', 0);
  if (source.count === 0) return scanned;
  const shown = source.apply();
  return { body: shown, root: scanJson(shown) };
}

/** Hardly any body does: the others are not looked into. */
function mayName(kind: BodyKind | null, body: Uint8Array, { layout, compact }: ServedCollection): boolean {
  if (layout !== 'two-stage') return false;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  // A name, or a key, with escapes could be any.
  if (bytes.includes(BACKSLASH)) return true;
  const word = kind === null ? undefined : CONDITIONS_UNDER[kind];
  return (word === undefined || bytes.includes(word)) && bytes.includes(JSON.stringify(compact));
}

function moved<Node extends JsonNode>(node: Node, by: number): Node {
  return { ...node, start: node.start + by, end: node.end + by };
}
