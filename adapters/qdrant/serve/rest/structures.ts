import type { JsonEntry, JsonNode, Span } from '../json/scan-body.js';
import type { ByteEdits } from '../json/byte-edits.js';
import { Refusal } from '../rules.js';

/** A structure of the server's REST interface, with its fields in the order of the array form. */
export interface Structure {
  readonly name: string;
  readonly fields: readonly string[];
  /** Other names that the server accepts for a field. */
  readonly aliases?: ReadonlyMap<string, string>;
  /** Whether the server accepts an array of the fields' values. `whole`: whether it must hold all of them. */
  readonly positional: boolean;
  readonly whole?: boolean;
}

export interface Field {
  readonly value: JsonNode;
  /** Offset of the key; -1 in an array. */
  readonly keyStart: number;
  /** The key as written, without quotes. */
  readonly key: string;
}

export type JsonFields = ReadonlyMap<string, Field>;

type Aliases = NonNullable<Structure['aliases']>;

const VECTOR_ALIAS: Aliases = new Map([['vectors', 'vector']]);
const WITH_VECTOR_ALIAS: Aliases = new Map([['with_vectors', 'with_vector']]);
const QUANTIZATION_ALIAS: Aliases = new Map([['quantization', 'quantization_config']]);
const TOP_ALIAS: Aliases = new Map([['top', 'limit']]);
/** Other names of fields in the older searches for groups. */
export const GROUP_ALIASES = WITH_VECTOR_ALIAS;
const LEGACY_ALIASES: Aliases = new Map([...WITH_VECTOR_ALIAS, ...TOP_ALIAS]);
const QUERY_FIELDS = [
  'prefetch',
  'query',
  'using',
  'filter',
  'params',
  'score_threshold',
  'limit',
  'lookup_from',
];
const RESULT_FIELDS = [
  'filter',
  'params',
  'limit',
  'offset',
  'with_payload',
  'with_vector',
  'score_threshold',
  'shard_key',
  'group_by',
  'group_size',
  'with_lookup',
];

