import { dollarQuoted, literal } from './identifiers.js';

/**
 * The statement behind one that makes a table whose readers are chosen by GRANT. Databases have event triggers that switch
 * row-level security on for every new table, which would hide all rows from those readers.
 */
export function readablePolicy(table: string): string {
  const oid = `pg_catalog.to_regclass(${literal(table)})`;
  const body = `
begin
  if (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = ${oid})
      and not exists (select from pg_catalog.pg_policy p where p.polrelid = ${oid}) then
    create policy visible_rows on ${table} for select using (true);
  end if;
end `;
  return `do ${dollarQuoted('policy', body)}`;
}
