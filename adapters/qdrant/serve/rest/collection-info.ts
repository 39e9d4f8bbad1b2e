import { expectDefined } from '../../../../src/core/errors.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import type { LookupAnswer, RestRequest } from '../../../../src/serve/protocol.js';
import { ALLOW_EXACT } from '../../store/clients-exact-search.js';
import { scanJson, type JsonEntry, type JsonNode } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { elementsOf, entryOf, stringOf } from './structures.js';
import { JSON_CODES, restSettingsIn } from './parse-target-settings.js';
import {
  clientName,
  Refusal,
  refuseUncovering,
  shownIndexed,
  shownWarning,
  type IndexedCounts,
} from '../rules.js';
import { distanceName } from '../../store/collection-settings.js';
import {
  showsNoExact,
  shownQuantization,
  type ShownQuantization,
} from '../settings/settings-shown-to-clients.js';
import type { Threshold } from '../../store/scaled-limits.js';

/** Settings that the migration moved from the source's full vector to the compact one. */
const MOVED = ['hnsw_config', 'quantization_config', 'on_disk', 'memory'];
const FIELD_ORDER = [
  'size',
  'distance',
  'hnsw_config',
  'quantization_config',
  'on_disk',
  'memory',
  'datatype',
  'multivector_config',
];

/**
 * Checks that a change of aliases touches no served collection. Clients would otherwise bypass it.
 * @throws Refusal
 */
export function refuseServedAliases(root: JsonNode, names: ReadonlySet<string>, source: ByteEdits): void {
  const walk = (node: JsonNode): void => {
    if (node.kind === 'array') node.items.forEach(walk);
    else if (node.kind === 'object') node.entries.forEach(({ value }) => walk(value));
    else if (node.kind === 'string' && names.has(stringOf(node, source)))
      throw new Refusal(
        400,
        `Bad request: aliases of the served collection \`${stringOf(node, source)}\` cannot be changed through the proxy`,
      );
  };
  walk(root);
}

/**
 * Rewrites GET /collections/{name}: shows the vectors, and the limits that depend on their size, as before
 * the migration. The metadata stays unchanged.
 */
export function rewriteInfo(root: JsonNode, served: ServedCollection, source: ByteEdits): void {
  const result = entryOf(root, 'result');
  const config = entryOf(result, 'config');
  const params = entryOf(config, 'params');
  const vectors = entryOf(params, 'vectors');
  if (vectors?.kind !== 'object') return;
  const settings = restSettingsIn(config, source);
  const { thresholds } = settings;
  const restore = (block: string, name: string, threshold: Threshold | undefined): void => {
    const node = entryOf(entryOf(config, block), name);
    if (node !== undefined && isTarget(node, threshold, source))
      source.replace(node, String(threshold?.source ?? null));
  };
  restore('optimizer_config', 'indexing_threshold', thresholds.indexing_threshold);
  restore('hnsw_config', 'full_scan_threshold', thresholds.full_scan_threshold);
  const { max_collection_vector_size_bytes: vectorSize } = thresholds;
  restore('strict_mode_config', 'max_collection_vector_size_bytes', vectorSize);
  const exact = entryOf(entryOf(config, 'strict_mode_config'), ALLOW_EXACT);
  if (exact !== undefined && showsNoExact(settings.exact)) source.replace(exact, 'false');
  const quantization = shownQuantization(settings, served, JSON_CODES);
  showQuantization(config, quantization, source);
  const shown = { served, source, quantization, fullScan: thresholds.vector_full_scan_threshold };
  rewriteWarnings(result, shown);
  const unnamed = entryOf(vectors, 'size')?.kind === 'number';
  if (unnamed) {
    source.replace(vectors, fullText(vectors, vectors, shown));
    return;
  }
  const full = entryOf(vectors, served.vector);
  const compact = entryOf(vectors, served.compact);
  if (full === undefined || compact === undefined) return;
  const text = fullText(full, compact, shown);
  const visible = vectors.entries.filter(({ key }) => key === served.vector || key !== served.compact);
  const texts = visible.map(
    ({ key, value }) => `${asciiJson(key)}:${key === served.vector ? text : vectorText(key, value, shown)}`,
  );
  // A single default vector is shown without a name.
  const alone = served.layout === 'two-stage' && visible.length === 1 && served.vector === '';
  source.replace(vectors, alone ? text : `{${texts.join()}}`);
  const sparse = entryOf(params, 'sparse_vectors');
  if (served.layout === 'two-stage')
    rewriteIndexedCount(
      result,
      { dense: vectors.entries.length, sparse: sparse?.kind === 'object' ? sparse.entries.length : 0 },
      source,
    );
}

