import * as v from 'valibot';
import { DISTANCES, type Distance } from '../../../src/core/distance.js';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { CollectionSpec, Quantization } from '../../../src/store/collection.js';
import type { KeptVector, ScratchRequest, ScratchVector } from '../../../src/store/storage.js';
import type { VectorIndexFacts } from '../catalog/vector-indexes.js';

/** What an index holds: vectors in full or half precision, or one bit for the sign of each component. */
export type IndexedForm = 'vector' | 'halfvec' | 'bit';

/** How one vector of a scratch schema is stored and searched. */
export interface StoredVector {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  /** All forms of the full vectors share one table. */
  readonly table: string;
  readonly columnType: 'vector' | 'halfvec';
  readonly form: IndexedForm;
  /** The first dimensions, if the index holds only these. */
  readonly prefix: number | null;
  /** Whether the bytes of the table are those of this vector, and not of another form of it. */
  readonly holdsTable: boolean;
  /** Null to compare with every row. */
  readonly index: VectorIndexFacts | null;
}

/** What the adapter writes into the settings of a scratch schema. */
export interface ScratchSettings {
  /** Schema of the extension, in quotes. */
  readonly extension: string;
  /** Rows of the table by the statistics. */
  readonly estimatedRows: number;
  readonly stored: readonly StoredVector[];
}

/** The table of the full vectors. */
export const FULL_TABLE = 'full';

/** The most dimensions that an index of each form holds. */
const DIMENSIONS_MAX: Readonly<Record<IndexedForm, number>> = { vector: 2_000, halfvec: 4_000, bit: 64_000 };
const HNSW_DEFAULT: VectorIndexFacts = {
  method: 'hnsw',
  type: 'vector',
  m: 16,
  efConstruction: 64,
  lists: null,
};

const TYPE = v.picklist(['vector', 'halfvec']);
const INDEX = v.nullable(
  v.object({
    method: v.picklist(['hnsw', 'ivfflat']),
    type: TYPE,
    m: v.number(),
    efConstruction: v.number(),
    lists: v.nullable(v.number()),
  }),
);
const PLACE = { extension: v.string(), estimatedRows: v.number() };
/** The parts of a table's settings that measurements need. */
const SOURCE = v.object({
  ...PLACE,
  vectors: v.array(v.object({ name: v.string(), type: TYPE, dim: v.number(), index: INDEX })),
});
const SCRATCH = v.object({
  ...PLACE,
  stored: v.array(
    v.object({
      name: v.string(),
      dim: v.number(),
      distance: v.picklist(DISTANCES),
      table: v.string(),
      columnType: TYPE,
      form: v.picklist(['vector', 'halfvec', 'bit']),
      prefix: v.nullable(v.number()),
      holdsTable: v.boolean(),
      index: INDEX,
    }),
  ),
});

/** Reads the settings that this adapter wrote for a scratch schema. */
export function scratchSettings(native: string): ScratchSettings {
  return v.parse(SCRATCH, JSON.parse(native));
}

function sourceOf({ native }: CollectionSpec): v.InferOutput<typeof SOURCE> {
  return v.parse(SOURCE, JSON.parse(native));
}

type SourceColumn = v.InferOutput<typeof SOURCE>['vectors'][number];

function columnOf(spec: CollectionSpec, vectorName: string): SourceColumn {
  const column = sourceOf(spec).vectors.find(({ name }) => name === vectorName);
  if (column !== undefined) return column;
  throw new TldrError('NOT_FOUND', `${spec.name} has no column of vectors "${vectorName}"`);
}

/** Returns how a column is indexed. @throws NOT_FOUND when there is no such column */
export function keptVector(spec: CollectionSpec, vectorName: string): KeptVector {
  const { type, index } = columnOf(spec, vectorName);
  return {
    datatype: (index?.type ?? type) === 'halfvec' ? 'float16' : 'float32',
    quantization: 'none',
    onDisk: index === null,
    indexed: index !== null,
    codesInMemory: false,
    indexInMemory: true,
    hnswM: linksOf(index),
  };
}

