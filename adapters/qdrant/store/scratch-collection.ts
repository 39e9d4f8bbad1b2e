import { isTldrError, TldrError } from '../../../src/core/errors.js';
import type { RunOptions } from '../../../src/core/run-options.js';
import { DATATYPES } from '../../../src/store/collection.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import type { QuantizedSearch } from '../../../src/store/search.js';
import type { KeptVector, ScratchRequest, ScratchVector, VectorBytes } from '../../../src/store/storage.js';
import { originalSettings } from './original-settings.js';
import {
  answeredList,
  answeredNumber,
  answeredText,
  isObject,
  num,
  numberAt,
  objectAt,
  parseJson,
  textAt,
  valueAt,
} from '../transport/json.js';
import type { Json, JsonObject } from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import { distanceName, specFromInfo } from './collection-settings.js';
import { tarSizes } from './sizes-of-files-in-snapshot.js';
import { UNLIMITED } from '../transport/strict-mode-limits.js';
import { FULL_SCAN_THRESHOLD_MIN_KB } from './scaled-limits.js';
import {
  areCodesPinned,
  isOnDisk,
  mergedIndex,
  pushDownQuantization,
  quantizationOf,
  vectorsOf,
  withHnswM,
  withoutIndex,
  withStorage,
} from './vector-storage.js';

const INDEXING_THRESHOLD_KB = 1;
const INDEX_M_DEFAULT = 16;

/**
 * Returns the spec of a temporary collection for measurements: one segment, all indexes built, vectors only.
 */
export function deriveScratch(source: CollectionSpec, scratch: ScratchRequest): CollectionSpec {
  // In a two-stage collection the full vector has no graph: the measured ones are stored as a migration stores them.
  const native = objectAt(parseJson(originalSettings(source, scratch.vectorName).native));
  const original = valueAt(pushDownQuantization(native, vectorsOf(native)), scratch.vectorName);
  if (!isObject(original)) {
    throw new TldrError('NOT_FOUND', `collection ${source.name} has no dense vector "${scratch.vectorName}"`);
  }
  const block = Object.fromEntries(
    scratch.vectors.map((vector) => [vector.name, scratchParams(native, original, vector)]),
  );
  const metadata = Object.fromEntries(
    Object.entries(scratch.metadata).map(([key, json]) => [key, parseJson(json)]),
  );
  const info: JsonObject = {
    config: {
      params: { vectors: block, shard_number: num(1), on_disk_payload: true },
      hnsw_config: native['hnsw_config'] ?? {},
      ...UNLIMITED,
      optimizer_config: {
        default_segment_number: num(1),
        indexing_threshold: num(INDEXING_THRESHOLD_KB),
      },
      metadata,
    },
  };
  return specFromInfo(scratch.name, info, []);
}

/** Returns how a vector is stored: its own settings, else those of the collection. */
export function vectorStorage(spec: CollectionSpec, vectorName: string): KeptVector {
  const native = objectAt(parseJson(spec.native));
  const params = valueAt(pushDownQuantization(native, vectorsOf(native)), vectorName);
  if (!isObject(params))
    throw new TldrError('NOT_FOUND', `collection ${spec.name} has no dense vector "${vectorName}"`);
  const codes = objectAt(params, 'quantization_config');
  const index = mergedIndex(native, params);
  const onDisk = isOnDisk(params);
  return {
    datatype: DATATYPES.find((name) => name === textAt(params, 'datatype')) ?? 'float32',
    quantization: quantizationOf(codes),
    onDisk,
    indexed: (numberAt(index, 'm') ?? INDEX_M_DEFAULT) > 0,
    codesInMemory: !onDisk || areCodesPinned(codes),
    indexInMemory: !isOnDisk(index),
    hnswM: hnswMOf(originalSettings(spec, vectorName), vectorName),
  };
}

/** Returns the links of each point in the graph of a vector, after its own settings and the collection's. */
function hnswMOf({ native: text }: CollectionSpec, vectorName: string): number {
  const native = objectAt(parseJson(text));
  const params = objectAt(vectorsOf(native), vectorName);
  return numberAt(mergedIndex(native, params), 'm') ?? INDEX_M_DEFAULT;
}

