import { QUANTIZATIONS, type Datatype, type Quantization } from '../../../src/store/collection.js';
import { isObject, num, numberAt, objectAt, textAt, type Json, type JsonObject } from '../transport/json.js';

/** Returns the collection's vectors block as a map. A single unnamed vector has the key ''. */
export function vectorsOf(native: Json): JsonObject {
  const block = objectAt(native, 'params', 'vectors');
  // A named vector may be called `size`: then the value is an object, not a number.
  return numberAt(block, 'size') === undefined ? block : { '': block };
}

/** Settings of the binary quantisations. Queries of 8 bits cost no memory and find more. */
const BINARY: Readonly<Record<string, JsonObject>> = {
  binary: {},
  'binary-1bit': { query_encoding: 'scalar8bits' },
  'binary-1.5bit': { encoding: 'one_and_half_bits', query_encoding: 'scalar8bits' },
  'binary-2bit': { encoding: 'two_bits', query_encoding: 'scalar8bits' },
};

function binaryJson(quantization: Quantization): JsonObject | undefined {
  return Object.hasOwn(BINARY, quantization) ? BINARY[quantization] : undefined;
}

/** Bits of a component in a code, by the server's name of the encoding. */
const ENCODING_BITS: Readonly<Record<string, number>> = { one_bit: 1, one_and_half_bits: 1.5, two_bits: 2 };

/** Returns the bits of a component in the codes of these settings of a binary quantisation. */
export function binaryBits(binary: Json): number {
  const encoding = textAt(binary, 'encoding') ?? 'one_bit';
  return (Object.hasOwn(ENCODING_BITS, encoding) ? ENCODING_BITS[encoding] : undefined) ?? 1;
}

/** Returns the name of the quantisation in these settings; 'none' if there is none, or one without a name. */
export function quantizationOf(settings: JsonObject): Quantization {
  const compression = textAt(settings, 'product', 'compression');
  if (compression !== undefined)
    return QUANTIZATIONS.find((name) => name === `product-${compression}`) ?? 'none';
  if (isObject(settings['scalar'])) return 'scalar';
  const binary = settings['binary'];
  if (!isObject(binary)) return 'none';
  const bits = binaryBits(binary);
  const query = textAt(binary, 'query_encoding') ?? 'default';
  if (bits === 1 && (query === 'default' || query === 'binary')) return 'binary';
  return QUANTIZATIONS.find((name) => name === `binary-${bits}bit`) ?? 'none';
}

/** Returns the JSON of a quantisation whose codes stay in memory; null for none. */
function quantizationJson(quantization: Quantization): Json {
  const shared = { always_ram: true };
  if (quantization === 'none') return null;
  if (quantization === 'scalar') return { scalar: { type: 'int8', ...shared } };
  const binary = binaryJson(quantization);
  if (binary !== undefined) return { binary: { ...binary, ...shared } };
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