/** All structures that the proxy reads. Other fields of these structures are left to the server. */
export const STRUCTURES = {
  query: structure('QueryRequest', [...new Set([...QUERY_FIELDS, ...RESULT_FIELDS])], WITH_VECTOR_ALIAS),
  prefetch: { ...positional('Prefetch', QUERY_FIELDS), whole: true },
  searches: positional('QueryRequestBatch', ['searches']),
  recommendInput: positional('RecommendInput', ['positive', 'negative', 'strategy']),
  discoverInput: positional('DiscoverInput', ['target', 'context']),
  contextPair: positional('ContextPair', ['positive', 'negative']),
  feedbackInput: structure('RelevanceFeedbackInput', ['target', 'feedback', 'strategy']),
  feedbackItem: positional('FeedbackItem', ['example', 'score']),
  mmr: positional('Mmr', ['diversity', 'candidates_limit']),
  params: positional('SearchParams', ['hnsw_ef', 'exact', 'quantization', 'indexed_only', 'acorn', 'idf']),
  lookup: positional('LookupLocation', ['collection', 'vector', 'shard_key']),
  withLookup: positional(
    'WithLookup',
    ['collection', 'with_payload', 'with_vectors'],
    new Map([['with_vector', 'with_vectors']]),
  ),
  search: structure('SearchRequest', ['vector', ...RESULT_FIELDS], LEGACY_ALIASES),
  namedVector: positional('NamedVector', ['name', 'vector']),
  recommend: structure(
    'RecommendRequest',
    ['positive', 'negative', 'strategy', 'using', 'lookup_from', ...RESULT_FIELDS],
    LEGACY_ALIASES,
  ),
  discover: structure(
    'DiscoverRequest',
    ['target', 'context', 'using', 'lookup_from', ...RESULT_FIELDS],
    TOP_ALIAS,
  ),
  matrix: structure('SearchMatrixRequest', ['filter', 'sample', 'limit', 'using', 'shard_key']),
  read: structure('PointRequest', ['ids', 'with_vector'], WITH_VECTOR_ALIAS),
  upsert: structure('PointInsertOperations', [
    'points',
    'batch',
    'shard_key',
    'update_filter',
    'update_mode',
  ]),
  batch: positional('Batch', ['ids', 'vectors', 'payloads']),
  point: positional('PointStruct', ['id', 'vector', 'payload'], VECTOR_ALIAS),
  updateVectors: positional('UpdateVectors', ['points', 'shard_key', 'update_filter']),
  pointVectors: positional('PointVectors', ['id', 'vector'], VECTOR_ALIAS),
  deleteVectors: positional('DeleteVectors', ['points', 'filter', 'vector', 'shard_key'], VECTOR_ALIAS),
  pointsSelector: structure('PointsSelector', ['points', 'filter', 'shard_key']),
  setPayload: structure('SetPayload', ['payload', 'points', 'filter', 'shard_key', 'key']),
  deletePayload: structure('DeletePayload', ['keys', 'points', 'filter', 'shard_key']),
  operations: positional('UpdateOperations', ['operations']),
  vectorDiff: positional(
    'VectorParamsDiff',
    ['hnsw_config', 'quantization_config', 'on_disk', 'memory'],
    QUANTIZATION_ALIAS,
  ),
  indexDiff: positional(
    'HnswConfigDiff',
    [
      'm',
      'ef_construct',
      'full_scan_threshold',
      'max_indexing_threads',
      'on_disk',
      'payload_m',
      'inline_storage',
    ],
    new Map([['full_scan_threshold_kb', 'full_scan_threshold']]),
  ),
  optimizersDiff: {
    ...positional(
      'OptimizersConfigDiff',
      [
        'deleted_threshold',
        'vacuum_min_vector_number',
        'default_segment_number',
        'max_segment_size',
        'memmap_threshold',
        'indexing_threshold',
        'flush_interval_sec',
        'max_optimization_threads',
      ],
      new Map(
        ['max_segment_size', 'memmap_threshold', 'indexing_threshold'].map((name) => [`${name}_kb`, name]),
      ),
    ),
    whole: true,
  },
  strictMode: {
    ...positional('StrictModeConfig', [
      'enabled',
      'max_query_limit',
      'max_timeout',
      'unindexed_filtering_retrieve',
      'unindexed_filtering_update',
      'search_max_hnsw_ef',
      'search_allow_exact',
      'search_max_oversampling',
      'upsert_max_batchsize',
      'max_collection_vector_size_bytes',
      'read_rate_limit',
      'write_rate_limit',
      'max_collection_payload_size_bytes',
      'max_points_count',
      'filter_max_conditions',
      'condition_max_size',
      'multivector_config',
      'sparse_config',
      'max_payload_index_count',
    ]),
    whole: true,
  },
  updateCollection: {
    ...positional(
      'UpdateCollection',
      [
        'vectors',
        'optimizers_config',
        'params',
        'hnsw_config',
        'quantization_config',
        'sparse_vectors',
        'strict_mode_config',
        'metadata',
      ],
      QUANTIZATION_ALIAS,
    ),
    whole: true,
  },
} as const;

/** The kinds of queries, identified by the object's key. */
export const QUERY_KINDS = structure('Query', [
  'nearest',
  'mmr',
  'recommend',
  'discover',
  'context',
  'relevance_feedback',
  'order_by',
  'fusion',
  'rrf',
  'formula',
  'defaults',
  'sample',
]);
export const UPDATE_KINDS = structure('UpdateOperation', [
  'upsert',
  'delete',
  'set_payload',
  'overwrite_payload',
  'delete_payload',
  'clear_payload',
  'update_vectors',
  'delete_vectors',
]);

function structure(name: string, fields: readonly string[], aliases: Aliases = new Map()): Structure {
  return { name, fields, aliases, positional: false };
}

function positional(name: string, fields: readonly string[], aliases: Aliases = new Map()): Structure {
  return { name, fields, aliases, positional: true };
}

/**
 * Returns the fields of a structure given as an object, or as an array if the server accepts one.
 * @throws Refusal in the server's words for anything else and for fields given twice
 */