/** Writes the collection's quantisation into its description. */
function showQuantization(
  config: JsonNode | undefined,
  { collection }: ShownQuantization,
  source: ByteEdits,
): void {
  if (collection === undefined || collection === null || config?.kind !== 'object') return;
  const set = entryOf(config, 'quantization_config');
  if (set !== undefined) source.replace(set, collection);
  else source.insert(config.end - 1, `,"quantization_config":${collection}`);
}

/** Returns the parameters of a vector, without a quantisation that clients see at the collection level. */
function vectorText(name: string, params: JsonNode, { source, quantization }: Shown): string {
  const codes = entryOf(params, 'quantization_config');
  if (params.kind !== 'object' || codes === undefined) return source.raw(params);
  if (!quantization.isCollections(name, source.raw(codes))) return source.raw(params);
  const kept = params.entries.filter(({ key }) => key !== 'quantization_config');
  return `{${kept.map(({ start, value }) => source.raw({ start, end: value.end })).join()}}`;
}

/** Shows warnings about the compact vector as warnings about the full one. */
function rewriteWarnings(result: JsonNode | undefined, { served, source }: Shown): void {
  const warnings = entryOf(result, 'warnings');
  if (served.layout !== 'two-stage' || warnings === undefined || result?.kind !== 'object') return;
  const texts = elementsOf(warnings, source).flatMap((item) => {
    const message = entryOf(item, 'message');
    if (message?.kind !== 'string') return [source.raw(item)];
    const shown = shownWarning(stringOf(message, source), served);
    return shown === null ? [] : [`{"message":${asciiJson(shown)}}`];
  });
  if (texts.length > 0) source.replace(warnings, `[${texts.join()}]`);
  else {
    // The server leaves the field out if there are no warnings. The field is never the first one.
    const at = result.entries.findIndex(({ key }) => key === 'warnings');
    const before = result.entries[at - 1];
    if (before === undefined) source.replace(warnings, '[]');
    else source.replace({ start: before.value.end, end: warnings.end });
  }
}

interface Shown {
  readonly served: ServedCollection;
  readonly source: ByteEdits;
  readonly quantization: ShownQuantization;
  readonly fullScan: Threshold | undefined;
}

/**
 * Returns whether a limit is still the one that the migration set. A limit changed since is shown as it is.
 */
function isTarget(node: JsonNode, threshold: Threshold | undefined, source: ByteEdits): boolean {
  return threshold !== undefined && node.kind === 'number' && Number(source.read(node)) === threshold.target;
}

/** Returns the index settings of a vector as in the source; '' for none. */
function indexText(index: JsonNode, { fullScan, source }: Shown): string {
  if (index.kind !== 'object') return source.raw(index);
  const texts = index.entries.flatMap(({ key, value }) => {
    const own = key === 'full_scan_threshold' && isTarget(value, fullScan, source);
    if (own && fullScan?.source === null) return [];
    return [`${asciiJson(key)}:${own ? String(fullScan?.source) : source.raw(value)}`];
  });
  return texts.length === 0 && index.entries.length > 0 ? '' : `{${texts.join()}}`;
}

/** Returns the full vector's settings, with the index settings of the compact vector. */
function fullText(full: JsonNode, compact: JsonNode, shown: Shown): string {
  const { served, source, quantization } = shown;
  if (full.kind !== 'object' || compact.kind !== 'object') return source.raw(full);
  const values = new Map<string, string>();
  const take = (entries: readonly JsonEntry[], moved: boolean): void => {
    for (const { key, value } of entries) {
      if (MOVED.includes(key) !== moved) continue;
      if (key === 'quantization_config' && quantization.isCollections(served.compact, source.raw(value)))
        continue;
      const text = key === 'hnsw_config' ? indexText(value, shown) : source.raw(value);
      if (text !== '') values.set(key, text);
    }
  };
  take(full.entries, false);
  take(compact.entries, true);
  values.set('size', String(served.inputDim));
  values.set('distance', asciiJson(distanceName(served.distance)));
  const rank = (key: string): number =>
    FIELD_ORDER.includes(key) ? FIELD_ORDER.indexOf(key) : FIELD_ORDER.length;
  const keys = [...values.keys()].sort((a, b) => rank(a) - rank(b));
  return `{${keys.map((key) => `${asciiJson(key)}:${values.get(key) ?? 'null'}`).join()}}`;
}

