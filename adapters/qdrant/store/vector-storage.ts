import type { Datatype, Quantization } from '../../../src/store/collection.js';
import { isObject, num, numberAt, objectAt, type Json, type JsonObject } from '../transport/json.js';

/** Returns the collection's vectors block as a map. A single unnamed vector has the key ''. */
export function vectorsOf(native: Json): JsonObject {
  const block = objectAt(native, 'params', 'vectors');
  // A named vector may be called `size`: then the value is an object, not a number.
  return numberAt(block, 'size') === undefined ? block : { '': block };
}

/** Returns the JSON of a quantisation whose codes stay in memory; null for none. */
function quantizationJson(quantization: Quantization): Json {
  const shared = { always_ram: true };
  if (quantization === 'none') return null;
  if (quantization === 'scalar') return { scalar: { type: 'int8', ...shared } };
  if (quantization === 'binary') return { binary: shared };
  return { product: { compression: quantization.replace('product-', ''), ...shared } };
}

/**
 * Returns a vector's settings with the given ones replaced. With a quantisation, the codes are in memory and
 * the vector is on disk. Without one, the vector is in memory.
 */
export function withStorage(
  params: JsonObject,
  storage: {
    readonly datatype?: Datatype | undefined;
    readonly quantization?: Quantization | undefined;
    readonly onDisk?: boolean | undefined;
  },
): JsonObject {
  const { datatype, quantization, onDisk } = storage;
  const changed: JsonObject = { ...params };
  if (datatype !== undefined) changed['datatype'] = datatype;
  if (quantization !== undefined) {
    changed['quantization_config'] = quantizationJson(quantization);
    changed['on_disk'] = quantization !== 'none';
  }
  if (onDisk !== undefined) changed['on_disk'] = onDisk;
  return withoutNulls(changed);
}

/** Moves a collection's quantisation into each vector that has none of its own. */
export function pushDownQuantization(native: JsonObject, block: JsonObject): JsonObject {
  const shared = native['quantization_config'];
  if (!isObject(shared)) return block;
  return Object.fromEntries(
    Object.entries(block).map(([name, params]) => [
      name,
      isObject(params) && !isObject(params['quantization_config'])
        ? { ...params, quantization_config: shared }
        : params,
    ]),
  );
}

/** Returns the settings of an index: the collection's, overridden by the vector's. */
export function mergedIndex(native: JsonObject, params: JsonObject): JsonObject {
  const [shared, own] = [native['hnsw_config'], params['hnsw_config']];
  return { ...(isObject(shared) ? shared : {}), ...(isObject(own) ? withoutNulls(own) : {}) };
}

/** Returns index settings for a vector that is only read by id: no graph, and none per payload value. */
export function withoutIndex(index: JsonObject): JsonObject {
  return { ...index, m: num(0), payload_m: num(0) };
}

function withoutNulls(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null));
}
