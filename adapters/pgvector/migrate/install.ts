import { expectDefined } from '../../../src/core/errors.js';
import type { InPlaceStep } from '../../../src/store/in-place-target.js';
import { dollarQuoted, literal, quoted } from '../catalog/identifiers.js';
import { grantedPolicy } from '../catalog/granted-policy.js';
import { textIn, textsIn } from '../catalog/values.js';
import {
  SCHEMA,
  baseKeys,
  compactTypeOf,
  hasFullVector,
  objectsOf,
  operator,
  compactProjection,
  sideKeys,
  type MigrationFacts,
} from './objects.js';
import type { SessionQuery } from '../connect/session.js';

/** Functions that run with the rights of the migration's role, and trust no search path. */
export const AS_OWNER = 'language plpgsql security definer set search_path = pg_catalog, pg_temp';

/** Returns the step that makes the table of compact vectors. @param readers roles that may read the base table */
export function sideTableStep(
  facts: MigrationFacts,
  { readers, hasRowSecurity }: { readonly readers: readonly string[]; readonly hasRowSecurity: boolean },
): InPlaceStep {
  const { base, side, weights, project, projectQuery } = objectsOf(facts);
  const keys = sideKeys(facts);
  const from = baseKeys(facts, 't').map(
    (column, i) => `${column}::pg_catalog.${facts.key[i]?.type ?? ''} as ${keys[i]}`,
  );
  const statements = [
    `create table ${side} as select ${from.join(', ')}, null::${compactTypeOf(facts)} as z from ${base} t with no data`,
    `alter table ${side} add primary key (${keys.join(', ')}), alter column z set not null`,
  ];
  if (hasRowSecurity) {
    const same = baseKeys(facts, 't').map((column, i) => `${column} = ${side}.${keys[i]}`);
    statements.push(
      `alter table ${side} enable row level security`,
      `create policy visible_rows on ${side} for select using (exists (select from ${base} t where ${same.join(' and ')}))`,
    );
  } else statements.push(grantedPolicy(side));
  if (readers.length > 0) {
    const to = readers.join(', ');
    statements.push(`grant usage on schema ${quoted(SCHEMA)} to ${to}`);
    statements.push(`grant select on ${[side, ...weights].join(', ')} to ${to}`);
    const functions = [...new Set([project, projectQuery])].map(
      (name) => `${name}(${facts.extension}.vector)`,
    );
    statements.push(`grant execute on function ${functions.join(', ')} to ${to}`);
  }
  return { title: 'a table for the compact vectors, for the roles that may read the full ones', statements };
}

/**
 * Returns the step that makes the functions of the triggers. They read a row again instead of using the trigger's own
 * copy of it: whatever the order in which triggers fire, the last one leaves the compact vector of the row as it is then.
 */
export function functionsStep(facts: MigrationFacts): InPlaceStep {
  const { syncRow, onWrite, onTruncate } = objectsOf(facts);
  const types = facts.key.map(({ type }) => `pg_catalog.${type}`);
  return {
    title: 'functions that keep the compact vectors equal to the full ones',
    statements: [
      syncRowFunction(facts),
      onWriteFunction(facts),
      onTruncateFunction(facts),
      `revoke all on function ${syncRow}(pg_catalog.regclass, ${types.join(', ')}), ${onWrite}(), ${onTruncate}() from public`,
    ],
  };
}

function syncRowFunction(facts: MigrationFacts): string {
  const { side, syncRow } = objectsOf(facts);
  const { column } = facts;
  const keys = sideKeys(facts);
  const own = keys.map((key) => `own_${key}`);
  const found = baseKeys(facts, 't').map((name, i) => `${name} = $${i + 1}`);
  const full = `t.${quoted(column)}`;
  const select = `select ${compactProjection(facts, full, 'project')} from `;
  const where = ` t where ${found.join(' and ')} and ${hasFullVector(facts, full)} limit 1`;
  const isRow = keys.map((key, i) => `${key} = ${own[i]}`).join(' and ');
  const parameters = facts.key.map(({ type }, i) => `given_${keys[i]} pg_catalog.${type}`);
  const body = `
declare${copiesOfKey(facts, (key) => `given_${key}`)}
  compact ${compactTypeOf(facts)};
begin
  execute ${literal(select)} || relation::pg_catalog.text || ${literal(where)} into compact using ${own.join(', ')};
  if compact is not null then
    insert into ${side} (${keys.join(', ')}, z) values (${own.join(', ')}, compact)
      on conflict (${keys.join(', ')}) do update set z = excluded.z;
    return;
  end if;
  delete from ${side} where ${isRow};
  ${failIfUnseen(facts, own)}
end `;
  return `create function ${syncRow}(relation pg_catalog.regclass, ${parameters.join(', ')}) returns void
${AS_OWNER} as ${dollarQuoted('sync', body)}`;
}