/** Subtracts the hidden vector from the number of indexed vectors. */
function rewriteIndexedCount(
  result: JsonNode | undefined,
  vectors: Pick<IndexedCounts, 'dense' | 'sparse'>,
  source: ByteEdits,
): void {
  const count = numberIn(result, 'indexed_vectors_count', source);
  const points = numberIn(result, 'points_count', source);
  if (count === null || points === null) return;
  const shown = shownIndexed({ indexed: count.value, points: points.value, ...vectors });
  source.replace(count.node, String(shown));
}

function numberIn(
  node: JsonNode | undefined,
  key: string,
  source: ByteEdits,
): { readonly node: JsonNode; readonly value: number } | null {
  const found = entryOf(node, key);
  return found?.kind === 'number' ? { node: found, value: Number(source.read(found)) } : null;
}

/** Rewrites GET /collections: clients' names in place of targets' names, each once. */
export function rewriteList(
  root: JsonNode,
  collections: readonly ServedCollection[],
  source: ByteEdits,
): void {
  const list = entryOf(entryOf(root, 'result'), 'collections');
  if (list?.kind !== 'array') return;
  const seen = new Set<string>();
  const texts: string[] = [];
  const named = list.items.map((item) => ({ item, name: nameIn(item, 'name', source) }));
  for (const { item, name } of named) {
    const shown = name === null ? null : clientName(name, collections);
    if (shown !== null && seen.has(shown)) continue;
    if (shown !== null) seen.add(shown);
    texts.push(shown === name || shown === null ? source.raw(item) : `{"name":${asciiJson(shown)}}`);
  }
  source.replace(list, `[${texts.join()}]`);
}

/** Lookups before a deletion: all collections and all aliases. */
export const STANDING: readonly RestRequest[] = ['/collections', '/aliases'].map((url) => ({
  method: 'GET',
  url,
  body: new Uint8Array(0),
}));

/**
 * Checks that a deletion uncovers no other collection.
 * @param lookups the answers to `STANDING`
 * @throws Refusal when it does, or when the answers do not tell
 */
export function checkDeletion(
  name: string,
  served: ServedCollection,
  [collections, aliases]: readonly LookupAnswer[],
): void {
  refuseUncovering(name, served, {
    collections: listed(collections, 'collections', ['name', 'name']).map(([one]) => one),
    aliases: new Map(listed(aliases, 'aliases', ['alias_name', 'collection_name'])),
  });
}

/** Returns two names of every entry of a list. */
function listed(
  answer: LookupAnswer | undefined,
  list: string,
  [first, second]: readonly [string, string],
): [string, string][] {
  const { body } = expectDefined(answer, `the answer about ${list}`);
  const source = new ByteEdits(body);
  const node = entryOf(entryOf(scanJson(body), 'result'), list);
  if (node === undefined) throw new Refusal(400, `Bad request: the server does not tell its ${list}`);
  return elementsOf(node, source).map((item) => [
    nameIn(item, first, source) ?? '',
    nameIn(item, second, source) ?? '',
  ]);
}

/** Rewrites GET /aliases: clients see their names of targets as collections, not as aliases. */
export function rewriteAliases(
  root: JsonNode,
  collections: readonly ServedCollection[],
  source: ByteEdits,
): void {
  const list = entryOf(entryOf(root, 'result'), 'aliases');
  const texts = elementsOf(list, source).flatMap((item) => {
    const alias = nameIn(item, 'alias_name', source);
    const name = nameIn(item, 'collection_name', source);
    if (alias === null || name === null) return [source.raw(item)];
    const shown = clientName(name, collections);
    if (shown === alias) return [];
    if (shown === name) return [source.raw(item)];
    return [`{"alias_name":${asciiJson(alias)},"collection_name":${asciiJson(shown)}}`];
  });
  if (list !== undefined) source.replace(list, `[${texts.join()}]`);
}

function nameIn(node: JsonNode, key: string, source: ByteEdits): string | null {
  const value = entryOf(node, key);
  return value?.kind === 'string' ? stringOf(value, source) : null;
}
