import { TldrError } from '../../../src/core/errors.js';
import type { InPlaceCompletionPlan, InPlaceChange } from '../../../src/store/in-place-target.js';
import { dollarQuoted, literal, quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { SessionQuery } from '../connect/session.js';
import { checkDroppable, dropWords } from './check-drop.js';
import { createFunction } from './cut-over.js';
import { cutOverOf } from './end.js';
import { AS_OWNER, copiesOfKey, failIfUnseen, readersOf } from './install.js';
import { baseKeys, compactTypeOf, objectsOf, sideKeys, type MigrationFacts } from './objects.js';
import { functionDigest, planOnePassFunction, type SearchFunction } from './search-function.js';
import { clientParts, onePassStatement } from './search-query.js';
import { changeState, type StoredMigration } from './state-table.js';

/** Returns what dropping the full vectors would do. */
export async function planDropColumn(
  query: SessionQuery,
  stored: StoredMigration,
): Promise<InPlaceCompletionPlan> {
  const { facts } = stored;
  const uses = await checkDroppable(query, stored);
  const made = await onePassFunctionOf(query, stored);
  const { base, side } = objectsOf(facts);
  return {
    lines: [
      `if it succeeds: the full vectors of ${base} are gone for good; only a backup has them`,
      'first, all rows are compared once more, and a difference ends the command',
      ...(made === null
        ? ['clients have to search by compact vectors alone:', ...plainSearch(facts)]
        : [`${made.signature} searches by compact vectors alone, and its scores come from them`]),
      `statements that name "${facts.column}", also those that write it, fail from then on`,
      writingLine(facts),
      `functions that return rows of ${base} return them without "${facts.column}"`,
      ...uses.columnWriters.map(
        (role) =>
          `${role} may change only this column, and cannot write vectors any more until it may update another one`,
      ),
      ...uses.dropped.map((name) => `dropped with the column: ${name}`),
      ...uses.mentioned.map((name) => `${name} names the column in its text, and may fail`),
      `there is no rollback any more, and ${side} must be part of every backup`,
    ],
    statements: await statementsOf(query, facts, made),
    words: dropWords(facts),
  };
}

/**
 * Deletes the full vectors, in the caller's transaction.
 * @throws as `checkDroppable`; MISMATCH if somebody changed the search function
 */
export async function dropColumn(query: SessionQuery, stored: StoredMigration): Promise<InPlaceChange> {
  const { facts, cutOver } = stored;
  const { base } = objectsOf(facts);
  if (cutOver?.isFullColumnDropped === true)
    return { lines: [`the column "${facts.column}" of ${base} is dropped already`], statements: [] };
  // First of all, so that no client waits for this transaction while it waits for one of them.
  await query(`lock table ${base} in access exclusive mode`);
  await checkDroppable(query, stored);
  const made = await onePassFunctionOf(query, stored);
  const statements = await statementsOf(query, facts, made);
  if (made !== null) await createFunction(query, made);
  for (const statement of statements) if (statement !== made?.statement) await query(statement);
  if (made !== null) await query(made.trial, [`[${new Array<number>(facts.inputDim).fill(1).join(',')}]`]);
  const digest = made === null ? '' : ((await functionDigest(query, made.signature)) ?? '');
  const changed = { ...cutOverOf(stored), isFullColumnDropped: true, digest };
  await changeState(query, facts, { phase: 'complete', cutOver: changed });
  return {
    lines: [
      `the column "${facts.column}" of ${base} is dropped`,
      writingLine(facts),
      `its space becomes free when rows are updated; \`vacuum full ${base}\` frees all of it, and locks the table meanwhile`,
    ],
    statements,
  };
}

function writingLine(facts: MigrationFacts): string {
  const parameters = [...facts.key.map(({ name }) => quoted(name)), '$1'];
  return `to write a vector, clients write the row without it, and then: select ${objectsOf(facts).writeVector}(${parameters.join(', ')}); this needs the right to UPDATE the row`;
}

/** The function that replaces the one of the cut-over; null for clients that have a query of their own. */
async function onePassFunctionOf(
  query: SessionQuery,
  { facts, cutOver }: StoredMigration,
): Promise<SearchFunction | null> {
  if (cutOver?.form !== 'function') return null;
  const { name, digest } = cutOver;
  if ((await functionDigest(query, name)) !== digest)
    throw new TldrError(
      'MISMATCH',
      `${name} was changed or dropped since the cut-over, so it is not replaced: put back by hand what was there before the cut-over, roll back, and cut over again`,
    );
  return planOnePassFunction(query, facts, name);
}

/** All statements, in their order. */
async function statementsOf(
  query: SessionQuery,
  facts: MigrationFacts,
  made: SearchFunction | null,
): Promise<readonly string[]> {
  const { base, syncRow } = objectsOf(facts);
  const writers = await readersOf(query, facts, 'UPDATE');
  return [
    ...(made === null ? [] : [made.statement]),
    ...functionsWithoutColumn(facts, { writers, hasRowSecurity: await hasRowSecurity(query, base) }),
    `drop function if exists ${syncRow}`,
    `alter table ${base} drop column ${quoted(facts.column)}`,
  ];
}

/** The query for clients without a search function, by its lines. */
function plainSearch(facts: MigrationFacts): readonly string[] {
  return onePassStatement(facts, clientParts(facts), { isExact: false })
    .split('\n')
    .map((line) => `  ${line}`);
}

async function hasRowSecurity(query: SessionQuery, base: string): Promise<boolean> {
  const [row] = await query(
    `select relrowsecurity::pg_catalog.text as security from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1)`,
    [base],
  );
  return row !== undefined && textIn(row, 'security') === 'true';
}

/** Roles that may write compact vectors, for statements. */
interface Writers {
  readonly writers: readonly string[];
  readonly hasRowSecurity: boolean;
}

/** Returns the statements that keep the compact vectors with their rows, and let clients write them, without full ones. */
function functionsWithoutColumn(facts: MigrationFacts, of: Writers): readonly string[] {
  return [onWriteFunction(facts), ...writeVectorStatements(facts, of)];
}

/** The parameters of `write_vector_…`, for people and for statements. */
function writeVectorSignature(facts: MigrationFacts): string {
  const types = facts.key.map(({ type }) => `pg_catalog.${type}`);
  return `${objectsOf(facts).writeVector}(${[...types, `${facts.extension}.vector`].join(', ')})`;
}

/**
 * The function of the trigger: a compact vector follows the key of its row, and goes with it. A vector that a transaction
 * cannot see, since it was written after its snapshot, makes it fail with a serialization failure.
 */
function onWriteFunction(facts: MigrationFacts): string {
  const { side, onWrite } = objectsOf(facts);
  const { key } = facts;
  const keys = sideKeys(facts);
  const ofRow = (row: 'old' | 'new'): string[] => key.map(({ name }) => `${row}.${quoted(name)}`);
  const [before, after] = [ofRow('old'), ofRow('new')];
  const sameKey = before.map((name, i) => `${name} = ${after[i]}`).join(' and ');
  const is = (values: readonly string[]): string[] => keys.map((name, i) => `${name} = ${values[i]}`);
  const isNew = baseKeys(facts, 't').map((name, i) => `${name} = $${i + 1}`);
  const isOld = is(before).join(' and ');
  const body = `
declare
  is_there pg_catalog.bool;
begin
  if tg_op = 'INSERT' then
    -- A vector that was left behind by a row of this key, unless this row's own was written just now.
    if pg_catalog.current_setting('tldr.written', true) is distinct from ${writtenMark(facts, after)} then
      delete from ${side} where ${is(after).join(' and ')};
    end if;
    return null;
  elsif tg_op = 'DELETE' then
    delete from ${side} where ${isOld};
  elsif ${sameKey} then
    return null;
  else
    execute 'select exists (select from ' || tg_relid::pg_catalog.regclass::pg_catalog.text || ${literal(` t where ${isNew.join(' and ')})`)}
      into is_there using ${after.join(', ')};
    if not is_there then
      raise exception 'another trigger changed the key of a row again, whose compact vector would be lost';
    end if;
    delete from ${side} where ${is(after).join(' and ')};
    update ${side} set ${is(after).join(', ')} where ${isOld};
  end if;
  ${failIfUnseen(facts, before)}
  return null;
end `;
  return `create or replace function ${onWrite}() returns trigger
${AS_OWNER} as ${dollarQuoted('write', body)}`;
}

