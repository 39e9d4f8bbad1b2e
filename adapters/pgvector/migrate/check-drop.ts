import { TldrError } from '../../../src/core/errors.js';
import type { InPlaceCutOver } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import { lackingIndexes } from './base-index.js';
import { cutOverOf } from './end.js';
import { lackingTriggers, replicated } from './install.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import type { SessionQuery } from '../connect/session.js';
import { problemsOf } from './shown-state.js';
import { hasStateTable, readMigrations, type StoredMigration } from './state-table.js';
import { checkStateRights } from './preflight.js';
import type { TableFacts } from '../catalog/describe-table.js';

/** Functions that are named at most, if their texts name the column. */
const SHOWN = 10;

/** @throws UNSUPPORTED if the full vectors were deleted, so that only compact ones are left */
export function checkFullColumn(
  facts: MigrationFacts,
  cutOver: Pick<InPlaceCutOver, 'isFullColumnDropped'> | null,
): void {
  if (cutOver?.isFullColumnDropped !== true) return;
  const { base, side } = objectsOf(facts);
  throw new TldrError(
    'UNSUPPORTED',
    `the column "${facts.column}" of ${base} was dropped: its compact vectors in ${side} are all that is left, so they stay, and searches by full vectors cannot come back. To go back, restore the column from a backup, abort this migration, and start it again`,
  );
}

/** @throws UNSUPPORTED if a table has no vectors because a migration deleted them */
export async function checkFullColumns(
  query: SessionQuery,
  { schema, name }: Pick<TableFacts, 'schema' | 'name'>,
): Promise<void> {
  if (!(await hasStateTable(query))) return;
  await checkStateRights(query);
  for (const { facts, cutOver } of await readMigrations(query, { schema, table: name }))
    checkFullColumn(facts, cutOver);
}

/** The words that delete the full vectors. */
export function dropWords({ schema, table, column }: MigrationFacts): string {
  return `delete ${column} of ${schema}.${table}`;
}

/** What uses the column of the full vectors. */
export interface ColumnUses {
  /** Dropped with the column: indexes, constraints and statistics. */
  readonly dropped: readonly string[];
  /** Functions whose text names the column. They may fail afterwards. */
  readonly mentioned: readonly string[];
  /** Roles that may update this column and not the table. */
  readonly columnWriters: readonly string[];
}

/**
 * Checks that nothing is in the way of dropping the full vectors, without a change.
 * @throws INVALID_ARGUMENT before a cut-over; UNSUPPORTED, FORBIDDEN, VERIFY_FAILED with what is in the way
 */
export async function checkDroppable(query: SessionQuery, stored: StoredMigration): Promise<ColumnUses> {
  const { facts } = stored;
  const { base } = objectsOf(facts);
  checkFullColumn(facts, stored.cutOver);
  const cutOver = cutOverOf(stored);
  if (cutOver.form === 'operator')
    throw unsupported(
      `the cut-over is by operator, and clients of ${cutOver.name} name the column in their queries. Roll back, and cut over by a function first`,
    );
  if (facts.layout === 'index-only')
    throw unsupported('the layout index-only has compact vectors only in an index of that column');
  if (facts.isPartitioned)
    throw unsupported(
      `${base} is partitioned, and a row that changes its partition would lose its compact vector`,
    );
  const { base: subscriptions } = await replicated(query, facts);
  if (subscriptions.length > 0)
    throw unsupported(
      `the subscription ${subscriptions.join(', ')} writes rows with this column, and would stop without it`,
    );
  const problems = await problemsOf(query, stored);
  if (problems.length > 0) throw new TldrError('MISMATCH', problems.join('; '));
  const lacking = [
    ...(await lackingTriggers(query, facts)).map(({ line }) => line),
    ...(await lackingIndexes(query, { facts, cutOver })),
  ];
  if (lacking.length > 0)
    throw new TldrError('VERIFY_FAILED', lacking.join('; '), { hint: 'resume-migration' });
  await checkOwnerAndKey(query, facts);
  const uses = await usesOf(query, facts);
  if (uses.blocking.length > 0)
    throw unsupported(
      `these need the column of ${base}, and would have to be dropped or changed first: ${uses.blocking.join('; ')}`,
    );
  return {
    dropped: uses.dropped,
    mentioned: await mentionsOf(query, facts, cutOver),
    columnWriters: await columnWritersOf(query, facts),
  };
}

function unsupported(why: string): TldrError {
  return new TldrError('UNSUPPORTED', `the full column cannot be dropped: ${why}`);
}

