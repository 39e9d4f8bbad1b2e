import { scanJson, type JsonNode, type Span } from '../json/scan-body.js';
import type { ApiOperation, SingleWrite } from '../operations.js';

/**
 * Finds the vector names in the conditions of a body (`has_vector`). The server takes most structures as an
 * object or as an array of their fields' values. Each structure is therefore read by its definition, since a
 * body may have no keys.
 */

interface Walk {
  readonly body: Uint8Array;
  /** Offset in the body of the scanned part that holds the visited node. */
  readonly base: number;
  /** Names by their offset, since a part that is read in two ways is found twice. */
  readonly names: Map<number, Span>;
}

type Visit = (node: JsonNode, walk: Walk) => void;

/** Returns the strings that name a vector in a condition, as spans of the body. */
export function vectorNames(
  operation: ApiOperation,
  { body, root }: { readonly body: Uint8Array; readonly root: JsonNode },
): readonly Span[] {
  const names = new Map<number, Span>();
  visit(visitOf(operation), root, { body, base: 0, names });
  return [...names.values()];
}

/** Visits a node. If the first scan skipped it, it is scanned now. */
function visit(by: Visit, node: JsonNode, walk: Walk): void {
  if (node.kind !== 'skipped') {
    by(node, walk);
    return;
  }
  const base = walk.base + node.start;
  by(scanJson(walk.body.subarray(base, walk.base + node.end)), { ...walk, base });
}

const nothing: Visit = () => undefined;

/**
 * Returns the visit of a structure, given as an object or as an array of its fields' values in this order.
 */
function structure(fields: readonly (readonly [string, Visit])[]): Visit {
  const byKey = new Map(fields);
  return (node, walk) => {
    if (node.kind === 'object')
      for (const { key, value } of node.entries) visit(byKey.get(key) ?? nothing, value, walk);
    else if (node.kind === 'array')
      node.items.forEach((item, i) => visit(fields[i]?.[1] ?? nothing, item, walk));
  };
}

/** Returns the visit of a list, or of a single item without a list. */
function oneOrMany(by: Visit): Visit {
  return (node, walk) => {
    if (node.kind === 'array') for (const item of node.items) visit(by, item, walk);
    else visit(by, node, walk);
  };
}

const CONDITIONS = oneOrMany((node, walk) => visitCondition(node, walk));
const MIN_SHOULD = structure([
  ['conditions', CONDITIONS],
  ['min_count', nothing],
]);
const FILTER_LENGTH = 4;
const FILTER = structure([
  ['should', CONDITIONS],
  ['min_should', MIN_SHOULD],
  ['must', CONDITIONS],
  ['must_not', CONDITIONS],
]);
const NESTED = structure([
  ['key', nothing],
  ['filter', FILTER],
]);

/**
 * Visits a condition. In an array of one value, a string names a vector, and a list of one string is a
 * field's key.
 */
function visitCondition(node: JsonNode, walk: Walk): void {
  if (node.kind === 'object') {
    for (const { key, value } of node.entries) {
      if (key === 'has_vector') addName(value, walk);
      else if (key === 'nested') visit(NESTED, value, walk);
    }
    FILTER(node, walk);
  } else if (node.kind === 'array') {
    const [first] = node.items;
    if (node.items.length === FILTER_LENGTH) FILTER(node, walk);
    if (node.items.length !== 1 || first === undefined) return;
    addName(first, walk);
    visit(NESTED, first, walk);
  }
}

function addName(node: JsonNode, { base, names }: Walk): void {
  if (node.kind === 'string')
    names.set(base + node.start, { start: base + node.start, end: base + node.end });
}

const EXPRESSIONS = oneOrMany((node, walk) => visitExpression(node, walk));
/** Keys of operands in operators with several operands. */
const OPERANDS = ['left', 'right', 'base', 'exponent', 'x', 'target'];
const OPERATORS = ['mult', 'sum', 'neg', 'abs', 'sqrt', 'exp', 'log10', 'ln', 'div', 'pow'];
const DECAYS = ['lin_decay', 'exp_decay', 'gauss_decay'];
/** Operators with one expression as operand: an array of one string is then a condition, not a list. */
const OF_ONE: ReadonlySet<string> = new Set(['neg', 'abs', 'sqrt', 'exp', 'log10', 'ln']);
const OPERATOR_KEYS: ReadonlySet<string> = new Set([...OPERATORS, ...DECAYS]);