/**
 * Declares `own_k1` and so on as copies of a function's parameters. A parameter takes the collation of any argument of the
 * call, so that a key's column would be compared as another one is. Beside a copy, the column's own collation decides.
 */
export function copiesOfKey(facts: MigrationFacts, given: (key: string) => string): string {
  const copies = sideKeys(facts).map((key, i) => {
    const type = facts.key[i]?.type ?? '';
    const collation = type === 'text' ? ' collate pg_catalog."default"' : '';
    return `\n  own_${key} pg_catalog.${type}${collation} := ${given(key)};`;
  });
  return copies.join('');
}

/** The statement behind one that changes or deletes the compact vector of a key. @param values of the key */
export function failIfUnseen(facts: MigrationFacts, values: readonly string[]): string {
  const { side } = objectsOf(facts);
  const { extension, compactType, outputDim } = facts;
  const keys = sideKeys(facts);
  const isRow = keys.map((key, i) => `${key} = ${values[i]}`).join(' and ');
  return `if not found and pg_catalog.current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    -- A compact vector that was written after this transaction's snapshot cannot be changed: this insert fails with a
    -- serialization failure then, and the client repeats its transaction.
    insert into ${side} (${keys.join(', ')}, z)
      values (${values.join(', ')}, pg_catalog.array_fill(0::pg_catalog.float4, array[${outputDim}])::${extension}.${compactType})
      on conflict do nothing;
    delete from ${side} where ${isRow};
  end if;`;
}

function onWriteFunction(facts: MigrationFacts): string {
  const { syncRow, onWrite } = objectsOf(facts);
  const { key, column } = facts;
  const of = (row: string): string => key.map(({ name }) => `${row}.${quoted(name)}`).join(', ');
  const sameKey = key.map(({ name }) => `old.${quoted(name)} = new.${quoted(name)}`).join(' and ');
  const [before, after] = [`old.${quoted(column)}`, `new.${quoted(column)}`];
  const sameVector = `(${before} is null) = (${after} is null) and coalesce(${before} ${operator(facts, '=')} ${after}, true)`;
  const table = migratedTable(facts);
  const body = `
begin
  if tg_op = 'UPDATE' then
    if ${sameKey} then
      if ${sameVector} then
        return null;
      end if;
    else
      perform ${syncRow}(${table}, ${of('old')});
    end if;
  elsif tg_op = 'DELETE' then
    perform ${syncRow}(${table}, ${of('old')});
    return null;
  end if;
  perform ${syncRow}(${table}, ${of('new')});
  return null;
end `;
  return `create function ${onWrite}() returns trigger
${AS_OWNER} as ${dollarQuoted('write', body)}`;
}

/**
 * The table that is migrated, from the table that a trigger fired for, for statements. It is found by its trigger, whatever
 * its name and its place among partitions are now; null for a table that is no partition any more.
 */
function migratedTable(facts: MigrationFacts): string {
  if (!facts.isPartitioned) return 'tg_relid::pg_catalog.regclass';
  const trigger = literal(unquoted(objectsOf(facts).writeTrigger));
  return `(select g.tgrelid::pg_catalog.regclass from pg_catalog.pg_partition_ancestors(tg_relid) a
    join pg_catalog.pg_trigger g on g.tgrelid = a.relid and g.tgname = ${trigger} and g.tgparentid = 0)`;
}

