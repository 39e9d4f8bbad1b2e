import { TldrError } from '../../../src/core/errors.js';
import type { Encoder } from '../../../src/encoder/model.js';
import type { InPlaceLayout } from '../../../src/store/in-place-target.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { quoted } from '../catalog/identifiers.js';
import { isUniqueKey, keyNames } from '../catalog/unique-keys.js';
import { numberIn, textIn, textsIn } from '../catalog/values.js';
import { subscriptionsOf } from './install.js';
import { SCHEMA } from './objects.js';
import type { SessionQuery } from '../connect/session.js';

/** What the server says of a table that is to be migrated. */
export interface Preflight {
  readonly hasRowSecurity: boolean;
  readonly hasSchema: boolean;
  readonly notes: readonly string[];
}

const VERSION_MIN = 130_000;

/**
 * Checks everything that a migration needs, without a change.
 * @throws FORBIDDEN with statements for an administrator; UNSUPPORTED; MISMATCH for an encoder of other vectors
 */
export async function checkTable(
  query: SessionQuery,
  {
    table,
    vector,
    encoder,
    layout,
  }: {
    readonly table: TableFacts;
    readonly vector: VectorColumnFacts;
    readonly encoder: Encoder;
    readonly layout: InPlaceLayout;
  },
): Promise<Preflight> {
  checkEncoder(table, vector, encoder);
  checkKind(table);
  const facts = await serverFacts(query, table);
  if (facts.isStandby)
    throw new TldrError(
      'UNSUPPORTED',
      'this server is a standby, which cannot be written to: use its primary',
    );
  if (facts.version < VERSION_MIN)
    throw new TldrError('UNSUPPORTED', 'a migration in place needs PostgreSQL 13 or newer');
  if (facts.hasChildren)
    throw new TldrError(
      'UNSUPPORTED',
      `other tables inherit from ${table.statementName} (INHERITS): their rows have no triggers. Use partitions instead`,
    );
  if (facts.foreignPartition !== null)
    throw new TldrError(
      'UNSUPPORTED',
      `the partition ${facts.foreignPartition} of ${table.statementName} is a foreign table: writes to it on its own server would not reach the compact vectors`,
    );
  if (!facts.uniqueKeys.some((names) => sameNames(names, table.key)))
    throw new TldrError(
      'UNSUPPORTED',
      `${table.statementName} has no primary key, and no unique index of columns that are not null, on exactly ${table.key.map(({ name }) => quoted(name)).join(', ')}: add one. A NOT NULL that is NOT VALID does not count, nor does an index whose collation is not the column's`,
    );
  checkRights(table, facts);
  return {
    hasRowSecurity: facts.hasRowSecurity,
    hasSchema: facts.hasSchema,
    notes: notesOf(facts, vector, layout),
  };
}

function checkEncoder(table: TableFacts, vector: VectorColumnFacts, { inputDim, metadata }: Encoder): void {
  if (vector.hasFixedDim && vector.dim !== inputDim)
    throw new TldrError(
      'MISMATCH',
      `"${vector.name}" of ${table.statementName} has ${vector.dim} dimensions, the encoder takes ${inputDim}`,
    );
  if (vector.distance !== metadata.distance)
    throw new TldrError(
      'MISMATCH',
      `"${vector.name}" of ${table.statementName} is compared by ${vector.distance}, and the encoder was trained for ${metadata.distance}: train one for this column, or name the distance that clients use`,
    );
}

function checkKind({ kind, statementName }: TableFacts): void {
  if (kind === 'r' || kind === 'p') return;
  const what = { v: 'a view', m: 'a materialised view', f: 'a foreign table' }[kind] ?? 'no table';
  throw new TldrError(
    'UNSUPPORTED',
    `${statementName} is ${what}: triggers, which keep compact vectors up to date, need a table`,
  );
}

