import { TldrError } from '../../../src/core/errors.js';
import { literal, quoted } from './identifiers.js';
import { textIn } from './values.js';
import { sqlStateOf, type SessionQuery } from '../connect/session.js';

/** The search path of a role in this database, as new connections of it get it. */
export interface RolePath {
  readonly role: string;
  readonly database: string;
  /** The setting of this role in this database, as the catalogue has it; null without one. */
  readonly own: string | null;
  /** What the role has without such a setting. */
  readonly inherited: string;
}

/** Returns a query for the search path of a role: its own in this database or NULL, and the one that it has without that. */
export function rolePathQuery(role: string): string {
  const setting = (of: string, database: string): string =>
    `(select pg_catalog.substr(c.line, ${'search_path='.length + 1}) from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c(line)
      where s.setrole = ${of} and s.setdatabase = ${database} and pg_catalog.starts_with(c.line, 'search_path=') limit 1)`;
  return `select d.datname::pg_catalog.text as database, ${setting('r.oid', 'd.oid')} as own,
       coalesce(${setting('r.oid', '0')}, ${setting('0', 'd.oid')}, ${setting('0', '0')},
         (select case when p.source in ('default', 'configuration file', 'command line', 'environment variable') then p.reset_val
            else p.boot_val end from pg_catalog.pg_settings p where p.name = 'search_path')) as inherited
     from pg_catalog.pg_roles r, pg_catalog.pg_database d
     where r.rolname = ${literal(role)} and d.datname = pg_catalog.current_database()`;
}

/** Returns the search path of a role; null without such a role. */
export async function findRolePath(query: SessionQuery, role: string): Promise<RolePath | null> {
  const [row] = await query(
    `select database, coalesce(pg_catalog.json_build_array(own), '[]')::pg_catalog.text as own, inherited
     from (${rolePathQuery(role)}) path`,
  );
  if (row === undefined) return null;
  const values: unknown = JSON.parse(textIn(row, 'own'));
  const own: unknown = Array.isArray(values) ? values[0] : null;
  return {
    role,
    database: textIn(row, 'database'),
    own: typeof own === 'string' ? own : null,
    inherited: textIn(row, 'inherited'),
  };
}

/**
 * Returns the statements, for one transaction, after which the role has a search path of its own in this database; null
 * takes it away. The path is stored exactly as it is given.
 */
export function rolePathStatements(
  { role, database }: Pick<RolePath, 'role' | 'database'>,
  path: string | null,
): readonly string[] {
  const alter = `alter role ${quoted(role)} in database ${quoted(database)}`;
  if (path === null) return [`${alter} reset search_path`];
  return [
    `select pg_catalog.set_config('search_path', ${literal(path)}, true)`,
    `${alter} set search_path from current`,
  ];
}

/** Tries whether a role's search path may be changed, and changes nothing. @throws as `changeRolePath` */
export async function tryRolePath(query: SessionQuery, rolePath: RolePath, path: string): Promise<void> {
  await query('savepoint try_path');
  await changeRolePath(query, rolePath, path);
  await query('rollback to savepoint try_path');
}

/** Changes a role's search path unless it is so already. @throws FORBIDDEN with the statements for an administrator */
export async function changeRolePath(
  query: SessionQuery,
  rolePath: RolePath,
  path: string | null,
): Promise<void> {
  if (rolePath.own === path) return;
  const statements = rolePathStatements(rolePath, path);
  try {
    for (const statement of statements) await query(statement);
    // The role's path may begin with a schema whose operators run the code of others, and this transaction goes on.
    await query('set local search_path = pg_catalog');
  } catch (error) {
    if (sqlStateOf(error) !== '42501') throw error;
    throw new TldrError(
      'FORBIDDEN',
      `this connection may not change the search path of ${quoted(rolePath.role)}. Connect as that role, or ask an administrator to run this, and run the command again:\n  begin;\n${statements.map((statement) => `  ${statement};\n`).join('')}  commit;`,
      { cause: error },
    );
  }
}
