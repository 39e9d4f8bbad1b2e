import { isLosslessNumber } from 'lossless-json';
import type { Distance } from '../../../src/core/distance.js';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import { JOURNAL_KEY, STATE_BACKEND_KEY } from '../../../src/store/target-description.js';
import type { CollectionSpec, DenseVectorSpec, Partition } from '../../../src/store/collection.js';
import type { TargetChange } from '../../../src/store/copy-target.js';
import type { MemoryEstimate } from '../../../src/store/storage.js';
import {
  answeredObject,
  flatten,
  isObject,
  listAt,
  num,
  numberAt,
  objectAt,
  parseJson,
  stringifyJson,
  textAt,
  valueAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';
import { ALLOW_EXACT, EXACT_KEY, EXACT_TEXT } from './clients-exact-search.js';
import { checkName } from '../transport/check-name.js';
import { LIFTED_KEY } from './lifted-limits.js';
import { QUANTIZATION_KEY, recordText } from './source-quantization-record.js';
import { isStrict } from '../transport/strict-mode-limits.js';
import { applyThresholds, THRESHOLDS_KEY, thresholdsOf, vectorSizeLimit } from './scaled-limits.js';
import { sourceSettingsMetadata, SOURCE_SETTINGS_KEYS } from './source-settings-metadata.js';
import { originalSettings } from './original-settings.js';
import {
  checkCopied,
  checkTargetDatatype,
  codeBytes,
  isOnDisk,
  ofProjected,
  pushDownQuantization,
  readById,
  vectorsOf,
  withHnswM,
  withStorage,
} from './vector-storage.js';

const DISTANCE_NAMES: Readonly<Record<string, Distance>> = {
  Cosine: 'cosine',
  Dot: 'dot',
  Euclid: 'euclid',
  Manhattan: 'manhattan',
};
const COMPONENT_BYTES: Readonly<Record<string, number>> = { float32: 4, float16: 2, uint8: 1, turbo4: 0.5 };
/** Settings that only PATCH accepts. */
const PATCH_ONLY = ['read_fan_out_factor', 'read_fan_out_delay_ms'];
/** Settings that have other values while a collection is filled. */
const SET_AT_THE_END =
  /^(optimizer_config\.indexing_threshold$|strict_mode_config|(params\.vectors\..*)?hnsw_config\.full_scan_threshold$)/;
const HNSW_M_DEFAULT = 16;
/** Bytes of a vector's other links and of what leads to its links, about. */
const LINK_LIST_BYTES = 8;

/** Returns the bytes of a stored component; undefined for an unknown datatype. */
export function componentBytes(datatype: string): number | undefined {
  return Object.hasOwn(COMPONENT_BYTES, datatype) ? COMPONENT_BYTES[datatype] : undefined;
}

/** Returns the server's name of a distance. */
export function distanceName(distance: Distance): string {
  return Object.entries(DISTANCE_NAMES).find(([, name]) => name === distance)?.[0] ?? 'Cosine';
}

/** Returns a spec from GET /collections/{name} and the shard keys; `native` is enough to rebuild it. */
export function specFromInfo(
  name: string,
  info: Json,
  partitions: readonly { key: Partition; shards: number | null }[],
): CollectionSpec {
  const config = answeredObject({ json: info, of: `collection ${name}` }, 'config');
  const native: JsonObject = {
    ...config,
    payload_schema: objectAt(info, 'payload_schema'),
    shard_keys: partitions.map(({ key, shards }) => ({
      key: key.kind === 'keyword' ? key.value : num(BigInt(key.value)),
      shards_number: shards === null ? null : num(shards),
    })),
  };
  const vectors = Object.entries(vectorsOf(native)).map(([vectorName, params]): DenseVectorSpec => {
    const distance = DISTANCE_NAMES[textAt(params, 'distance') ?? ''];
    const dim = numberAt(params, 'size');
    if (distance === undefined || dim === undefined) {
      throw new TldrError('UNSUPPORTED', `collection ${name}: vector "${vectorName}" has an unknown form`);
    }
    return {
      name: vectorName,
      dim,
      distance,
      multivector: isObject(valueAt(params, 'multivector_config')),
      componentBytes: COMPONENT_BYTES[textAt(params, 'datatype') ?? 'float32'] ?? 4,
    };
  });
  return {
    name,
    vectors,
    otherVectors: Object.keys(objectAt(native, 'params', 'sparse_vectors')),
    partitions: partitions.map(({ key }) => key),
    metadata: Object.fromEntries(
      Object.entries(objectAt(config, 'metadata')).map(([key, value]) => [key, stringifyJson(value)]),
    ),
    native: stringifyJson(native),
  };
}

/**
 * Returns the source's settings with the vector reduced (compact) or a compact one added (two-stage). A source
 * that is itself a two-stage target counts as the collection without its hidden vector.
 */
export function deriveTarget(described: CollectionSpec, change: TargetChange): CollectionSpec {
  const source = originalSettings(described, change.vectorName);
  const reduced = reducible(source, change);
  const twoStage = change.layout === 'two-stage';
  const native = { ...objectAt(parseJson(source.native)) };
  const params = objectAt(native, 'params');
  // A collection's own quantisation cannot be switched off for one vector: it moves to the others.
  const own = (twoStage || change.quantization !== undefined) && isObject(native['quantization_config']);
  if (own) native['quantization_config'] = null;
  const shown = vectorsOf(native);
  // A map, since users choose the names: one may be `__proto__`.
  const block = new Map(
    Object.entries(own ? pushDownQuantization(objectAt(parseJson(source.native)), shown) : shown),
  );
  const full = objectAt(block.get(change.vectorName));
  const compact = compactParams(full, change);
  const compactSpec: DenseVectorSpec = {
    name: change.compactName,
    dim: change.compactDim,
    distance: change.compactDistance,
    multivector: false,
    componentBytes: COMPONENT_BYTES[textAt(compact, 'datatype') ?? 'float32'] ?? 4,
  };
  const kept = source.vectors.filter(({ name }) => twoStage || name !== change.vectorName);
  const vectors = [...kept, compactSpec];
  // The size of a vector of an unknown datatype is unknown.
  const sized = [...block.values()].every((one) =>
    Object.hasOwn(COMPONENT_BYTES, textAt(one, 'datatype') ?? 'float32'),
  );
  const of = { reduced, compact: compactSpec, before: source.vectors, after: vectors };
  const vectorSize = sized && twoStage ? vectorSizeLimit(native, of) : null;
  const thresholds = {
    ...(sized ? thresholdsOf(native, full, of) : {}),
    ...(vectorSize !== null && { max_collection_vector_size_bytes: vectorSize }),
  };
  applyThresholds(thresholds, native, compact);
  const copied = [...block].filter(([name]) => twoStage || name !== change.vectorName);
  checkCopied(source.name, copied);
  if (twoStage) block.set(change.vectorName, readById(full));
  block.set(change.compactName, compact);
  const unnamed = block.size === 1 ? block.get('') : undefined;
  // If the source is itself a migration's target, its metadata about that migration is not copied.
  const ownKeys = [...SOURCE_SETTINGS_KEYS, STATE_BACKEND_KEY, JOURNAL_KEY, LIFTED_KEY];
  const carried = Object.entries(source.metadata).filter(([key]) => !ownKeys.includes(key));
  const texts: Record<string, string> = { ...Object.fromEntries(carried), ...change.metadata };
  const told = quantizationTold(parseJson(source.native), change);
  if (told !== null) texts[QUANTIZATION_KEY] = JSON.stringify(told);
  const strict = objectAt(native, 'strict_mode_config');
  if (twoStage && strict[ALLOW_EXACT] === false) {
    native['strict_mode_config'] = { ...strict, [ALLOW_EXACT]: true };
    texts[EXACT_KEY] = JSON.stringify(EXACT_TEXT.refused);
  }
  if (Object.keys(thresholds).length > 0) texts[THRESHOLDS_KEY] = JSON.stringify(JSON.stringify(thresholds));
  const metadata = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, parseJson(text)]));
  const derived: JsonObject = {
    ...native,
    params: { ...params, vectors: unnamed ?? Object.fromEntries(block) },
    metadata,
  };
  return {
    ...source,
    name: change.name,
    vectors,
    metadata: texts,
    native: stringifyJson(derived),
  };
}