/** Links of each row in the graph, of an index or by default. */
function linksOf(index: VectorIndexFacts | null): number {
  return index?.method === 'hnsw' ? index.m : HNSW_DEFAULT.m;
}

/** Returns the spec of a scratch schema. @throws UNSUPPORTED for a storage that the database lacks, NOT_FOUND */
export function scratchSpec(source: CollectionSpec, request: ScratchRequest): CollectionSpec {
  const { extension, estimatedRows } = sourceOf(source);
  const column = columnOf(source, request.vectorName);
  const settings: ScratchSettings = {
    extension,
    estimatedRows,
    stored: request.vectors.map((vector) => storedVector(vector, column)),
  };
  return {
    name: request.name,
    vectors: request.vectors.map(({ name, dim, distance }) => ({
      name,
      dim,
      distance,
      multivector: false,
      componentBytes: 4,
    })),
    otherVectors: [],
    partitions: [],
    metadata: request.metadata,
    native: JSON.stringify(settings),
  };
}

function storedVector(
  { name, dim, distance, storage, hnswM, prefix }: ScratchVector,
  column: SourceColumn,
): StoredVector {
  const table = dim === column.dim ? FULL_TABLE : name;
  const own = { name, dim, distance, table, prefix: prefix ?? null };
  if (storage === 'source')
    return {
      ...own,
      columnType: column.type,
      form: column.index?.type ?? column.type,
      holdsTable: false,
      index: column.index,
    };
  const { datatype, quantization, indexed } = storage;
  if (datatype !== 'float32' && datatype !== 'float16')
    throw new TldrError('UNSUPPORTED', `no column can hold vectors as ${datatype}`);
  const form = formOfStorage(datatype, quantization);
  const m = hnswM ?? linksOf(column.index);
  const efConstruction = Math.max(HNSW_DEFAULT.efConstruction, 2 * m);
  return {
    ...own,
    columnType: table === FULL_TABLE ? column.type : form === 'halfvec' ? 'halfvec' : 'vector',
    form,
    holdsTable: table !== FULL_TABLE || !indexed,
    index: indexed
      ? { ...HNSW_DEFAULT, type: form === 'halfvec' ? 'halfvec' : 'vector', m, efConstruction }
      : null,
  };
}

function formOfStorage(datatype: 'float32' | 'float16', quantization: Quantization): IndexedForm {
  if (quantization === 'binary') return 'bit';
  if (quantization !== 'none') throw new TldrError('UNSUPPORTED', `no index holds ${quantization} codes`);
  return datatype === 'float16' ? 'halfvec' : 'vector';
}

/** Returns why no index can hold such vectors; null if one can. */
export function indexRefusal({ dim, prefix, storage }: ScratchVector): string | null {
  if (storage === 'source' || !storage.indexed) return null;
  const form = formOfStorage(storage.datatype === 'float16' ? 'float16' : 'float32', storage.quantization);
  const [length, most] = [prefix ?? dim, DIMENSIONS_MAX[form]];
  if (length <= most) return null;
  return `an index of ${form}(${length}), since the server indexes at most ${most.toLocaleString('en-US')} dimensions of this type`;
}

/** Returns a vector of the table's type in the form that the index holds. @param operand a column, or a parameter with its type */
export function inIndexForm(
  { dim, columnType, form, prefix }: StoredVector,
  operand: string,
  extension: string,
): string {
  const length = prefix ?? dim;
  const part = prefix === null ? operand : `${extension}.subvector(${operand}, 1, ${prefix})`;
  if (form === 'bit') return `${extension}.binary_quantize(${part})::bit(${length})`;
  return prefix === null && form === columnType ? part : `${part}::${extension}.${form}(${length})`;
}

/** Returns the stored vector of a name. */
export function storedNamed({ stored }: ScratchSettings, name: string): StoredVector {
  return expectDefined(
    stored.find((one) => one.name === name),
    `the vector ${name} of a scratch schema`,
  );
}