function onTruncateFunction(facts: MigrationFacts): string {
  const { side, onTruncate } = objectsOf(facts);
  const keys = sideKeys(facts);
  const same = baseKeys(facts, 't').map((column, i) => `${column} = s.${keys[i]}`);
  const body = `
declare
  relation pg_catalog.text := ${migratedTable(facts)}::pg_catalog.text;
  has_rows pg_catalog.bool;
begin
  if relation is null then
    return null;
  end if;
  execute 'select exists (select from ' || relation || ')' into has_rows;
  if has_rows then
    -- Only a partition was emptied.
    execute ${literal(`delete from ${side} s where not exists (select from `)} || relation || ${literal(` t where ${same.join(' and ')})`)};
    return null;
  end if;
  begin
    lock table ${side} in access exclusive mode;
    truncate ${side};
  exception when lock_not_available or deadlock_detected then
    -- Its index is being built, or somebody reads it: clients must not wait for that.
    delete from ${side};
  end;
  return null;
end `;
  return `create function ${onTruncate}() returns trigger
${AS_OWNER} set lock_timeout = '500ms' as ${dollarQuoted('truncate', body)}`;
}

/** Returns the step that makes the triggers of the base table, which takes a short lock. */
export function triggersStep(facts: MigrationFacts): InPlaceStep {
  const { base, onWrite, onTruncate, writeTrigger, truncateTrigger } = objectsOf(facts);
  return {
    title: 'triggers, so that clients change both vectors in one transaction',
    statements: [
      `create trigger ${writeTrigger} after insert or update or delete on ${base} for each row execute function ${onWrite}()`,
      `create trigger ${truncateTrigger} after truncate on ${base} for each statement execute function ${onTruncate}()`,
    ],
  };
}

/** The statement that makes the trigger of a partition, which a TRUNCATE of it alone needs. */
export function partitionTrigger(facts: MigrationFacts, partition: string): string {
  const { onTruncate, truncateTrigger } = objectsOf(facts);
  return `create trigger ${truncateTrigger} after truncate on ${partition} for each statement execute function ${onTruncate}()`;
}

/** Returns the names, for statements, of partitions that lack the trigger for TRUNCATE. */
export async function partitionsWithoutTrigger(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<readonly string[]> {
  if (!facts.isPartitioned || facts.layout === 'index-only') return [];
  const { base, truncateTrigger } = objectsOf(facts);
  const rows = await query(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
     from pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) p
     join pg_catalog.pg_class c on c.oid = p.relid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where p.level > 0 and not exists (
       select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and g.tgname::pg_catalog.text = $2)
     order by 1`,
    [base, unquoted(truncateTrigger)],
  );
  return rows.map((row) => textIn(row, 'name'));
}

/**
 * An expression for the subscriptions of logical replication that write rows of a table, or of partitions of it.
 * The view has their numbers, which older servers do not show every role in the table of subscriptions.
 * @param oid an expression: the table's number in the catalogue
 */
export function subscriptionsOf(oid: string): string {
  return `(select coalesce(pg_catalog.json_agg(distinct s.subname::pg_catalog.text), '[]')::pg_catalog.text
     from pg_catalog.pg_subscription_rel r join pg_catalog.pg_stat_subscription s on s.subid = r.srsubid
     where r.srrelid = ${oid} or r.srrelid in (select p.relid from pg_catalog.pg_partition_tree((${oid})::pg_catalog.regclass) p))`;
}

/** What subscriptions write: rows of the base table, and their compact vectors. */
export async function replicated(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<{ readonly base: readonly string[]; readonly side: readonly string[] }> {
  const { base, side } = objectsOf(facts);
  const [row] = await query(
    `select ${subscriptionsOf('pg_catalog.to_regclass($1)')} as base, ${subscriptionsOf('pg_catalog.to_regclass($2)')} as side`,
    [base, side],
  );
  const found = expectDefined(row, 'the subscriptions');
  return { base: textsIn(found, 'base'), side: textsIn(found, 'side') };
}

/** A trigger of a migration that does not work. */
interface LackingTrigger {
  readonly line: string;
  /** The statements that make it or switch it on. */
  readonly statements: readonly string[];
}

/** A trigger with the name of one of a migration, on any table. */
interface FoundTrigger {
  readonly table: string;
  readonly name: string;
  readonly isBase: boolean;
  /** As the catalogue says it: 'O' but for replicated rows, 'A' always. */
  readonly fires: string;
  /** Whether its table is the base table or a partition of it. */
  readonly isOurs: boolean;
}

async function foundTriggers(query: SessionQuery, facts: MigrationFacts): Promise<readonly FoundTrigger[]> {
  const { base, writeTrigger, truncateTrigger } = objectsOf(facts);
  const rows = await query(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as table, g.tgname::pg_catalog.text as name,
       (g.tgrelid = b.oid)::pg_catalog.text as "isBase", g.tgenabled::pg_catalog.text as fires,
       (g.tgrelid = b.oid or g.tgparentid <> 0 or exists (
         select from pg_catalog.pg_partition_ancestors(g.tgrelid) a where a.relid = b.oid))::pg_catalog.text as "isOurs"
     from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
       (select pg_catalog.to_regclass($1)::pg_catalog.oid as oid) b
     where g.tgname::pg_catalog.text in ($2, $3) and b.oid is not null order by 1, 2`,
    [base, unquoted(writeTrigger), unquoted(truncateTrigger)],
  );
  return rows.map((row) => ({
    table: textIn(row, 'table'),
    name: textIn(row, 'name'),
    isBase: textIn(row, 'isBase') === 'true',
    fires: textIn(row, 'fires'),
    isOurs: textIn(row, 'isOurs') === 'true',
  }));
}