function scratchParams(native: JsonObject, original: JsonObject, vector: ScratchVector): JsonObject {
  const { storage, dim, distance, hnswM } = vector;
  const index = mergedIndex(native, original);
  const walked: JsonObject = { ...index, full_scan_threshold: num(FULL_SCAN_THRESHOLD_MIN_KB) };
  const params: JsonObject = {
    ...original,
    size: num(dim),
    distance: distanceName(distance),
    hnsw_config: storage === 'source' || storage.indexed ? walked : withoutIndex(walked),
  };
  return withStorage(withHnswM(params, hnswM), storage === 'source' ? {} : storage);
}

/**
 * Returns the sizes of the files that the server wrote for each vector. Neither telemetry nor the
 * collection's description gives them (`ram_usage_bytes` and `disk_usage_bytes` are 0). They are therefore
 * read from the headers of a snapshot, which is removed afterwards. The snapshot's content is not
 * transferred.
 */
export async function measureVectors(
  rest: Rest,
  spec: CollectionSpec,
  run: RunOptions,
): Promise<readonly VectorBytes[]> {
  const path = `${pathOf(spec.name)}/snapshots`;
  const made = { json: await rest.call('POST', `${path}?wait=true`), of: `a snapshot of ${spec.name}` };
  const name = answeredText(made, 'name');
  const snapshotPath = `${path}/${encodeURIComponent(name)}`;
  let sizes: ReadonlyMap<string, number>;
  try {
    const read = (from: number, to: number): Promise<Buffer> => rest.bytes(snapshotPath, from, to);
    sizes = await tarSizes(read, answeredNumber(made, 'size'), run);
  } finally {
    await rest.call('DELETE', `${snapshotPath}?wait=true`);
  }
  const native = objectAt(parseJson(spec.native));
  const block = vectorsOf(native);
  return spec.vectors.map(({ name: vector }) => {
    const suffix = vector === '' ? '' : `-${vector}`;
    const sum = (pattern: RegExp, folder: string): number =>
      [...sizes].reduce((total, [file, bytes]) => {
        const inside = file.split(`/${folder}${suffix}/`)[1];
        return inside !== undefined && pattern.test(inside) ? total + bytes : total;
      }, 0);
    const params = objectAt(block, vector);
    const m = numberAt(mergedIndex(native, params), 'm') ?? INDEX_M_DEFAULT;
    return {
      name: vector,
      vectorBytes: sum(/^(vectors\/chunk_\d+\.mmap|matrix\.dat)$/, 'vector_storage'),
      codeBytes: sum(/^(quantized\.data|quantized_data\/chunk_\d+\.mmap)$/, 'vector_storage'),
      codeBookBytes: sum(/^quantized\.meta\.json$/, 'vector_storage'),
      indexBytes: sum(/^(graph|links.*)\.bin$/, 'vector_index'),
      // The base layer has 2 m links. Each needs one more bit when the number of points doubles.
      indexGrowthBytes: (2 * m) / 8,
    };
  });
}

/** Removes a collection's snapshots, which stay when it is deleted. @returns whether the collection exists */
export async function dropScratch(rest: Rest, collection: string): Promise<boolean> {
  const path = `${pathOf(collection)}/snapshots`;
  const of = `snapshots of ${collection}`;
  let snapshots: Json;
  try {
    snapshots = await rest.call('GET', path);
  } catch (error) {
    if (isTldrError(error, 'NOT_FOUND')) return false;
    throw error;
  }
  for (const json of answeredList({ json: { result: snapshots }, of }, 'result'))
    await rest.call('DELETE', `${path}/${encodeURIComponent(answeredText({ json, of }, 'name'))}?wait=true`);
  return true;
}

/** Returns the member `params` of a search, or an empty object. */
export function searchParams(options: {
  readonly exact: boolean;
  readonly quantized?: QuantizedSearch | undefined;
}): JsonObject {
  const { exact, quantized } = options;
  const params: JsonObject = {};
  if (exact) params['exact'] = true;
  if (quantized !== undefined) {
    const { rescore, oversampling } = quantized;
    params['quantization'] = {
      rescore,
      ...(oversampling === undefined ? {} : { oversampling: num(oversampling) }),
    };
  }
  return Object.keys(params).length === 0 ? {} : { params };
}
