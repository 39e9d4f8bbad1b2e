import { DISTANCES, type Distance } from '../../../src/core/distance.js';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { ReadTransaction, Row } from '../connect/connections.js';
import { findTable, type FoundTable } from './find-table.js';
import { namesOfList, quoted } from './identifiers.js';
import { isUniqueKey, keyNames } from './unique-keys.js';
import { numberIn, textIn, textsIn } from './values.js';
import { vectorIndexes, type VectorIndexFacts } from './vector-indexes.js';

/** A column of the key. */
export interface KeyColumn {
  readonly name: string;
  readonly kind: 'number' | 'text' | 'uuid';
  /** Type of the column, for casts in statements. */
  readonly type: string;
  /** Whether the column is ordered by bytes, so that its index gives the order of ids. */
  readonly isByteOrdered: boolean;
}

/** A column of vectors. */
export interface VectorColumnFacts {
  readonly name: string;
  readonly type: 'vector' | 'halfvec';
  readonly dim: number;
  /** False if the column allows vectors of every length. */
  readonly hasFixedDim: boolean;
  readonly distance: Distance;
  /** The index that searches use; null without one. */
  readonly index: VectorIndexFacts | null;
}

/** What the catalogue says of a table. */
export interface TableFacts extends FoundTable {
  /** The name for statements, with the schema and in quotes. */
  readonly statementName: string;
  /** The schema of the extension, in quotes. */
  readonly extension: string;
  readonly key: readonly KeyColumn[];
  readonly vectors: readonly VectorColumnFacts[];
  readonly otherVectors: readonly string[];
  /** Columns of the payload. */
  readonly payload: readonly { readonly name: string; readonly isJson: boolean }[];
  /** Rows by the statistics; -1 if the table was never analysed. */
  readonly estimatedRows: number;
  /** The comment on the table; '' without one. */
  readonly comment: string;
}

/** Settings of the adapter. */
export interface TableSettings {
  readonly keyColumns?: string | undefined;
  readonly vectorDistance?: string | undefined;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly isVectorType: boolean;
  readonly typmod: number;
  /** Whether its texts are ordered by their bytes, for sure. */
  readonly isByteOrdered: boolean;
}

const KEY_KINDS: Readonly<Record<string, KeyColumn['kind']>> = {
  int2: 'number',
  int4: 'number',
  int8: 'number',
  text: 'text',
  varchar: 'text',
  uuid: 'uuid',
};
/** Rows that tell the length of vectors in a column that allows every length. */
const LENGTH_ROWS = 1_000;

/** Returns what the catalogue says of a table. @throws NOT_FOUND, UNSUPPORTED without a key or the extension */
export async function describeTable(
  transaction: ReadTransaction,
  of: { readonly name: string; readonly endpoint: string; readonly settings: TableSettings },
): Promise<TableFacts> {
  const table = await findTable(transaction, of.name, of.endpoint);
  const extension = quoted(await extensionSchema(transaction, of.endpoint));
  const columns = await columnsOf(transaction, table);
  const statementName = `${quoted(table.schema)}.${quoted(table.name)}`;
  const key = await keyOf(transaction, { table, columns, settings: of.settings, shown: of.name });
  const facts = await otherFacts(transaction, table);
  const given = givenDistance(of.settings);
  const indexes = await vectorIndexes(transaction, table.oid);
  const vectors: VectorColumnFacts[] = [];
  for (const column of columns) {
    const { name, type, typmod, isVectorType } = column;
    if (!isVectorType || (type !== 'vector' && type !== 'halfvec')) continue;
    const dim = typmod > 0 ? typmod : await usualLength(transaction, statementName, { column, extension });
    const found = indexes.get(name);
    const distance = given ?? found?.distance ?? 'cosine';
    // An index for another distance is not used by searches.
    const index = found?.distance === distance ? found.index : null;
    vectors.push({ name, type, dim, hasFixedDim: typmod > 0, distance, index });
  }
  const isKey = new Set(key.map(({ name }) => name));
  return {
    ...table,
    ...facts,
    statementName,
    extension,
    key,
    vectors,
    otherVectors: columns
      .filter(({ isVectorType, type }) => isVectorType && type === 'sparsevec')
      .map(nameOf),
    payload: columns
      .filter(({ name, isVectorType }) => !isVectorType && !isKey.has(name))
      .map(({ name, type }) => ({ name, isJson: type === 'json' || type === 'jsonb' })),
  };
}

const nameOf = ({ name }: { readonly name: string }): string => name;

async function extensionSchema({ query }: ReadTransaction, endpoint: string): Promise<string> {
  const [row] = await query(
    `select n.nspname::pg_catalog.text as schema from pg_catalog.pg_extension e
     join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'`,
  );
  if (row !== undefined) return textIn(row, 'schema');
  throw new TldrError(
    'UNSUPPORTED',
    `${endpoint} has no extension "vector" in this database: run CREATE EXTENSION vector`,
  );
}

