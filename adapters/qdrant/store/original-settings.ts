import type { CollectionSpec } from '../../../src/store/collection.js';
import { hiddenVectorOf } from '../../../src/store/target-description.js';
import { ALLOW_EXACT, EXACT_KEY, refusesExact } from './clients-exact-search.js';
import {
  isObject,
  num,
  numberAt,
  objectAt,
  parseJson,
  stringifyJson,
  textAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';
import { readThresholds, THRESHOLDS_KEY, type Threshold, type Thresholds } from './scaled-limits.js';
import { QUANTIZATION_KEY, readRecord } from './source-quantization-record.js';
import { vectorsOf } from './vector-storage.js';

/** Settings of a vector that say what it is, and not how it is stored or searched. */
const OF_THE_VECTOR = ['size', 'distance', 'datatype', 'multivector_config'];

/**
 * Returns a two-stage target's settings as those of a collection without a hidden vector, so that another
 * target can be derived from them: the inverse of `deriveTarget`. The full vector is stored and searched as
 * the hidden one is now, settings that were changed for the layout have the values that clients see, and the
 * hidden vector is gone. Any other collection is returned unchanged.
 * @param vectorName the full vector
 */
export function originalSettings(spec: CollectionSpec, vectorName: string): CollectionSpec {
  const hidden = hiddenVectorOf(spec, vectorName);
  if (hidden === null) return spec;
  const native: JsonObject = { ...objectAt(parseJson(spec.native)) };
  const block = new Map(Object.entries(vectorsOf(native)));
  const compact = objectAt(block.get(hidden));
  const full = objectAt(block.get(vectorName));
  block.delete(hidden);
  const stored = Object.entries(compact).filter(([key]) => !OF_THE_VECTOR.includes(key));
  const own = Object.entries(full).filter(([key]) => OF_THE_VECTOR.includes(key));
  const original: JsonObject = Object.fromEntries([...own, ...stored]);
  restoreLimits(readThresholds(noted(native, THRESHOLDS_KEY)), native, original);
  block.set(vectorName, original);
  restoreQuantization({ native, block, hidden, vectorName });
  const strict = objectAt(native, 'strict_mode_config');
  if (refusesExact(noted(native, EXACT_KEY)) && strict[ALLOW_EXACT] === true)
    native['strict_mode_config'] = { ...strict, [ALLOW_EXACT]: false };
  native['params'] = { ...objectAt(native, 'params'), vectors: Object.fromEntries(block) };
  return {
    ...spec,
    vectors: spec.vectors.filter(({ name }) => name !== hidden),
    native: stringifyJson(native),
  };
}

/** Returns the text that the target's metadata holds about a setting; '' for none. */
function noted(native: JsonObject, key: string): string {
  return textAt(native, 'metadata', key) ?? '';
}

/** Takes the collection's quantisation out of every vector that it was written into. */
function restoreQuantization({
  native,
  block,
  hidden,
  vectorName,
}: {
  readonly native: JsonObject;
  readonly block: Map<string, Json>;
  readonly hidden: string;
  readonly vectorName: string;
}): void {
  const record = readRecord(noted(native, QUANTIZATION_KEY));
  // If a client that bypasses the proxy has set one for the collection, the record no longer holds.
  if (record === null || isObject(native['quantization_config'])) return;
  const shared =
    record.collection === undefined
      ? objectAt(block.get(vectorName))['quantization_config']
      : record.collection === null
        ? null
        : parseJson(record.collection);
  if (!isObject(shared)) return;
  native['quantization_config'] = shared;
  for (const [name, params] of block) {
    const isOwn = record.own.includes(name === vectorName ? hidden : name);
    if (!isOwn && isObject(params)) block.set(name, { ...params, quantization_config: null });
  }
}

/** Restores the limits that were lowered or raised for the layout, unless they were changed since. */
function restoreLimits(thresholds: Thresholds, native: JsonObject, vector: JsonObject): void {
  const restore = (at: JsonObject, block: string, name: string, threshold: Threshold | undefined): void => {
    if (threshold === undefined || numberAt(at, block, name) !== threshold.target) return;
    const { source } = threshold;
    const others = Object.entries(objectAt(at, block)).filter(([key]) => key !== name);
    at[block] = Object.fromEntries(source === null ? others : [...others, [name, num(source)]]);
  };
  restore(native, 'optimizer_config', 'indexing_threshold', thresholds.indexing_threshold);
  restore(native, 'hnsw_config', 'full_scan_threshold', thresholds.full_scan_threshold);
  restore(vector, 'hnsw_config', 'full_scan_threshold', thresholds.vector_full_scan_threshold);
  const { max_collection_vector_size_bytes: vectorSize } = thresholds;
  restore(native, 'strict_mode_config', 'max_collection_vector_size_bytes', vectorSize);
}
