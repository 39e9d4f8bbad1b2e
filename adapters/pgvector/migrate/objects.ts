import { createHash } from 'node:crypto';
import type { Distance } from '../../../src/core/distance.js';
import type { Encoder } from '../../../src/encoder/model.js';
import type { KeyColumn, TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import type { InPlaceLayout } from '../../../src/store/in-place-target.js';
import { encoderId } from '../sql/encoder-script.js';

/** The schema of everything that migrations make. */
export const SCHEMA = 'tldr';
/** Names in PostgreSQL have 63 bytes at most, and prefixes and suffixes need some of them. */
const TABLE_BYTES = 32;
const HASH_DIGITS = 8;

/** Facts of one migration, from which all its statements are made. They are stored with its state. */
export interface MigrationFacts {
  readonly layout: InPlaceLayout;
  readonly schema: string;
  readonly table: string;
  readonly column: string;
  /** Type of the column: `vector` or `halfvec`. */
  readonly columnType: VectorColumnFacts['type'];
  readonly isPartitioned: boolean;
  /** The extension's schema, in quotes. */
  readonly extension: string;
  /** Columns of the key, with their types in the side table. */
  readonly key: readonly Pick<KeyColumn, 'name' | 'type'>[];
  readonly fingerprint: string;
  readonly symmetric: boolean;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly distance: Distance;
  readonly compactDistance: Distance;
  readonly compactType: 'vector' | 'halfvec';
  readonly hnswM: number | null;
}

/**
 * Types of keys in the side table, where they are not those of the base table. A key's column may get a wider type while
 * clients write.
 */
const WIDEST_TYPES: Readonly<Record<string, string>> = { int2: 'int8', int4: 'int8', varchar: 'text' };

/** The facts that decide the names. */
type NamedBy = Pick<MigrationFacts, 'schema' | 'table' | 'column' | 'fingerprint' | 'symmetric'>;

/** Names of what a migration makes, for statements. */
export interface MigrationObjects {
  /** The table with the full vectors. */
  readonly base: string;
  readonly side: string;
  readonly index: string;
  /** The index's name without its schema. */
  readonly indexName: string;
  readonly syncRow: string;
  /** The function that writes a compact vector after the full column was dropped. */
  readonly writeVector: string;
  /** The function that says whether a role may change a row, for policies of compact vectors without full ones. */
  readonly mayWrite: string;
  readonly onWrite: string;
  readonly onTruncate: string;
  readonly writeTrigger: string;
  readonly truncateTrigger: string;
  readonly project: string;
  readonly projectQuery: string;
  /** The index of an expression of the base table: of the layout index-only, and of the operator. */
  readonly baseIndex: string;
  readonly baseIndexName: string;
  /** The functions of that expression, for rows and for queries. */
  readonly indexedProject: string;
  readonly indexedProjectQuery: string;
  /** The function behind the operator. */
  readonly distance: string;
  /** The schema that has nothing but the operator, so that it hides nothing else. */
  readonly operatorSchema: string;
  /** Tables of the encoder's weights. */
  readonly weights: readonly string[];
}

/** Returns the facts of a migration of one column. */
export function migrationFacts(
  table: TableFacts,
  vector: VectorColumnFacts,
  of: {
    readonly encoder: Encoder;
    readonly layout: InPlaceLayout;
    readonly compactType: MigrationFacts['compactType'];
    readonly hnswM: number | undefined;
  },
): MigrationFacts {
  const { encoder, layout, compactType, hnswM = null } = of;
  return {
    layout,
    schema: table.schema,
    table: table.name,
    column: vector.name,
    columnType: vector.type,
    isPartitioned: table.kind === 'p',
    extension: table.extension,
    key: table.key.map(({ name, type }) => ({ name, type: WIDEST_TYPES[type] ?? type })),
    fingerprint: encoder.fingerprint,
    symmetric: encoder.symmetric,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance: encoder.metadata.distance,
    compactDistance: encoder.metadata.compactDistance,
    compactType,
    hnswM,
  };
}

/** Returns the names of what a migration makes. */
export function objectsOf({ schema, table, column, fingerprint, symmetric }: NamedBy): MigrationObjects {
  const hash = createHash('sha256')
    .update(JSON.stringify([schema, table, column, fingerprint]))
    .digest('hex');
  const short = hash.slice(0, HASH_DIGITS);
  const end = `${shortened(table)}_${short}`;
  const inSchema = (name: string): string => `${quoted(SCHEMA)}.${quoted(name)}`;
  const id = encoderId(fingerprint);
  return {
    base: `${quoted(schema)}.${quoted(table)}`,
    side: inSchema(`compact_${end}`),
    index: inSchema(`compact_${end}_hnsw`),
    indexName: `compact_${end}_hnsw`,
    syncRow: inSchema(`sync_row_${end}`),
    writeVector: inSchema(`write_vector_${end}`),
    mayWrite: inSchema(`may_write_${end}`),
    onWrite: inSchema(`on_write_${end}`),
    onTruncate: inSchema(`on_truncate_${end}`),
    // Triggers of one event fire in the order of their names: after those of the table's owner.
    writeTrigger: quoted(`zz_tldr_write_${end}`),
    truncateTrigger: quoted(`zz_tldr_truncate_${end}`),
    project: inSchema(`project_${id}`),
    projectQuery: inSchema(symmetric ? `project_${id}` : `project_query_${id}`),
    baseIndex: `${quoted(schema)}.${quoted(`tldr_${end}_hnsw`)}`,
    baseIndexName: `tldr_${end}_hnsw`,
    indexedProject: inSchema(`project_${id}_${short}`),
    indexedProjectQuery: inSchema(symmetric ? `project_${id}_${short}` : `project_query_${id}_${short}`),
    distance: inSchema(`distance_${short}`),
    operatorSchema: `tldr_operator_${short}`,
    weights: [inSchema(`weights_${id}`), ...(symmetric ? [] : [inSchema(`weights_query_${id}`)])],
  };
}

/** The beginning of a name, cut between characters. */
function shortened(name: string): string {
  let kept = '';
  for (const char of name) {
    if (Buffer.byteLength(kept + char) > TABLE_BYTES) break;
    kept += char;
  }
  return kept;
}

/** The schema's name of the extension without quotes. */
export function extensionName({ extension }: Pick<MigrationFacts, 'extension'>): string {
  return extension.slice(1, -1).replaceAll('""', '"');
}

/** Names of the key's columns in the side table. */
export function sideKeys({ key }: MigrationFacts): readonly string[] {
  return key.map((_, i) => `k${i + 1}`);
}

/** The key's columns of the base table. */
export function baseKeys({ key }: MigrationFacts, alias: string): readonly string[] {
  return key.map(({ name }) => `${alias}.${quoted(name)}`);
}

/** A type of compact vectors, with its length. */
export function compactTypeOf({ extension, compactType, outputDim }: MigrationFacts): string {
  return `${extension}.${compactType}(${outputDim})`;
}

/**
 * An expression of the column's type as a `vector`, which is what functions of an encoder take. In an index, nothing stands
 * around the column that searches do not write too.
 */
export function asVector({ extension, columnType }: MigrationFacts, expression: string): string {
  return columnType === 'vector' ? expression : `(${expression})::${extension}.vector`;
}

/** The compact vector of an expression that gives the full one. The cast lets the column's type change later. */
export function compactProjection(
  facts: MigrationFacts,
  expression: string,
  by: 'project' | 'projectQuery',
): string {
  return `${objectsOf(facts)[by]}((${expression})::${facts.extension}.vector)::${compactTypeOf(facts)}`;
}

/** A condition that holds if an expression gives a vector that the encoder takes. */
export function hasFullVector(facts: MigrationFacts, expression: string): string {
  const { extension, inputDim } = facts;
  return `${extension}.vector_dims((${expression})::${extension}.vector) = ${inputDim}`;
}

/** The statement that builds an index of compact vectors while clients write. */
export function hnswStatement(
  { extension, compactType, compactDistance, hnswM }: MigrationFacts,
  { name, table, expression }: { readonly name: string; readonly table: string; readonly expression: string },
): string {
  const { indexClass } = OPERATORS[compactDistance];
  const settings = hnswM === null ? '' : ` with (m = ${hnswM}, ef_construction = ${Math.max(64, 2 * hnswM)})`;
  return `create index concurrently ${quoted(name)} on ${table} using hnsw (${expression} ${extension}.${compactType}_${indexClass})${settings}`;
}

/** An operator with its schema: a restore, and functions with a search path of their own, find no other. */
export function operator({ extension }: Pick<MigrationFacts, 'extension'>, sign: string): string {
  return `operator(${extension}.${sign})`;
}

/** A key as values for a comparison with the columns of the key. */
export function keyValues({ key }: MigrationFacts, values: readonly string[]): string {
  return values.map((value, i) => `${literal(value)}::pg_catalog.${key[i]?.type ?? 'text'}`).join(', ');
}