async function columnsOf({ query }: ReadTransaction, { oid }: FoundTable): Promise<readonly Column[]> {
  const rows = await query(
    `select a.attname::pg_catalog.text as name, t.typname::pg_catalog.text as type,
       (e.oid is not null)::pg_catalog.text as "isVectorType", a.atttypmod::pg_catalog.text as typmod,
       coalesce(case when o.collprovider <> 'd' then o.collprovider = 'c' and o.collcollate in ('C', 'POSIX')
         else coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' and d.datcollate in ('C', 'POSIX') end, false)::pg_catalog.text as "isByteOrdered"
     from pg_catalog.pg_attribute a
     join pg_catalog.pg_type t on t.oid = a.atttypid
     join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
     left join pg_catalog.pg_collation o on o.oid = a.attcollation
     left join pg_catalog.pg_depend p on p.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and p.objid = t.oid and p.deptype = 'e'
     left join pg_catalog.pg_extension e on e.oid = p.refobjid and e.extname = 'vector'
     where a.attrelid = $1::pg_catalog.oid and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [oid],
  );
  return rows.map((row) => ({
    name: textIn(row, 'name'),
    type: textIn(row, 'type'),
    isVectorType: textIn(row, 'isVectorType') === 'true',
    typmod: numberIn(row, 'typmod'),
    isByteOrdered: textIn(row, 'isByteOrdered') === 'true',
  }));
}

/** Returns the columns that identify a row: those of the setting, of the primary key, or of a unique index. */
async function keyOf(
  { query }: ReadTransaction,
  of: {
    readonly table: FoundTable;
    readonly columns: readonly Column[];
    readonly settings: TableSettings;
    readonly shown: string;
  },
): Promise<readonly KeyColumn[]> {
  const { table, columns, settings, shown } = of;
  const rows = await query(
    `select ${keyNames('i')}::pg_catalog.text as names, (${isUniqueKey('i')})::pg_catalog.text as usable
     from pg_catalog.pg_index i
     where i.indrelid = $1::pg_catalog.oid and (i.indisprimary or ${isUniqueKey('i')})
     order by i.indisprimary desc, i.indnkeyatts, i.indexrelid`,
    [table.oid],
  );
  const { keyColumns = '' } = settings;
  const isReadable = (name: string): boolean =>
    KEY_KINDS[columns.find((one) => one.name === name)?.type ?? ''] !== undefined;
  const found = rows.map((row) => textsIn(row, 'names'));
  const readable = rows
    .filter((row) => textIn(row, 'usable') === 'true')
    .map((row) => textsIn(row, 'names'))
    .find((one) => one.every(isReadable));
  const names = keyColumns !== '' ? namesOfList(keyColumns) : (readable ?? found[0]);
  if (names === undefined) throw missingKey(table, shown);
  return names.map((name) => {
    const column = columns.find((one) => one.name === name);
    if (column === undefined)
      throw new TldrError('NOT_FOUND', `${shown} has no column "${name}", which should identify its rows`);
    const kind = KEY_KINDS[column.type];
    if (kind === undefined)
      throw new TldrError(
        'UNSUPPORTED',
        `${shown} is identified by "${name}" of type ${column.type}: expected whole numbers, texts or UUIDs. Add a unique index of such columns that are not NULL, or name columns that identify its rows`,
        { hint: 'key-columns' },
      );
    // A foreign table's own server may order texts in another way.
    const isByteOrdered = kind !== 'text' || (column.isByteOrdered && table.kind !== 'f');
    return { name, kind, type: column.type, isByteOrdered };
  });
}

function missingKey({ kind, schema, name }: FoundTable, shown: string): TldrError {
  const what =
    kind === 'v' || kind === 'm'
      ? `is a view: name the columns that identify its rows`
      : kind === 'f'
        ? `is a foreign table: name the columns that identify its rows`
        : `has no primary key: add one, for example ALTER TABLE ${quoted(schema)}.${quoted(name)} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, or name the columns that identify its rows`;
  return new TldrError('UNSUPPORTED', `${shown} ${what}`, { hint: 'key-columns' });
}

async function otherFacts(
  { query }: ReadTransaction,
  { oid }: FoundTable,
): Promise<Pick<TableFacts, 'estimatedRows' | 'comment'>> {
  const [row] = await query(
    `select coalesce(pg_catalog.obj_description($1::pg_catalog.oid, 'pg_class'), '') as comment,
       (case when c.relkind = 'p' then (
         select coalesce(pg_catalog.sum(leaves.n), 0) from (
           select case when leaf.reltuples < 0 then 0 else leaf.reltuples end as n
           from pg_catalog.pg_partition_tree(c.oid) t join pg_catalog.pg_class leaf on leaf.oid = t.relid and t.isleaf
         ) leaves) else c.reltuples end)::pg_catalog.text as rows
     from pg_catalog.pg_class c where c.oid = $1::pg_catalog.oid`,
    [oid],
  );
  const found = expectDefined(row, 'the table in the catalogue');
  return { estimatedRows: Math.round(numberIn(found, 'rows')), comment: textIn(found, 'comment') };
}

/** The distance that the setting names; undefined if it is empty. */
function givenDistance({ vectorDistance = '' }: TableSettings): Distance | undefined {
  const given = DISTANCES.find((one) => one === vectorDistance);
  if (given !== undefined || vectorDistance === '') return given;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `distance of vectors: got "${vectorDistance}", expected ${DISTANCES.join(', ')}`,
  );
}

/** Returns the most frequent length of vectors among the first rows; 0 for a table without vectors. */
async function usualLength(
  { query }: ReadTransaction,
  statementName: string,
  { column, extension }: { readonly column: Column; readonly extension: string },
): Promise<number> {
  const rows: readonly Row[] = await query(
    `select ${extension}.vector_dims(v)::pg_catalog.text as dim from
       (select ${quoted(column.name)} as v from ${statementName} where ${quoted(column.name)} is not null limit ${LENGTH_ROWS}) first
     group by 1 order by pg_catalog.count(*) desc, 1 limit 1`,
  );
  return rows[0] === undefined ? 0 : numberIn(rows[0], 'dim');
}
