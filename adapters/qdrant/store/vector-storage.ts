import { TldrError } from '../../../src/core/errors.js';
import {
  DATATYPES,
  QUANTIZATIONS,
  TARGET_DATATYPES,
  type Datatype,
  type Quantization,
  type StorageKind,
} from '../../../src/store/collection.js';
import type { TargetCapabilities, TargetChange } from '../../../src/store/copy-target.js';
import { isVersionAtLeast } from '../transport/server-version.js';
import {
  isObject,
  num,
  numberAt,
  objectAt,
  textAt,
  valueAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';

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

/** The first versions with TurboQuant codes, and with vectors that are stored as such codes only. */
const TURBO_CODES_SINCE = [1, 18] as const;
const TURBO_VECTORS_SINCE = [1, 19] as const;

/** Returns the ways of storing vectors that a server of this version has. */
export function capabilitiesOf(version: string): TargetCapabilities {
  const hasVectors = isVersionAtLeast(version, TURBO_VECTORS_SINCE);
  const hasCodes = isVersionAtLeast(version, TURBO_CODES_SINCE);
  return {
    datatypes: DATATYPES.filter((name) => name !== 'turbo4' || hasVectors),
    quantizations: QUANTIZATIONS.filter((name) => !name.startsWith('turbo') || hasCodes),
  };
}

/** Returns words for kinds of storage that a server of this version lacks. */
export function lackingText(kinds: readonly StorageKind[], version: string): string {
  const first = kinds.includes('turbo4') ? TURBO_VECTORS_SINCE : TURBO_CODES_SINCE;
  return `Qdrant ${version} cannot store vectors as ${kinds.join(' or ')}: Qdrant ${first.join('.')} or newer can`;
}

/** The server's names for the bits of a component in a TurboQuant code. */
const TURBO_BITS: Readonly<Record<string, string>> = {
  'turbo-1bit': 'bits1',
  'turbo-1.5bit': 'bits1_5',
  'turbo-2bit': 'bits2',
  'turbo-4bit': 'bits4',
};

function turboBits(quantization: Quantization): string | undefined {
  return Object.hasOwn(TURBO_BITS, quantization) ? TURBO_BITS[quantization] : undefined;
}

function binaryJson(quantization: Quantization): JsonObject | undefined {
  return Object.hasOwn(BINARY, quantization) ? BINARY[quantization] : undefined;
}

/** Bits of a component in a code, by the server's name of the encoding. */
const ENCODING_BITS: Readonly<Record<string, number>> = { one_bit: 1, one_and_half_bits: 1.5, two_bits: 2 };

/** Returns the bits of a component in the codes of these settings of a binary quantisation. */
function binaryBits(binary: Json): number {
  const encoding = textAt(binary, 'encoding') ?? 'one_bit';
  return (Object.hasOwn(ENCODING_BITS, encoding) ? ENCODING_BITS[encoding] : undefined) ?? 1;
}

/** Returns the bytes of one code: with an offset of 4 bytes if scalar, in words of 128 bits if binary. */
export function codeBytes(config: Json | undefined, dim: number): number {
  const settings = isObject(config) ? config : {};
  if (isObject(settings['scalar'])) return dim + 4;
  const binary = settings['binary'];
  if (isObject(binary)) return Math.ceil((dim * binaryBits(binary)) / 128) * 16;
  const turbo = /^turbo-(.+)bit$/.exec(quantizationOf(settings))?.[1];
  if (turbo !== undefined) return (dim * Number(turbo)) / 8;
  const ratio = /^x(\d+)$/.exec(textAt(settings, 'product', 'compression') ?? '')?.[1];
  return ratio === undefined ? 0 : (dim * 4) / Number(ratio);
}

/** Returns the name of the quantisation in these settings; 'none' if there is none, or one without a name. */
export function quantizationOf(settings: JsonObject): Quantization {
  const compression = textAt(settings, 'product', 'compression');
  if (compression !== undefined)
    return QUANTIZATIONS.find((name) => name === `product-${compression}`) ?? 'none';
  if (isObject(settings['scalar'])) return 'scalar';
  if (isObject(settings['turbo'])) {
    const turbo = textAt(settings, 'turbo', 'bits') ?? 'bits4';
    return QUANTIZATIONS.find((name) => turboBits(name) === turbo) ?? 'none';
  }
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
  const bits = turboBits(quantization);
  if (bits !== undefined) return { turbo: { bits, ...shared } };
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
  // Newer servers read `memory`, and `on_disk` only without it.
  if (quantization !== undefined || onDisk !== undefined) delete changed['memory'];
  return withoutNulls(changed);
}

/** Returns the settings of a vector that is only read by id: on disk, without graph and codes. */
export function readById(full: JsonObject): JsonObject {
  const hnsw = withoutIndex(objectAt(full, 'hnsw_config'));
  const byId: JsonObject = { ...full, on_disk: true, hnsw_config: hnsw, quantization_config: null };
  delete byId['memory'];
  return byId;
}

/** Returns whether vectors of these settings are not held in memory. */
export function isOnDisk(params: Json | undefined): boolean {
  const memory = textAt(params, 'memory');
  return memory === undefined ? valueAt(params, 'on_disk') === true : memory === 'cold';
}

/** Returns whether the codes of a quantisation stay in memory, although the vectors do not. */
export function areCodesPinned(quantization: JsonObject): boolean {
  return Object.values(quantization).some((one) => {
    const memory = textAt(one, 'memory');
    return memory === undefined ? valueAt(one, 'always_ram') === true : memory === 'pinned';
  });
}

/**
 * Returns the settings with the datatype of a compact vector that is stored as the full one is. Projected values are no
 * bytes, and a collection of codes alone could not be verified: these become float32.
 */
export function ofProjected(params: JsonObject): JsonObject {
  const own = textAt(params, 'datatype');
  return own === 'uint8' || own === 'turbo4' ? { ...params, datatype: 'float32' } : params;
}

/** @throws UNSUPPORTED when projected values could not be stored or verified as this datatype */
export function checkTargetDatatype({ datatype, layout }: TargetChange): void {
  if (datatype === undefined) return;
  if (!TARGET_DATATYPES.some((name) => name === datatype))
    throw new TldrError(
      'UNSUPPORTED',
      `datatype ${datatype} would change projected values: expected ${TARGET_DATATYPES.join(' or ')}`,
    );
  if (datatype === 'turbo4' && layout !== 'two-stage')
    throw new TldrError(
      'UNSUPPORTED',
      'datatype turbo4 keeps 4 bits of each value, too few to see later that a point was changed: expected the layout two-stage, which also keeps the full vectors, or another datatype',
    );
}

/** @throws UNSUPPORTED for a vector that a copy would change: its codes would be made again, of values read from codes */
export function checkCopied(source: string, copied: Iterable<readonly [string, Json]>): void {
  for (const [name, params] of copied)
    if (textAt(params, 'datatype') === 'turbo4')
      throw new TldrError(
        'UNSUPPORTED',
        `vector "${name}" of ${source} has the datatype turbo4: a copy would change it. Expected vectors that can be read as they were written`,
      );
}

/** Returns a vector's settings with this number of links of each point in its graph; undefined keeps them. */
export function withHnswM(params: JsonObject, hnswM: number | undefined): JsonObject {
  if (hnswM === undefined) return params;
  return { ...params, hnsw_config: { ...objectAt(params, 'hnsw_config'), m: num(hnswM) } };
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