/** Visits a part of a formula, where a condition counts as a number. */
function visitExpression(node: JsonNode, walk: Walk): void {
  visitCondition(node, walk);
  if (node.kind === 'object') {
    for (const { key, value } of node.entries)
      if (OF_ONE.has(key)) visit(visitExpression, value, walk);
      else if (OPERATOR_KEYS.has(key)) visit(visitOperands, value, walk);
  } else if (node.kind === 'array' && node.items.length === 1) {
    const [first] = node.items;
    if (first?.kind === 'object') {
      visitOperands(first, walk);
      visitExpression(first, walk);
    } else if (first?.kind === 'array' && !isKey(first.items)) {
      if (isFilter(first.items)) FILTER(first, walk);
      else visitOperands(first, walk);
    }
  }
}

function visitOperands(node: JsonNode, walk: Walk): void {
  if (node.kind === 'object') {
    for (const { key, value } of node.entries)
      if (OPERANDS.includes(key)) visit(visitExpression, value, walk);
  } else EXPRESSIONS(node, walk);
}

/** Returns whether the items are the key in a condition for empty fields, as an array: `["key"]`. */
function isKey(items: readonly JsonNode[]): boolean {
  return items.length === 1 && items[0]?.kind === 'string';
}

/**
 * Returns whether items are a filter's fields. Four operands hold no null, and no `min_should` in second
 * place.
 */
function isFilter(items: readonly JsonNode[]): boolean {
  const [, minShould] = items;
  return (
    items.length === FILTER_LENGTH &&
    items.every(
      ({ kind }) => kind === 'null' || kind === 'array' || kind === 'object' || kind === 'numbers',
    ) &&
    (minShould?.kind === 'null' ||
      (minShould?.kind === 'array' && minShould.items.length === 2) ||
      (minShould?.kind === 'object' && minShould.entries.some(({ key }) => key === 'min_count')))
  );
}

/**
 * Visits a query. Only a formula has conditions: `{"formula": ...}` or an array that begins with the formula.
 */
function visitQuery(node: JsonNode, walk: Walk): void {
  if (node.kind === 'object') {
    for (const { key, value } of node.entries) if (key === 'formula') visit(visitExpression, value, walk);
  } else if (node.kind === 'array') {
    const [formula] = node.items;
    if (formula !== undefined && node.items.length <= 2) visit(visitExpression, formula, walk);
  }
}

/** The search parameters, whose `idf` may be the word `global`, or the points that count. */
const PARAMS = structure([
  ['hnsw_ef', nothing],
  ['exact', nothing],
  ['quantization', nothing],
  ['indexed_only', nothing],
  ['acorn', nothing],
  ['idf', structure([['corpus', FILTER]])],
]);
const PREFETCHES = oneOrMany((node, walk) => PREFETCH(node, walk));
const PREFETCH = structure([
  ['prefetch', PREFETCHES],
  ['query', visitQuery],
  ['using', nothing],
  ['filter', FILTER],
  ['params', PARAMS],
]);
const FILTERED = structure([['filter', FILTER]]);
const SEARCHED = structure([
  ['filter', FILTER],
  ['params', PARAMS],
]);
const UPSERT = structure([
  ['points', nothing],
  ['shard_key', nothing],
  ['update_filter', FILTER],
]);
const SET_PAYLOAD = structure([
  ['payload', nothing],
  ['points', nothing],
  ['filter', FILTER],
]);
const DELETE_PAYLOAD = structure([
  ['keys', nothing],
  ['points', nothing],
  ['filter', FILTER],
]);
const DELETE_VECTORS = structure([
  ['points', nothing],
  ['filter', FILTER],
]);
const WRITES: Readonly<Record<SingleWrite, Visit>> = {
  upsert: UPSERT,
  delete: FILTERED,
  set_payload: SET_PAYLOAD,
  overwrite_payload: SET_PAYLOAD,
  delete_payload: DELETE_PAYLOAD,
  clear_payload: FILTERED,
  update_vectors: UPSERT,
  delete_vectors: DELETE_VECTORS,
};
const BATCH = listIn('operations', structure(Object.entries(WRITES)));
/** A copy of points to another shard. Of its values, only the filter is neither string nor number. */
const REPLICATE = structure([
  ['filter', FILTER],
  ['from_shard_key', FILTER],
  ['to_shard_key', FILTER],
]);

const CLUSTER = structure([['replicate_points', REPLICATE]]);

function listIn(key: string, by: Visit): Visit {
  return structure([[key, oneOrMany(by)]]);
}

function visitOf(operation: ApiOperation): Visit {
  switch (operation.kind) {
    case 'query':
    case 'legacy': {
      const search = operation.kind === 'query' ? PREFETCH : SEARCHED;
      return operation.form === 'batch' ? listIn('searches', search) : search;
    }
    case 'write':
      return operation.name === 'batch' ? BATCH : WRITES[operation.name];
    case 'cluster':
      return CLUSTER;
    case 'update':
      return nothing;
    default:
      return FILTERED;
  }
}
