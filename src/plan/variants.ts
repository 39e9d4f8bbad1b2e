import { compactDistance, type Distance } from '../core/distance.js';
import type { Encoder } from '../encoder/model.js';
import { row, type Matrix } from '../core/matrix.js';
import type { DenseVectorSpec, StorageKind } from '../store/collection.js';
import type { VectorColumn } from '../store/points.js';
import type { QuantizedSearch, SearchRequest } from '../store/search.js';
import type { KeptVector, ScratchVector } from '../store/storage.js';
import { storageOf, type SizingRow } from './sizing-row.js';

const TOP = 10;
/** Name of the vector that rescores, stored as in the two-stage layout. */
export const FULL_VECTOR = 'full';
const CURRENT_VECTOR = 'current';
/** Bytes cover the projected values between these two quantiles. */
const BYTE_RANGE = [0.0005, 0.9995] as const;
const RANGE_VALUES_MAX = 200_000;
const BYTE_MAX = 255;

/** One kind of storage for the sample's vectors: a named vector of the temporary collection. */
export interface Variant {
  readonly scratch: ScratchVector;
  readonly kind: SizingRow['kind'] | 'rescoring';
  readonly datatype: SizingRow['datatype'];
  readonly componentBytes: number;
  readonly quantized: boolean;
  /** Links of each point in the graph that is searched (`m` of HNSW); 0 for no graph. */
  readonly hnswM: number;
}

/** A variant with an oversampling: a row of the plan. */
export interface PlanConfig {
  readonly variant: Variant;
  readonly oversampling: number;
}

const COMPONENT_BYTES = { float32: 4, float16: 2, uint8: 1, turbo4: 0.5 } as const;

/**
 * Variants of the full vectors: as today, as in the two-stage layout, and with the store's other storage
 * kinds.
 */
export function fullVariants(
  vector: DenseVectorSpec,
  current: KeptVector,
  kinds: readonly StorageKind[],
): Variant[] {
  const { dim, distance } = vector;
  const { datatype } = current;
  const variants: Variant[] = [
    {
      scratch: { name: CURRENT_VECTOR, dim, distance, storage: 'source' },
      kind: 'current',
      datatype: 'as configured',
      componentBytes: vector.componentBytes,
      quantized: current.quantization !== 'none',
      hnswM: current.hnswM,
    },
    {
      scratch: {
        name: FULL_VECTOR,
        dim,
        distance,
        storage: { datatype, quantization: 'none', onDisk: true, indexed: false },
      },
      kind: 'rescoring',
      datatype,
      componentBytes: vector.componentBytes,
      quantized: false,
      hnswM: 0,
    },
  ];
  for (const kind of kinds) {
    const storage = storageOf(kind, datatype);
    const smaller = COMPONENT_BYTES[storage.datatype] <= vector.componentBytes;
    const isCurrent =
      storage.datatype === datatype && storage.quantization === current.quantization && !current.onDisk;
    // Full vectors do not hold byte values, and a wider datatype than the stored one gains nothing.
    if (!smaller || isCurrent || (kind === 'uint8' && datatype !== 'uint8')) continue;
    variants.push(
      variantOf(`full-${kind}`, { dim, distance, kind, storage, of: 'full', hnswM: current.hnswM }),
    );
  }
  return variants;
}

/**
 * Variants of the compact vectors of one size. Bytes keep only differences, so uint8 uses Euclid and excludes
 * dot.
 */
export function compactVariants(
  dim: number,
  { distance, hnswM }: { readonly distance: Distance; readonly hnswM: number },
  kinds: readonly StorageKind[],
): Variant[] {
  return kinds
    .filter((kind) => kind !== 'uint8' || distance !== 'dot')
    .map((kind) => {
      const own = kind === 'uint8' ? 'euclid' : compactDistance(distance);
      const storage = storageOf(kind);
      return variantOf(`c${dim}-${kind}`, { dim, distance: own, kind, storage, of: 'compact', hnswM });
    });
}

function variantOf(
  name: string,
  made: {
    readonly dim: number;
    readonly distance: Distance;
    readonly kind: StorageKind;
    readonly storage: ReturnType<typeof storageOf>;
    readonly of: 'full' | 'compact';
    readonly hnswM: number;
  },
): Variant {
  const { dim, distance, kind, storage, of, hnswM } = made;
  const quantized = storage.quantization !== 'none';
  return {
    scratch: { name, dim, distance, storage: { ...storage, onDisk: quantized, indexed: true } },
    kind: of,
    datatype: kind,
    componentBytes: COMPONENT_BYTES[storage.datatype],
    quantized,
    hnswM,
  };
}