/**
 * Returns the record of a target whose vectors have the collection's quantisation written into them; null if
 * no record is needed. A quantisation chosen for the compact vector replaces the source's: at the collection
 * level if no other vector uses the source's as well, otherwise at the vector.
 */
function quantizationTold(
  source: Json,
  { layout, vectorName, compactName, quantization }: TargetChange,
): string | null {
  const isChosen = quantization !== undefined;
  const shared = valueAt(source, 'quantization_config');
  // In the compact layout, the collection keeps its quantisation unless another one is chosen.
  if (layout !== 'two-stage' && !(isChosen && isObject(shared))) return null;
  const vectors = Object.entries(vectorsOf(source));
  const inSource = vectors
    .filter(([, params]) => isObject(valueAt(params, 'quantization_config')))
    .map(([name]) => name);
  if (!isObject(shared) && inSource.length === 0 && !isChosen) return null;
  const isAlone = isObject(shared) && inSource.length === vectors.length - 1;
  const isOwn = inSource.includes(vectorName) || (isChosen && !isAlone);
  const others = inSource.filter((name) => name !== vectorName);
  const own = isOwn ? [compactName, ...others] : others;
  const named = isObject(shared) ? stringifyJson(shared) : null;
  return recordText({ own, collection: isOwn ? named : undefined });
}

