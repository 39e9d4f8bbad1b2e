import { missingCollection } from '../../../src/store/missing-collection.js';
import type { ReadTransaction, Row } from '../connect/connections.js';
import { partsOfName, shownName, type NamePart } from './identifiers.js';
import { textIn } from './values.js';

/** A table, partitioned table, view, materialised view or foreign table. */
export interface FoundTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** `relkind` of the catalogue: r, p, v, m, f. */
  readonly kind: string;
}

const KINDS = `c.relkind in ('r', 'p', 'v', 'm', 'f')`;
const COLUMNS = `c.oid::pg_catalog.text as oid, n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name, c.relkind::pg_catalog.text as kind`;
const TABLES = `pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace`;
const IS_VISIBLE = `pg_catalog.pg_table_is_visible(c.oid)`;

/** Returns the table of this name, read as SQL reads it; an exact match comes first. @throws NOT_FOUND */
export async function findTable(
  transaction: ReadTransaction,
  name: string,
  endpoint: string,
): Promise<FoundTable> {
  const found = await findTableOrNull(transaction, name);
  if (found !== null) return found;
  const known = await listTables(transaction);
  throw missingCollection(name, { endpoint, known });
}

/** Returns the table of this name; null if there is none. */
export async function findTableOrNull(
  { query }: Pick<ReadTransaction, 'query'>,
  name: string,
): Promise<FoundTable | null> {
  const bare = await query(
    `select ${COLUMNS} from ${TABLES} where ${KINDS} and c.relname = $1 and ${IS_VISIBLE}`,
    [name],
  );
  if (bare[0] !== undefined) return foundTable(bare[0]);
  const parts = partsOfName(name);
  const [first, second] = parts ?? [];
  if (first === undefined) return null;
  const rows =
    second === undefined
      ? await query(
          `select ${COLUMNS} from ${TABLES} where ${KINDS} and c.relname = any(array[$1, $2]) and ${IS_VISIBLE} order by c.relname <> $1`,
          spellings(first),
        )
      : await query(
          `select ${COLUMNS} from ${TABLES} where ${KINDS} and n.nspname = any(array[$1, $2]) and c.relname = any(array[$3, $4]) order by n.nspname <> $1, c.relname <> $3`,
          [...spellings(first), ...spellings(second)],
        );
  return rows[0] === undefined ? null : foundTable(rows[0]);
}

/** A name as it is written, and as SQL reads it without quotes. */
function spellings({ text, isQuoted }: NamePart): readonly [string, string] {
  return [text, isQuoted ? text : text.toLowerCase()];
}

function foundTable(row: Row): FoundTable {
  return {
    oid: textIn(row, 'oid'),
    schema: textIn(row, 'schema'),
    name: textIn(row, 'name'),
    kind: textIn(row, 'kind'),
  };
}

/** Returns the names of all tables with a vector that the role may read, partitions left out. */
export async function listTables({ query }: ReadTransaction): Promise<readonly string[]> {
  const rows = await query(
    `select distinct ${COLUMNS}, ${IS_VISIBLE}::pg_catalog.text as visible from ${TABLES}
     join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     join pg_catalog.pg_type t on t.oid = a.atttypid
     join pg_catalog.pg_extension e on e.extname = 'vector' and e.extnamespace = t.typnamespace
     where ${KINDS} and not c.relispartition and t.typname in ('vector', 'halfvec')
       and not (n.nspname = 'tldr' and c.relname ~ '^(compact|weights)_')
       and pg_catalog.has_schema_privilege(n.oid, 'usage')
       and (pg_catalog.has_table_privilege(c.oid, 'select') or pg_catalog.has_any_column_privilege(c.oid, 'select'))`,
  );
  return rows
    .map((row) => shownName({ ...foundTable(row), isVisible: textIn(row, 'visible') === 'true' }))
    .sort();
}