/** The rows of a variant: with rescoring only if there are more exact vectors to rescore with. */
export function configsOf(variant: Variant, oversamplings: readonly number[]): PlanConfig[] {
  const { kind, quantized, datatype } = variant;
  if (kind === 'rescoring') return [];
  const fits = (oversampling: number): boolean => {
    if (oversampling > 1) return kind === 'compact' || (kind === 'full' && quantized);
    // Without rescoring, uint8 would return Euclidean distances, but clients expect the source's scores.
    return !(kind === 'compact' && datatype === 'uint8');
  };
  const wanted = kind === 'current' ? [1] : oversamplings;
  return wanted.filter(fits).map((oversampling) => ({ variant, oversampling }));
}

/** The search request of a row for one query, as a client or `search --rescore` sends it. */
export function searchRequestOf(
  { variant, oversampling }: PlanConfig,
  vectors: { readonly full: Float32Array; readonly own: Float32Array },
): SearchRequest {
  const { name } = variant.scratch;
  if (oversampling === 1) return { vectorName: name, vector: vectors.own, limit: TOP };
  if (variant.kind === 'full') {
    const quantized: QuantizedSearch = { rescore: true, oversampling };
    return { vectorName: name, vector: vectors.own, limit: TOP, quantized };
  }
  return {
    vectorName: FULL_VECTOR,
    vector: vectors.full,
    limit: TOP,
    prefetch: { vectorName: name, vector: vectors.own, limit: TOP * oversampling },
  };
}

/** The request for a long ranking by what a variant holds in memory, without rescoring. */
export function rankingRequest(variant: Variant, own: Float32Array, limit: number): SearchRequest {
  const { name } = variant.scratch;
  return {
    vectorName: name,
    vector: own,
    limit,
    ...(variant.quantized ? { quantized: { rescore: false } } : {}),
  };
}

/** A map from values to bytes: round(value * scale + offset). It keeps the order of Euclidean distances. */
export interface ByteMap {
  readonly scale: number;
  readonly offset: number;
}

/** Fits the map that spreads all values except the outermost (`BYTE_RANGE`) over 0 to 255. */
export function fitByteMap({ data }: Matrix): ByteMap {
  const stride = Math.max(1, Math.floor(data.length / RANGE_VALUES_MAX));
  const values = Float32Array.from(
    { length: Math.floor(data.length / stride) },
    (_, i) => data[i * stride]!,
  ).sort();
  const valueAt = (share: number): number => values[Math.floor(share * (values.length - 1))]!;
  const [low, high] = [valueAt(BYTE_RANGE[0]), valueAt(BYTE_RANGE[1])];
  const scale = BYTE_MAX / (high - low || 1);
  return { scale, offset: -low * scale };
}

/** Maps values to bytes; values outside the range become 0 or 255. */
export function toBytes(x: Matrix, { scale, offset }: ByteMap): Matrix {
  const data = x.data.map((value) => Math.max(0, Math.min(BYTE_MAX, Math.round(value * scale + offset))));
  return { rows: x.rows, cols: x.cols, data };
}

/** The encoder of each variant of compact vectors, by the variant's name. */
export type PlanEncoders = ReadonlyMap<string, Encoder>;

/** Base and queries in a variant's form. */
export interface VariantData {
  readonly base: Matrix;
  readonly queries: Matrix;
}

/** The vectors of each variant, by its name. Variants with the same encoder share memory. */
export function variantData(
  variants: readonly Variant[],
  full: VariantData,
  encoders: PlanEncoders,
): Map<string, VariantData> {
  const reduced = new Map(
    [...new Set(encoders.values())].map((encoder) => [
      encoder,
      { base: encoder.project(full.base), queries: encoder.projectQueries(full.queries) },
    ]),
  );
  const bytes = new Map<number, VariantData>();
  const found = new Map<string, VariantData>();
  for (const { scratch, kind, datatype } of variants) {
    const encoder = encoders.get(scratch.name);
    const own = kind === 'compact' ? encoder && reduced.get(encoder) : full;
    if (own === undefined) continue;
    if (kind !== 'compact' || datatype !== 'uint8') {
      found.set(scratch.name, own);
      continue;
    }
    const map = fitByteMap(own.base);
    const mapped = bytes.get(scratch.dim) ?? {
      base: toBytes(own.base, map),
      queries: toBytes(own.queries, map),
    };
    bytes.set(scratch.dim, mapped);
    found.set(scratch.name, mapped);
  }
  return found;
}

/** Rows `start` to `end` (excluded) of every variant, as the columns of one write. */
export function columnsOf(
  data: ReadonlyMap<string, VariantData>,
  start: number,
  end: number,
): VectorColumn[] {
  const has = new Uint8Array(end - start).fill(1);
  return [...data].map(([name, { base }]) => ({
    name,
    matrix: {
      rows: end - start,
      cols: base.cols,
      data: base.data.subarray(start * base.cols, end * base.cols),
    },
    has,
  }));
}

/** One query as a view. */
export function queryOf(data: VariantData, query: number): Float32Array {
  return row(data.queries, query);
}