/**
 * Returns the vector to reduce.
 * @throws NOT_FOUND when the source has no such dense vector
 * @throws UNSUPPORTED when it is a multivector
 * @throws INVALID_ARGUMENT when the compact vector cannot have this name
 */
function reducible(source: CollectionSpec, change: TargetChange): DenseVectorSpec {
  const reduced = source.vectors.find(({ name }) => name === change.vectorName);
  if (reduced === undefined) {
    const names = source.vectors.map(({ name }) => `"${name}"`).join(', ');
    throw new TldrError(
      'NOT_FOUND',
      `collection ${source.name} has no dense vector "${change.vectorName}": it has ${names}`,
    );
  }
  if (reduced.multivector) {
    throw new TldrError(
      'UNSUPPORTED',
      `vector "${reduced.name}" of ${source.name} is a multivector, which cannot be reduced yet`,
    );
  }
  checkName('the compact vector name', change.compactName);
  const twoStage = change.layout === 'two-stage';
  const taken = [...source.vectors.map(({ name }) => name), ...source.otherVectors];
  if (
    twoStage === (change.compactName === change.vectorName) ||
    (twoStage && taken.includes(change.compactName))
  ) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${change.compactName}" cannot name the reduced vector in the ${change.layout} layout`,
    );
  }
  return reduced;
}

/** Returns the compact vector's settings. @throws UNSUPPORTED for a datatype that no target can have */
function compactParams(full: JsonObject, change: TargetChange): JsonObject {
  const { compactDim, compactDistance, datatype, quantization, hnswM } = change;
  checkTargetDatatype(change);
  const reduced: JsonObject = { ...full, size: num(compactDim), distance: distanceName(compactDistance) };
  const params = ofProjected(withHnswM(reduced, hnswM));
  return datatype === undefined && quantization === undefined
    ? params
    : withStorage(params, { datatype, quantization });
}

/** Returns one line for each setting that differs. The caller compares metadata. */
export function differences(
  expected: CollectionSpec,
  actual: CollectionSpec,
  { loading = false, creating = false }: { readonly loading?: boolean; readonly creating?: boolean },
): string[] {
  const settings = (spec: CollectionSpec): Map<string, string> => {
    const native = objectAt(parseJson(spec.native));
    // The block may hold a single vector directly or under its name. Both mean the same.
    const params = { ...objectAt(native, 'params'), vectors: vectorsOf(native) };
    // The server lists shard keys in no order.
    const keys = listAt(native, 'shard_keys').map(stringifyJson).sort();
    // Limits that are switched off have no effect and are not compared.
    const off = isStrict(native) ? {} : { strict_mode_config: null };
    const flat = flatten({ ...native, params, metadata: null, shard_keys: keys, ...off });
    for (const key of [...flat.keys()]) {
      if (/^payload_schema\..*\.points$/.test(key)) flat.delete(key);
      if (creating && /^(payload_schema\.|shard_keys$|params\.read_fan_out_)/.test(key)) flat.delete(key);
    }
    return flat;
  };
  const wanted = settings(expected);
  const found = settings(actual);
  return (
    [...new Set([...wanted.keys(), ...found.keys()])]
      .filter((key) => wanted.get(key) !== found.get(key))
      // While loading, settings of the end may differ. But an index setting that must be unset would stay.
      .filter(
        (key) => !(loading && SET_AT_THE_END.test(key) && (wanted.has(key) || !key.includes('hnsw_config'))),
      )
      .sort()
      .map((key) => `${key}: expected ${wanted.get(key) ?? '(unset)'}, got ${found.get(key) ?? '(unset)'}`)
  );
}

/** Returns the body of PUT /collections/{name}. Index building and strict mode wait until the load ends. */
export function createBody(spec: CollectionSpec): JsonObject {
  const native = objectAt(parseJson(spec.native));
  const body: JsonObject = {};
  for (const [key, value] of Object.entries(objectAt(native, 'params'))) {
    if (value !== null && !PATCH_ONLY.includes(key)) body[key] = value;
  }
  for (const key of ['hnsw_config', 'wal_config', 'quantization_config', 'metadata']) {
    const value = native[key];
    if (value !== undefined && value !== null) body[key] = value;
  }
  const optimizers = objectAt(native, 'optimizer_config');
  const held = numberAt(optimizers, 'indexing_threshold') === undefined ? {} : { indexing_threshold: num(0) };
  // Strict mode is off from the start, whatever the server's defaults for new collections are.
  const strict = native['strict_mode_config'];
  if (isObject(strict))
    body['strict_mode_config'] = strict['enabled'] === false ? strict : { enabled: false };
  body['optimizers_config'] = { ...optimizers, ...held };
  return body;
}