/** Returns the triggers that are missing or switched off, and those that another table still has. */
export async function lackingTriggers(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<readonly LackingTrigger[]> {
  if (facts.layout === 'index-only') return [];
  const { base, writeTrigger, truncateTrigger } = objectsOf(facts);
  const found = await foundTriggers(query, facts);
  const { base: writers, side: ownWriters } = await replicated(query, facts);
  // Where compact vectors come by a subscription too, the trigger must not fire for its rows.
  const isAlways = writers.length > 0 && ownWriters.length === 0;
  const switchOn = (at: string, trigger: string): string =>
    `alter table ${at} enable ${isAlways ? 'always ' : ''}trigger ${trigger}`;
  const making = triggersStep(facts).statements;
  const missing = [writeTrigger, truncateTrigger].flatMap((trigger, i): LackingTrigger[] => {
    if (found.some(({ name, isBase }) => isBase && name === unquoted(trigger))) return [];
    const made = expectDefined(making[i], 'a statement');
    const statements = isAlways ? [made, switchOn(base, trigger)] : [made];
    return [{ line: `${base} has no trigger ${trigger}`, statements }];
  });
  const others = found.flatMap(({ table, name, isBase, fires, isOurs }): LackingTrigger[] => {
    const [at, trigger] = [isBase ? base : table, quoted(name)];
    // A detached partition keeps its trigger for TRUNCATE, which does nothing then.
    if (!isOurs && facts.isPartitioned && name !== unquoted(writeTrigger)) return [];
    if (!isOurs)
      return [
        {
          line: `${at} still has the trigger ${trigger}, although it is another table: its writes change compact vectors of ${base}`,
          statements: [`drop trigger ${trigger} on ${at}`],
        },
      ];
    const isTwice = fires === 'A' && ownWriters.length > 0;
    if ((fires === 'A' && !isTwice) || (fires === 'O' && !isAlways)) return [];
    const lines: Readonly<Record<string, string>> = {
      O: `does not fire for rows that the subscription ${writers.join(', ')} writes`,
      A: `fires for rows of a subscription, although ${ownWriters.join(', ')} writes their compact vectors too`,
    };
    const line = `the trigger ${trigger} of ${at} ${lines[fires] ?? 'is switched off'}`;
    return [{ line, statements: [switchOn(at, trigger)] }];
  });
  return [...missing, ...others];
}

/** Returns the roles that may read the full vectors, or change rows, for statements. The role of this connection is left out. */
export async function readersOf(
  query: SessionQuery,
  facts: MigrationFacts,
  right: 'SELECT' | 'UPDATE' = 'SELECT',
): Promise<readonly string[]> {
  const [row] = await query(
    `select coalesce(pg_catalog.json_agg(distinct case when a.grantee = 0 then 'public'
         else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end), '[]')::pg_catalog.text as names
     from (select (pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)))).*
         from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)
       union all select (pg_catalog.aclexplode(t.attacl)).*
         from pg_catalog.pg_attribute t where t.attrelid = pg_catalog.to_regclass($1) and t.attname::pg_catalog.text = $2 and $3 = 'SELECT') a
     where a.privilege_type = $3 and pg_catalog.pg_get_userbyid(a.grantee) <> current_user`,
    [objectsOf(facts).base, facts.column, right],
  );
  return row === undefined ? [] : textsIn(row, 'names');
}

function unquoted(name: string): string {
  return name.slice(1, -1).replaceAll('""', '"');
}
