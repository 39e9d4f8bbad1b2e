import { dollarQuoted, literal } from './identifiers.js';

/**
 * The statement behind one that makes a table whose users are chosen by GRANT. Some databases have event triggers that switch
 * row-level security on for every new table, which would hide all rows from them.
 */
export function grantedPolicy(table: string): string {
  const oid = `pg_catalog.to_regclass(${literal(table)})`;
  const body = `
begin
  if (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = ${oid})
      and not exists (select from pg_catalog.pg_policy p where p.polrelid = ${oid}) then
    create policy visible_rows on ${table} using (true) with check (true);
  end if;
end `;
  return `do ${dollarQuoted('policy', body)}`;
}