/** Returns the PATCH body for settings that creation cannot set; null for none. */
export function patchAfterCreate(spec: CollectionSpec): JsonObject | null {
  const params = objectAt(parseJson(spec.native), 'params');
  const late = Object.fromEntries(
    PATCH_ONLY.flatMap((key) => (params[key] == null ? [] : [[key, params[key]]])),
  );
  return Object.keys(late).length === 0 ? null : { params: late };
}

/** Returns the PATCH body that ends the bulk load. It sets limits, since the source's may have changed. */
export function patchToFinish(spec: CollectionSpec): JsonObject {
  const native = parseJson(spec.native);
  const threshold = valueAt(native, 'optimizer_config', 'indexing_threshold');
  const strict = valueAt(native, 'strict_mode_config');
  return {
    ...(isLosslessNumber(threshold) ? { optimizers_config: { indexing_threshold: threshold } } : {}),
    ...(isObject(strict) ? { strict_mode_config: strict } : {}),
    ...fullScanThresholds(native),
    ...sourceSettingsMetadata(native),
  };
}

function fullScanThresholds(native: Json): JsonObject {
  const limit = (settings: Json): JsonObject => {
    const value = valueAt(settings, 'hnsw_config', 'full_scan_threshold');
    return isLosslessNumber(value) ? { hnsw_config: { full_scan_threshold: value } } : {};
  };
  const own = Object.entries(vectorsOf(native)).flatMap(([name, params]) => {
    const set = limit(params);
    return Object.keys(set).length === 0 ? [] : [[name, set] as const];
  });
  return { ...limit(native), ...(own.length > 0 && { vectors: Object.fromEntries(own) }) };
}

/** Returns payload indexes as [field, schema] pairs for PUT /collections/{name}/index. */
export function payloadIndexes(spec: CollectionSpec): [string, Json][] {
  return Object.entries(objectAt(parseJson(spec.native), 'payload_schema')).map(([field, schema]) => {
    const params = valueAt(schema, 'params');
    return [field, isObject(params) ? params : (textAt(schema, 'data_type') ?? 'keyword')];
  });
}

/** Returns the request bodies that create the shard keys, with their shard counts. */
export function shardKeyBodies(spec: CollectionSpec): JsonObject[] {
  return listAt(parseJson(spec.native), 'shard_keys').map((entry) => {
    const shards = valueAt(entry, 'shards_number');
    return {
      shard_key: expectDefined(valueAt(entry, 'key'), `a shard key of ${spec.name}`),
      ...(isLosslessNumber(shards) ? { shards_number: shards } : {}),
    };
  });
}

/**
 * Returns an estimate of the memory: vectors with their components, quantised copies, and the graph. A vector has at most
 * 2 m links in the graph's base layer (HNSW, Malkov and Yashunin 2018, 4.2.3), and the server packs a link into as many
 * bits as the number of a point needs. Most vectors have fewer links, so this is about the most a graph takes.
 */
export function estimateMemory(spec: CollectionSpec, pointCount: number): MemoryEstimate {
  const native = parseJson(spec.native);
  const block = vectorsOf(native);
  let ram = 0;
  let disk = 0;
  let index = 0;
  const linkBits = Math.max(1, Math.ceil(Math.log2(Math.max(1, pointCount))));
  for (const { name, dim, componentBytes } of spec.vectors) {
    const params = valueAt(block, name);
    const vectorBytes = pointCount * dim * componentBytes;
    disk += vectorBytes;
    if (!isOnDisk(params)) ram += vectorBytes;
    ram +=
      pointCount *
      codeBytes(valueAt(params, 'quantization_config') ?? valueAt(native, 'quantization_config'), dim);
    const m = numberAt(params, 'hnsw_config', 'm') ?? numberAt(native, 'hnsw_config', 'm') ?? HNSW_M_DEFAULT;
    index += m === 0 ? 0 : Math.ceil(pointCount * ((2 * m * linkBits) / 8 + LINK_LIST_BYTES));
  }
  return { vectorsRamBytes: ram, vectorsDiskBytes: disk, indexRamBytes: index };
}
