import type { ServedCollection } from '../../../../src/store/served.js';
import type { JsonNode, Span } from '../json/scan-body.js';
import type { ByteEdits, Chunk } from '../json/byte-edits.js';
import {
  badBody,
  countOf,
  elementsOf,
  fieldsOf,
  oneOrMany,
  QUERY_KINDS,
  STRUCTURES,
  valueOf,
  type JsonFields,
} from './structures.js';
import { inferenceRefused, notDense, notSingle, unknownForm, type Refusal } from '../rules.js';
import type { Diversity } from '../stage-rules.js';

/** The parts of a query that the proxy has to know. */
export type QueryForm =
  | { readonly kind: 'none' | 'other' | 'fusion' | 'unknown' }
  | {
      readonly kind: 'similarity';
      /** Every value that is a vector or an id. */
      readonly inputs: readonly JsonNode[];
      /** Whether the input is what is searched for, and not an example of it. */
      readonly isNearest: boolean;
      /** Writes the query for a prefetch (for example without diversity) from copies of its parts. */
      readonly write: (copy: (part: Span) => readonly Chunk[]) => readonly Chunk[];
      /** The settings of diversity; null for a query without it. */
      readonly diversity: Diversity | null;
    };

/** A vector or the id of one, in the reduced space. */
export type VectorInput = { readonly kind: 'dense'; readonly values: Float32Array } | { readonly kind: 'id' };

const VECTOR_KEYS: ReadonlySet<string> = new Set(['indices', 'values', 'model', 'text', 'image', 'object']);
const SIMILARITIES = ['nearest', 'recommend', 'discover', 'context', 'relevance_feedback'] as const;
const FUSIONS = ['fusion', 'rrf'];
const OTHERS = ['order_by', ...FUSIONS, 'formula', 'sample'];

/** @throws Refusal for fields given twice or of a wrong type */
export function readRestQuery(node: JsonNode | undefined, source: ByteEdits): QueryForm {
  if (node === undefined) return { kind: 'none' };
  if (node.kind === 'array') {
    const [input, mmr, ...more] = node.items;
    // An array of both is a search with diversity, or without it if the second is null.
    if (input !== undefined && more.length === 0 && (mmr?.kind === 'object' || mmr?.kind === 'null'))
      return nearestQuery(input, mmr.kind === 'null' ? undefined : mmr, source);
  }
  if (node.kind !== 'object') return nearest(node);
  const kinds = fieldsOf(node, QUERY_KINDS, source);
  const similarities = SIMILARITIES.filter((name) => kinds.has(name));
  const others = OTHERS.filter((name) => kinds.has(name));
  const isVector = node.entries.some(({ key }) => VECTOR_KEYS.has(key));
  // The server takes the first kind that fits. The ignored kinds could still hold a vector.
  if (similarities.length + others.length + Number(isVector) !== 1) return { kind: 'unknown' };
  if (isVector) return nearest(node);
  const [name] = similarities;
  if (name === undefined) return { kind: FUSIONS.some((kind) => kinds.has(kind)) ? 'fusion' : 'other' };
  if (name !== 'nearest') return similarity(INPUTS[name](kinds, source), node);
  return nearestQuery(kinds.get('nearest')!.value, valueOf(kinds, 'mmr'), source);
}

/** Returns a nearest search. With diversity, its prefetch needs only the nearest points. */
function nearestQuery(input: JsonNode, mmr: JsonNode | undefined, source: ByteEdits): QueryForm {
  if (mmr === undefined) return nearest(input);
  const fields = fieldsOf(mmr, STRUCTURES.mmr, source);
  const number = (name: string): number | null => {
    const value = valueOf(fields, name);
    if (value === undefined) return null;
    return value.kind === 'number' ? Number(source.read(value)) : Number.NaN;
  };
  const candidates = countOf(fields, 'candidates_limit', source) ?? number('candidates_limit');
  const diversity: Diversity = {
    diversity: number('diversity'),
    candidatesLimit: candidates === null || Number.isInteger(candidates) ? candidates : Number.NaN,
  };
  return { ...nearest(input), diversity };
}

function nearest(input: JsonNode): QueryForm & { readonly kind: 'similarity' } {
  return { ...similarity([input], input), isNearest: true };
}