interface ServerFacts {
  readonly version: number;
  readonly isStandby: boolean;
  readonly hasChildren: boolean;
  /** A partition on another server, for statements; null without one. */
  readonly foreignPartition: string | null;
  readonly uniqueKeys: readonly (readonly string[])[];
  readonly hasRowSecurity: boolean;
  readonly isRowSecurityActive: boolean;
  readonly hasSchema: boolean;
  readonly mayCreate: boolean;
  readonly mayStore: boolean;
  readonly lackedRights: readonly string[];
  readonly role: string;
  readonly database: string;
  readonly extensionVersion: string;
  readonly isLogged: boolean;
  /** Subscriptions of logical replication that write its rows. */
  readonly subscriptions: readonly string[];
}

async function serverFacts(query: SessionQuery, { oid }: TableFacts): Promise<ServerFacts> {
  const [row] = await query(
    `select pg_catalog.current_setting('server_version_num') as version,
       pg_catalog.pg_is_in_recovery()::pg_catalog.text as standby,
       exists (select from pg_catalog.pg_inherits i join pg_catalog.pg_class k on k.oid = i.inhrelid
         where i.inhparent = c.oid and not k.relispartition)::pg_catalog.text as children,
       coalesce((select pg_catalog.min(p.relid::pg_catalog.regclass::pg_catalog.text) from pg_catalog.pg_partition_tree(c.oid) p
         join pg_catalog.pg_class k on k.oid = p.relid where k.relkind = 'f'), '') as "foreign",
       (select coalesce(pg_catalog.json_agg(u.names), '[]') from (
          select ${keyNames('i')} as names
          from pg_catalog.pg_index i where i.indrelid = c.oid and ${isUniqueKey('i')}) u)::pg_catalog.text as keys,
       c.relrowsecurity::pg_catalog.text as security, pg_catalog.row_security_active(c.oid)::pg_catalog.text as active,
       (n.oid is not null)::pg_catalog.text as schema,
       (case when n.oid is null then pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')
         else pg_catalog.has_schema_privilege(n.oid, 'create') end)::pg_catalog.text as "mayCreate",
       (n.oid is null or not exists (select from pg_catalog.pg_class s where s.relnamespace = n.oid and s.relname in ('migration', 'encoder')
         and not (pg_catalog.has_table_privilege(s.oid, 'select') and pg_catalog.has_table_privilege(s.oid, 'insert')
           and pg_catalog.has_table_privilege(s.oid, 'update') and pg_catalog.has_table_privilege(s.oid, 'delete'))))::pg_catalog.text as "mayStore",
       (select coalesce(pg_catalog.json_agg(r.name), '[]') from (values
          ('select', pg_catalog.has_table_privilege(c.oid, 'select')),
          ('update', pg_catalog.has_any_column_privilege(c.oid, 'update')),
          ('trigger', pg_catalog.has_table_privilege(c.oid, 'trigger'))) r(name, has) where not r.has)::pg_catalog.text as lacked,
       pg_catalog.quote_ident(current_user) as role, pg_catalog.quote_ident(pg_catalog.current_database()) as database,
       (select e.extversion from pg_catalog.pg_extension e where e.extname = 'vector') as extension,
       (c.relpersistence = 'p')::pg_catalog.text as logged, ${subscriptionsOf('c.oid')} as subscriptions
     from pg_catalog.pg_class c left join pg_catalog.pg_namespace n on n.nspname = '${SCHEMA}'
     where c.oid = $1::pg_catalog.oid`,
    [oid],
  );
  if (row === undefined) throw new TldrError('NOT_FOUND', 'the table was dropped');
  const keys: unknown = JSON.parse(textIn(row, 'keys'));
  return {
    version: numberIn(row, 'version'),
    isStandby: textIn(row, 'standby') === 'true',
    hasChildren: textIn(row, 'children') === 'true',
    foreignPartition: textIn(row, 'foreign') || null,
    uniqueKeys: Array.isArray(keys) ? keys.filter(isTexts) : [],
    hasRowSecurity: textIn(row, 'security') === 'true',
    isRowSecurityActive: textIn(row, 'active') === 'true',
    hasSchema: textIn(row, 'schema') === 'true',
    mayCreate: textIn(row, 'mayCreate') === 'true',
    mayStore: textIn(row, 'mayStore') === 'true',
    lackedRights: textsIn(row, 'lacked'),
    role: textIn(row, 'role'),
    database: textIn(row, 'database'),
    extensionVersion: textIn(row, 'extension'),
    isLogged: textIn(row, 'logged') === 'true',
    subscriptions: textsIn(row, 'subscriptions'),
  };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function sameNames(names: readonly string[], key: TableFacts['key']): boolean {
  return names.length === key.length && key.every(({ name }) => names.includes(name));
}

function stateGrants(role: string): string {
  return `grant select, insert, update, delete on ${SCHEMA}.migration, ${SCHEMA}.encoder to ${role};`;
}

/** @throws FORBIDDEN if the role may not read the states of migrations */
export async function checkStateRights(query: SessionQuery): Promise<void> {
  const [row] = await query(
    `select pg_catalog.quote_ident(current_user) as role, (pg_catalog.has_schema_privilege(n.oid, 'usage')
         and pg_catalog.has_table_privilege(c.oid, 'select'))::pg_catalog.text as may
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = '${SCHEMA}' and c.relname = 'migration'`,
  );
  if (row === undefined || textIn(row, 'may') === 'true') return;
  const role = textIn(row, 'role');
  throw new TldrError(
    'FORBIDDEN',
    `${role} may not use the states of migrations. Ask an administrator to run:\n  grant usage on schema ${SCHEMA} to ${role};\n  ${stateGrants(role)}`,
  );
}

/** @throws FORBIDDEN with the statements that give the missing rights */
function checkRights({ statementName }: TableFacts, facts: ServerFacts): void {
  const { role, database, hasSchema, mayCreate, mayStore, lackedRights, isRowSecurityActive } = facts;
  if (isRowSecurityActive)
    throw new TldrError(
      'FORBIDDEN',
      `row-level security hides rows of ${statementName} from ${role}, which would get no compact vectors: connect as the table's owner, or as a role with BYPASSRLS (ask an administrator for: alter role ${role} bypassrls;)`,
    );
  const grants = [
    ...(mayCreate
      ? []
      : [
          hasSchema
            ? `grant usage, create on schema ${SCHEMA} to ${role};`
            : `create schema ${SCHEMA} authorization ${role}; -- or: grant create on database ${database} to ${role};`,
        ]),
    ...(mayStore ? [] : [stateGrants(role)]),
    ...(lackedRights.length === 0
      ? []
      : [`grant ${lackedRights.join(', ')} on ${statementName} to ${role};`]),
  ];
  if (grants.length === 0) return;
  throw new TldrError(
    'FORBIDDEN',
    `${role} lacks rights that the migration needs. Ask an administrator to run:\n  ${grants.join('\n  ')}`,
  );
}

function notesOf(
  { extensionVersion, hasRowSecurity, isLogged, subscriptions }: ServerFacts,
  vector: VectorColumnFacts,
  layout: InPlaceLayout,
): string[] {
  const [major = 0, minor = 0] = extensionVersion.split('.').map(Number);
  return [
    ...(major > 0 || minor >= 8
      ? []
      : [
          `pgvector ${extensionVersion} has no iterative scans: a search with a filter may return fewer rows than asked for`,
        ]),
    ...(hasRowSecurity && layout === 'side'
      ? [
          'the table has row-level security: the compact vectors get a policy that shows those of visible rows',
        ]
      : []),
    ...(subscriptions.length > 0 && layout === 'side'
      ? [
          `rows of the table come by the subscription ${subscriptions.join(', ')}: the triggers are set to fire for them too (ENABLE ALWAYS), which only the table's owner may do`,
        ]
      : []),
    ...(isLogged
      ? []
      : ['the table is not logged: after a crash of the server it is empty, and compact vectors are not']),
    ...(vector.hasFixedDim
      ? []
      : [`"${vector.name}" has no fixed length: rows of another length get no compact vector`]),
  ];
}