export function fieldsOf(
  node: JsonNode,
  { name, fields, aliases, positional, whole = false }: Structure,
  source: ByteEdits,
): JsonFields {
  const found = new Map<string, Field>();
  if (node.kind === 'object') {
    for (const entry of node.entries) {
      const field = aliases?.get(entry.key) ?? entry.key;
      if (!fields.includes(field)) continue;
      if (found.has(field)) throw badBody(`duplicate field \`${field}\``);
      found.set(field, { value: entry.value, keyStart: entry.start, key: entry.key });
    }
    return found;
  }
  if (!positional || (node.kind !== 'array' && node.kind !== 'numbers'))
    throw badBody(`invalid type: ${typeOf(node, source)}, expected struct ${name}`);
  const items = elementsOf(node, source);
  if (items.length > fields.length || (whole && items.length < fields.length))
    throw badBody(`invalid length ${items.length}, expected struct ${name} with ${fields.length} elements`);
  items.forEach((value, i) => found.set(fields[i]!, { value, keyStart: -1, key: fields[i]! }));
  return found;
}

/**
 * @throws Refusal for names given twice: the server would take the last one, which may not be the projected
 * one
 */
export function refuseDuplicates(entries: readonly JsonEntry[]): void {
  const seen = new Set<string>();
  for (const { key } of entries) {
    if (seen.has(key)) throw badBody(`duplicate field \`${key}\``);
    seen.add(key);
  }
}

/** Returns the value of an object under a key; undefined if there is none or the node is no object. */
export function entryOf(node: JsonNode | undefined, key: string): JsonNode | undefined {
  return node?.kind === 'object' ? node.entries.find((entry) => entry.key === key)?.value : undefined;
}

/** Returns a field's value; undefined if it is absent or null. */
export function valueOf(fields: JsonFields, name: string): JsonNode | undefined {
  const value = fields.get(name)?.value;
  return value === undefined || value.kind === 'null' ? undefined : value;
}

/**
 * Returns the elements of an array of any content; none if it is absent or null.
 * @throws Refusal in the server's words for anything else
 */
export function elementsOf(node: JsonNode | undefined, source: ByteEdits): readonly JsonNode[] {
  if (node === undefined) return [];
  if (node.kind === 'array') return node.items;
  if (node.kind !== 'numbers') throw badBody(`invalid type: ${typeOf(node, source)}, expected a sequence`);
  if (node.values.length === 0) return [];
  let at = node.start + 1;
  const spans = source
    .raw({ start: at, end: node.end - 1 })
    .split(',')
    .map((text) => {
      const span: Span = { start: at + text.search(/\S/), end: at + text.trimEnd().length };
      at += text.length + 1;
      return { kind: 'number' as const, ...span };
    });
  return spans;
}

/** Returns the elements of a list that may also be given as a single element. */
export function oneOrMany(node: JsonNode | undefined, source: ByteEdits): readonly JsonNode[] {
  if (node === undefined) return [];
  return node.kind === 'array' || node.kind === 'numbers' ? elementsOf(node, source) : [node];
}

/**
 * Returns a field's text; undefined if the field is absent or null.
 * @throws Refusal for anything else
 */
export function textOf(fields: JsonFields, name: string, source: ByteEdits): string | undefined {
  const value = valueOf(fields, name);
  return value === undefined ? undefined : stringOf(value, source);
}

/** @throws Refusal */
export function stringOf(node: JsonNode, source: ByteEdits): string {
  if (node.kind !== 'string') throw badBody(`invalid type: ${typeOf(node, source)}, expected a string`);
  return String(JSON.parse(source.read(node)));
}

/** Returns a whole number of at least 0; undefined for anything else, which the server will refuse. */
export function countOf(fields: JsonFields, name: string, source: ByteEdits): number | undefined {
  const value = valueOf(fields, name);
  if (value?.kind !== 'number') return undefined;
  const text = source.read(value);
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** A refusal of valid JSON that the server would not accept. */
export class BadBody extends Refusal {}

/** Returns a 400 for valid JSON that the server would not accept. */
export function badBody(reason: string): BadBody {
  return new BadBody(400, `Format error in JSON body: ${reason}`);
}

function typeOf(node: JsonNode, source: ByteEdits): string {
  switch (node.kind) {
    case 'object':
    case 'skipped':
      return 'map';
    case 'array':
    case 'numbers':
      return 'sequence';
    case 'string':
      return `string ${source.read(node)}`;
    case 'null':
      return 'null';
    case 'true':
    case 'false':
      return `boolean \`${node.kind}\``;
    case 'number': {
      const text = source.read(node);
      return `${/^-?\d+$/.test(text) ? 'integer' : 'floating point'} \`${text}\``;
    }
  }
}