function similarity(
  inputs: readonly JsonNode[],
  core: JsonNode,
): QueryForm & { readonly kind: 'similarity' } {
  return { kind: 'similarity', inputs, isNearest: false, diversity: null, write: (copy) => copy(core) };
}

const INPUTS: Readonly<
  Record<
    Exclude<(typeof SIMILARITIES)[number], 'nearest'>,
    (kinds: JsonFields, source: ByteEdits) => JsonNode[]
  >
> = {
  recommend: (kinds, source) => examplesOf(kinds.get('recommend')!.value, source),
  context: (kinds, source) => pairsOf(valueOf(kinds, 'context'), source),
  discover: (kinds, source) => {
    const fields = fieldsOf(kinds.get('discover')!.value, STRUCTURES.discoverInput, source);
    return [required(fields, 'target'), ...pairsOf(valueOf(fields, 'context'), source)];
  },
  relevance_feedback: (kinds, source) => {
    const fields = fieldsOf(kinds.get('relevance_feedback')!.value, STRUCTURES.feedbackInput, source);
    const items = elementsOf(valueOf(fields, 'feedback'), source);
    const examples = items.map((item) => fieldsOf(item, STRUCTURES.feedbackItem, source));
    return [required(fields, 'target'), ...examples.map((item) => required(item, 'example'))];
  },
};

function examplesOf(node: JsonNode, source: ByteEdits): JsonNode[] {
  const fields = fieldsOf(node, STRUCTURES.recommendInput, source);
  return ['positive', 'negative'].flatMap((name) => elementsOf(valueOf(fields, name), source));
}

/** Returns the vectors and ids of one or more context pairs. */
export function pairsOf(node: JsonNode | undefined, source: ByteEdits): JsonNode[] {
  return oneOrMany(node, source).flatMap((pair) => {
    const fields = fieldsOf(pair, STRUCTURES.contextPair, source);
    return [required(fields, 'positive'), required(fields, 'negative')];
  });
}

/** @throws Refusal */
function required(fields: JsonFields, name: string): JsonNode {
  const value = fields.get(name)?.value;
  if (value === undefined) throw badBody(`missing field \`${name}\``);
  return value;
}

/**
 * Returns a vector or id to compare with reduced vectors.
 * @throws Refusal for every other form
 */
export function readInput(node: JsonNode, served: ServedCollection, source: ByteEdits): VectorInput {
  switch (node.kind) {
    case 'numbers':
      return { kind: 'dense', values: node.values };
    case 'string':
      return { kind: 'id' };
    case 'number':
      if (/^\d+$/.test(source.read(node))) return { kind: 'id' };
      throw badBody('Expected some form of vector, id, or a type of query');
    case 'object':
    case 'array':
      throw refusedVector(node, served, source);
    case 'null':
    case 'true':
    case 'false':
      throw badBody('Expected some form of vector, id, or a type of query');
    case 'skipped':
      throw unknownForm('query');
  }
}

/**
 * Returns the refusal of an object or array that is no dense vector and so cannot be projected.
 * @param source given if the server also accepts a sparse vector as an array of its indices and values
 */
export function refusedVector(node: JsonNode, served: ServedCollection, source?: ByteEdits): Refusal {
  const rows = node.kind === 'array' ? node.items : [];
  if (source !== undefined && isSparse(rows, source)) return notDense('sparse');
  const dense = rows.flatMap((row) => (row.kind === 'numbers' ? [row.values] : []));
  if (dense.length > 0 && dense.length === rows.length) return notSingle(dense, served);
  if (node.kind === 'object') {
    const keys = node.entries.map(({ key }) => key);
    if (keys.includes('model')) return inferenceRefused(served);
    if (keys.includes('indices') && keys.includes('values')) return notDense('sparse');
  }
  return unknownForm('vector');
}

/** Returns whether two rows are a sparse vector to the server: the first row could be indices. */
function isSparse([indices, values, ...more]: readonly JsonNode[], source: ByteEdits): boolean {
  if (indices?.kind !== 'numbers' || values?.kind !== 'numbers' || more.length > 0) return false;
  return indices.values.length === values.values.length && /^[\d\s,[\]]*$/.test(source.raw(indices));
}
