import type { Distance } from '../core/distance.js';

/** One dense vector space of a collection. `name` is '' for the unnamed default vector. */
export interface DenseVectorSpec {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  /** True if a point holds a list of vectors under this name. Such vectors cannot be reduced yet. */
  readonly multivector: boolean;
  /** Bytes per stored component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** A collection's settings in neutral terms, and the store's own to carry over unchanged. */
export interface CollectionSpec {
  readonly name: string;
  readonly vectors: readonly DenseVectorSpec[];
  /** Names of vectors that are not dense (such as sparse ones). They are part of `PointBatch.extra`. */
  readonly otherVectors: readonly string[];
  /** Parts that are copied one by one. Empty if the collection is not divided. */
  readonly partitions: readonly Partition[];
  /** The collection's own metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The store's settings as lossless JSON text. Only the adapter that wrote it reads it. */
  readonly native: string;
}

/**
 * A part of a collection that is read and written by itself: plain data. Each point belongs to one part, and
 * ids are distinct within a part. Only the adapter knows what kind and value mean.
 */
export interface Partition {
  readonly kind: string;
  readonly value: string;
}

/** How a target stores compact vectors. See `Layouts of the target` in ARCHITECTURE. */
export type Layout = 'compact' | 'two-stage';

/** Number formats of a stored vector's components; `turbo4` keeps only a code of 4 bits for each. */
export const DATATYPES = ['float32', 'float16', 'uint8', 'turbo4'] as const;
/** Number formats in which a target can store compact vectors; `turbo4` only beside the full ones. Bytes would truncate them. */
export const TARGET_DATATYPES = ['float32', 'float16', 'turbo4'] as const satisfies readonly Datatype[];
/** A number format of a stored vector's components. */
export type Datatype = (typeof DATATYPES)[number];

/**
 * Quantisations: codes that the database searches in place of the vectors. One byte per component, product
 * codes 8 to 32 times smaller than the vectors, or one, one and a half or two bits per component. `binary` also
 * reduces a query to one bit per component; the other binary forms keep 8 bits per component of a query. The turbo forms
 * rotate a vector and round each component to one of a few levels (TurboQuant).
 */
export const QUANTIZATIONS = [
  'none',
  'scalar',
  'product-x8',
  'product-x16',
  'product-x32',
  'binary',
  'binary-1bit',
  'binary-1.5bit',
  'binary-2bit',
  'turbo-1bit',
  'turbo-1.5bit',
  'turbo-2bit',
  'turbo-4bit',
] as const;
/** A quantisation, by its name. */
export type Quantization = (typeof QUANTIZATIONS)[number];

/** How a vector is stored: a datatype, or a quantisation (the vector on disk, its codes in memory). */
export type StorageKind = Datatype | Exclude<Quantization, 'none'>;

/** All storage kinds, datatypes first. */
export const STORAGE_KINDS: readonly StorageKind[] = [
  ...DATATYPES,
  ...QUANTIZATIONS.filter((name) => name !== 'none'),
];

/** Forms in which compact vectors can be stored. Bytes as components would truncate them. */
export const STORED_FORMS: readonly StorageKind[] = STORAGE_KINDS.filter((kind) => kind !== 'uint8');