/** What tells the trigger which vector was written last, for statements. */
function writtenMark(facts: MigrationFacts, values: readonly string[]): string {
  return `pg_catalog.concat_ws(' ', ${literal(objectsOf(facts).side)}, ${values.map((value) => `pg_catalog.quote_literal(${value})`).join(', ')})`;
}

/**
 * The function that clients call with a full vector. It and the policies of the side table run with the rights of the
 * client: the lock needs the right to change the row, also by its policies, and keeps it from being deleted meanwhile.
 */
function writeVectorStatements(facts: MigrationFacts, { writers, hasRowSecurity }: Writers): string[] {
  const { base, side, writeVector, mayWrite, project, weights } = objectsOf(facts);
  const { extension, key } = facts;
  const keys = sideKeys(facts);
  const own = keys.map((name) => `own_${name}`);
  const parameters = key.map(({ type }, i) => `given_${keys[i]} pg_catalog.${type}`).join(', ');
  const copies = copiesOfKey(facts, (name) => `given_${name}`);
  const isSide = keys.map((name, i) => `${name} = ${own[i]}`).join(' and ');
  const isRow = baseKeys(facts, 't').map((name, i) => `${name} = ${own[i]}`);
  const may = `
declare${copies}
begin
  perform 1 from ${base} t where ${isRow.join(' and ')} for key share;
  return found;
end `;
  const write = `
declare${copies}
begin
  if not ${mayWrite}(${own.join(', ')}) then
    raise exception 'no row has this key: write the row first, then its vector';
  end if;
  if full_vector is null then
    delete from ${side} where ${isSide};
    return;
  end if;
  perform pg_catalog.set_config('tldr.written', ${writtenMark(facts, own)}, true);
  insert into ${side} (${keys.join(', ')}, z) values (${own.join(', ')}, ${project}(full_vector)::${compactTypeOf(facts)})
    on conflict (${keys.join(', ')}) do update set z = excluded.z;
end `;
  const signature = `${mayWrite}(${key.map(({ type }) => `pg_catalog.${type}`).join(', ')})`;
  const asClient = 'language plpgsql set search_path = pg_catalog, pg_temp as';
  const statements = [
    `create or replace function ${mayWrite}(${parameters}) returns pg_catalog.bool ${asClient} ${dollarQuoted('may', may)}`,
    `create or replace function ${writeVector}(${parameters}, full_vector ${extension}.vector) returns void ${asClient} ${dollarQuoted('vector', write)}`,
    `revoke all on function ${signature}, ${writeVectorSignature(facts)} from public`,
    ...policies(facts, hasRowSecurity),
  ];
  if (writers.length === 0) return statements;
  const to = writers.join(', ');
  return [
    ...statements,
    `grant usage on schema "tldr" to ${to}`,
    `grant select on ${weights.join(', ')} to ${to}`,
    `grant select, insert, update, delete on ${side} to ${to}`,
    `grant execute on function ${signature}, ${writeVectorSignature(facts)}, ${project}(${extension}.vector) to ${to}`,
  ];
}

/** Policies of the side table: who may change a row may change its vector, also by statements of their own. */
function policies(facts: MigrationFacts, hasRowSecurity: boolean): string[] {
  const { base, side, mayWrite } = objectsOf(facts);
  const keys = sideKeys(facts);
  const same = baseKeys(facts, 't').map((name, i) => `${name} = ${side}.${keys[i]}`);
  const isVisible = hasRowSecurity ? `exists (select from ${base} t where ${same.join(' and ')})` : 'true';
  const may = `${mayWrite}(${keys.join(', ')})`;
  return [
    `alter table ${side} enable row level security`,
    `drop policy if exists visible_rows on ${side}`,
    `create policy visible_rows on ${side} for select using (${isVisible})`,
    `create policy added_vectors on ${side} for insert with check (${may})`,
    `create policy changed_vectors on ${side} for update using (${may}) with check (${may})`,
    `create policy removed_vectors on ${side} for delete using (${may})`,
  ];
}
