import { TldrError } from '../../src/core/errors.js';
import type { CompactForm } from '../../src/store/beside/projecting-source.js';
import type { TableFacts } from './catalog/describe-table.js';
import { quoted } from './catalog/identifiers.js';
import { numberIn, textIn } from './catalog/values.js';
import { isOnEncoder } from './catalog/vector-indexes.js';
import type { ReadTransaction, Row } from './connect/connections.js';
import { objectsOf, SCHEMA } from './migrate/objects.js';
import { readMigrations, type StoredMigration } from './migrate/state-table.js';
import {
  APPROXIMATE,
  compactExpression,
  compactDescription,
  type CompactRequest,
  type SearchedBeside,
} from './read/compact-form.js';

/** Phases in which a search would not find all rows. */
const UNFINISHED: readonly StoredMigration['phase'][] = ['installing', 'filling', 'indexing'];

/**
 * Returns how a table is searched by the compact vectors that a migration in place keeps beside it; null without them.
 * The right to read the state of the migration is not needed.
 * @throws INVALID_ARGUMENT while not all compact vectors are written
 */
export async function sideTableForm(
  transaction: ReadTransaction,
  table: TableFacts,
  asked: CompactRequest,
): Promise<SearchedBeside | null> {
  const { column, encoder } = asked;
  const { fingerprint, outputDim: dim, compactDistance: distance } = encoder;
  const { schema, name, statementName } = table;
  const key = { schema, table: name, column: column.name };
  const names = objectsOf({ ...key, fingerprint, symmetric: true });
  const state = await migrationOf(transaction, key);
  const isThis = state?.facts.fingerprint === fingerprint;
  if (isThis && UNFINISHED.includes(state.phase))
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the compact vectors of ${statementName} are not all written and indexed yet (${state.phase})`,
      { hint: 'resume-migration' },
    );
  if (isThis && state.facts.layout === 'index-only') {
    const { searched, form } = await compactExpression(transaction, table, asked);
    return { searched, form: { ...form, isMigrated: true, warnings: warningsOf(state) } };
  }
  const found = await indexedSide(transaction, names.indexName);
  if (found === null) return null;
  const same = table.key.map(({ name: own }, i) => `t.${quoted(own)} = s.k${i + 1}`).join(' and ');
  const searched = {
    name: names.indexName,
    from: `${statementName} t join ${names.side} s on ${same}`,
    expression: 's.z',
    type: textIn(found, 'type') === 'halfvec' ? ('halfvec' as const) : ('vector' as const),
    dim,
    distance,
    condition: 'true',
  };
  const after = numberIn(found, 'bytes');
  const before = await fullIndexBytes(transaction, table, column.name);
  const form: CompactForm = {
    description: compactDescription(searched.name, table, asked),
    notes: [`compact vectors are read from the table ${names.side}`, APPROXIMATE],
    warnings: isThis ? warningsOf(state) : [],
    isMigrated: true,
    indexBytes: before > 0 && after > 0 ? { before, after } : null,
  };
  return { searched, form };
}

function warningsOf({ phase, cutOver }: StoredMigration): readonly string[] {
  return [
    ...(phase === 'repairing'
      ? ['full and compact vectors differed, and are repaired now: results may be worse than afterwards']
      : []),
    ...(cutOver?.form === 'operator'
      ? [
          `clients that search by the operator (${cutOver.name}) get approximate distances: theirs is the search in one pass ("compact"), not the rescored one`,
        ]
      : []),
  ];
}

/** Returns the migration of a column; null without one, and for a role that may not read the states. */
async function migrationOf(
  { query }: ReadTransaction,
  { schema, table, column }: { readonly schema: string; readonly table: string; readonly column: string },
): Promise<StoredMigration | null> {
  const rows = await query(
    `select 'x' as may from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = 'migration' and pg_catalog.has_schema_privilege(n.oid, 'usage')
       and pg_catalog.has_table_privilege(c.oid, 'select')`,
    [SCHEMA],
  );
  if (rows.length === 0) return null;
  const [found = null] = await readMigrations(query, { schema, table, column });
  return found;
}

/** Returns type and bytes of the compact vectors that an index holds; null if there is no valid index of this name. */
async function indexedSide({ query }: ReadTransaction, indexName: string): Promise<Row | null> {
  const [row = null] = await query(
    `select y.typname::pg_catalog.text as type, pg_catalog.pg_relation_size(c.oid)::pg_catalog.text as bytes
     from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
     join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attname = 'z'
     join pg_catalog.pg_type y on y.oid = a.atttypid
     where n.nspname = $1 and c.relname = $2 and i.indisvalid and i.indisready`,
    [SCHEMA, indexName],
  );
  return row;
}

/** Returns the bytes of the indexes on the full vectors of a column, those of partitions included. */
async function fullIndexBytes(
  { query }: ReadTransaction,
  { oid }: TableFacts,
  column: string,
): Promise<number> {
  const [row = {}] = await query(
    `select coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(i.indexrelid)), 0)::pg_catalog.text as bytes
     from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
     join pg_catalog.pg_am m on m.oid = c.relam and m.amname in ('hnsw', 'ivfflat')
     where (i.indrelid = $1::pg_catalog.oid
         or i.indrelid in (select relid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))
       and not ${isOnEncoder('i.indexrelid')}
       and exists (select from pg_catalog.pg_depend d
         join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
         where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid
           and d.refobjid = i.indrelid and a.attname = $2)`,
    [oid, column],
  );
  return numberIn(row, 'bytes');
}