/** @throws FORBIDDEN for another role than the owner; UNSUPPORTED for a key whose values can change places */
async function checkOwnerAndKey(query: SessionQuery, facts: MigrationFacts): Promise<void> {
  const { base, side, onWrite } = objectsOf(facts);
  const [row] = await query(
    `select o.owners, o."isOwner"::pg_catalog.text as "isOwner", a.atttypmod::pg_catalog.text as length,
       (select pg_catalog.string_agg(distinct p.pubname::pg_catalog.text, ', ') from pg_catalog.pg_publication_tables p
         where pg_catalog.to_regclass(pg_catalog.format('%I.%I', p.schemaname, p.tablename)) = pg_catalog.to_regclass($4)) as publications,
       exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisunique and not i.indimmediate
         and (select pg_catalog.array_agg(a.attname::pg_catalog.text order by a.attname::pg_catalog.text)
           from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum = any(i.indkey::pg_catalog.int2[]))
           = (select pg_catalog.array_agg(k order by k) from pg_catalog.json_array_elements_text($2::pg_catalog.json) k))::pg_catalog.text as "isDeferrable"
     from pg_catalog.pg_class c
     join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname::pg_catalog.text = $3,
     (select pg_catalog.string_agg(distinct pg_catalog.pg_get_userbyid(r.owner)::pg_catalog.text, ', ') as owners,
         pg_catalog.bool_and(pg_catalog.pg_has_role(r.owner, 'usage')) as "isOwner"
       from (select k.relowner as owner from pg_catalog.pg_class k where k.oid in (pg_catalog.to_regclass($1), pg_catalog.to_regclass($4))
         union all select f.proowner from pg_catalog.pg_proc f where f.oid = pg_catalog.to_regprocedure($5)) r) o
     where c.oid = pg_catalog.to_regclass($1)`,
    [base, JSON.stringify(facts.key.map(({ name }) => name)), facts.column, side, `${onWrite}()`],
  );
  if (row === undefined) throw new TldrError('NOT_FOUND', `${base} is not there any more`);
  if (textIn(row, 'isOwner') !== 'true')
    throw new TldrError(
      'FORBIDDEN',
      `only the owner of ${base} and of what the migration made (${textIn(row, 'owners')}) may do this: connect as a role that is both`,
    );
  if (Number(textIn(row, 'length')) !== facts.inputDim)
    throw unsupported(
      `the column has no length, so rows may have vectors that the encoder does not take, which would be lost. First: alter table ${base} alter column ${quoted(facts.column)} type ${facts.extension}.${facts.columnType}(${facts.inputDim});`,
    );
  const { publications } = row;
  if (typeof publications === 'string')
    throw unsupported(
      `the publication ${publications} sends the compact vectors to subscribers, whose searches order them by full ones`,
    );
  if (textIn(row, 'isDeferrable') === 'true')
    throw unsupported(
      'its key is deferrable, so two rows could exchange their keys, and their compact vectors would not',
    );
}

/** Returns what depends on the column: what goes with it, and what would break. */
async function usesOf(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<Pick<ColumnUses, 'dropped'> & { readonly blocking: readonly string[] }> {
  const rows = await query(
    `select distinct pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) as name,
       (d.classid in ('pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
         or coalesce(c.relkind in ('i', 'I'), false))::pg_catalog.text as "isDropped"
     from pg_catalog.pg_depend d
     join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
     left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.objid
     left join pg_catalog.pg_attrdef f on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and f.oid = d.objid
     where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = pg_catalog.to_regclass($1)
       and a.attname::pg_catalog.text = $2 and f.adnum is distinct from a.attnum order by 1`,
    [objectsOf(facts).base, facts.column],
  );
  const named = (isDropped: string): readonly string[] =>
    rows.filter((row) => textIn(row, 'isDropped') === isDropped).map((row) => textIn(row, 'name'));
  return { dropped: named('true'), blocking: named('false') };
}

async function columnWritersOf(query: SessionQuery, facts: MigrationFacts): Promise<readonly string[]> {
  const rows = await query(
    `select distinct pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) as name
     from pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) a
     where t.attrelid = pg_catalog.to_regclass($1) and t.attname::pg_catalog.text = $2 and a.privilege_type = 'UPDATE'
       and a.grantee <> 0 and not pg_catalog.has_table_privilege(a.grantee, t.attrelid, 'update') order by 1`,
    [objectsOf(facts).base, facts.column],
  );
  return rows.map((row) => textIn(row, 'name'));
}

/** Returns functions whose text names the column: no catalogue says what a text uses. */
async function mentionsOf(
  query: SessionQuery,
  facts: MigrationFacts,
  { name }: Pick<InPlaceCutOver, 'name'>,
): Promise<readonly string[]> {
  const rows = await query(
    `select p.oid::pg_catalog.regprocedure::pg_catalog.text as name from pg_catalog.pg_proc p
     join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname not in ('pg_catalog', 'information_schema', 'tldr') and p.oid is distinct from pg_catalog.to_regprocedure(nullif($4, ''))
       and pg_catalog.strpos(pg_catalog.lower(p.prosrc), pg_catalog.lower($2)) > 0
       and (pg_catalog.strpos(pg_catalog.lower(p.prosrc), pg_catalog.lower($3)) > 0
         or p.oid in (select g.tgfoid from pg_catalog.pg_trigger g where g.tgrelid = pg_catalog.to_regclass($1)))
     order by 1 limit ${SHOWN + 1}`,
    [objectsOf(facts).base, facts.column, facts.table, name],
  );
  const names = rows.map((row) => textIn(row, 'name'));
  return names.length > SHOWN ? [...names.slice(0, SHOWN), 'at least one function more'] : names;
}
