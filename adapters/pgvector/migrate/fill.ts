import { expectDefined } from '../../../src/core/errors.js';
import { quoted } from '../catalog/identifiers.js';
import { numberIn, textIn } from '../catalog/values.js';
import {
  baseKeys,
  hasFullVector,
  keyValues,
  objectsOf,
  operator,
  compactProjection,
  sideKeys,
  type MigrationFacts,
} from './objects.js';
import type { SessionQuery } from '../connect/session.js';

/** A range of keys: after one, up to another. Null is no end. */
export interface KeyRange {
  readonly after: readonly string[] | null;
  readonly upTo: readonly string[] | null;
}

/** Returns the conditions of a range for columns of the key. */
export function inRange(
  facts: MigrationFacts,
  columns: readonly string[],
  { after, upTo }: KeyRange,
): string {
  const key = columns.join(', ');
  return [
    ...(after === null ? [] : [`(${key}) > (${keyValues(facts, after)})`]),
    ...(upTo === null ? [] : [`(${key}) <= (${keyValues(facts, upTo)})`]),
    'true',
  ].join(' and ');
}

/** Returns the key of the row with which a range of so many rows ends; null if fewer are left. */
export async function rangeEnd(
  query: SessionQuery,
  facts: MigrationFacts,
  { after, rows }: { readonly after: readonly string[] | null; readonly rows: number },
): Promise<readonly string[] | null> {
  const keys = baseKeys(facts, 't');
  const selected = keys.map((key, i) => `${key}::pg_catalog.text as k${i}`);
  const [row] = await query(
    `select ${selected.join(', ')} from ${objectsOf(facts).base} t
     where ${inRange(facts, keys, { after, upTo: null })} order by ${keys.join(', ')} offset ${rows - 1} limit 1`,
  );
  return row === undefined ? null : keys.map((_, i) => textIn(row, `k${i}`));
}

/**
 * Writes the compact vectors of a range that are missing. The locks keep a row from being deleted, and its vector from
 * becoming NULL, between its reading and its writing: the client's trigger would find nothing to remove.
 */
export async function fillRange(
  query: SessionQuery,
  facts: MigrationFacts,
  range: KeyRange,
): Promise<number> {
  return written(await query(fillStatement(facts, range)));
}

/** The statement of `fillRange`. */
export function fillStatement(facts: MigrationFacts, range: KeyRange): string {
  const keys = sideKeys(facts);
  return `with rows as materialized (${rowsOfRange(facts, range)} for share),
       written as (insert into ${objectsOf(facts).side} (${keys.join(', ')}, z) select ${keys.join(', ')}, ${compactProjection(facts, 'v', 'project')}
         from rows where ${hasFullVector(facts, 'v')} on conflict do nothing)
       select pg_catalog.count(*)::pg_catalog.text as rows from rows`;
}

/**
 * Writes the compact vectors of a range that are missing or differ, and removes those without a full vector. The rows are
 * locked against changes, since a compact vector of a version that is no longer there must not replace a newer one.
 */
export async function repairRange(
  query: SessionQuery,
  facts: MigrationFacts,
  range: KeyRange,
): Promise<number> {
  const { side, base, syncRow } = objectsOf(facts);
  const keys = sideKeys(facts);
  const rows = written(
    await query(
      `with rows as materialized (${rowsOfRange(facts, range)} for share),
       written as (insert into ${side} as s (${keys.join(', ')}, z) select ${keys.join(', ')}, ${compactProjection(facts, 'v', 'project')}
         from rows where ${hasFullVector(facts, 'v')}
         on conflict (${keys.join(', ')}) do update set z = excluded.z where s.z ${operator(facts, '<>')} excluded.z)
       select pg_catalog.count(*)::pg_catalog.text as rows from rows`,
    ),
  );
  const columns = keys.map((key) => `s.${key}`);
  const same = baseKeys(facts, 't').map((column, i) => `${column} = s.${keys[i]}`);
  const removed = await query(
    `delete from ${side} s where ${inRange(facts, columns, range)} and not exists (select from ${base} t
       where ${same.join(' and ')} and ${hasFullVector(facts, `t.${quoted(facts.column)}`)})
     returning ${columns.map((column, i) => `${column}::pg_catalog.text as k${i}`).join(', ')}`,
  );
  // A client may have inserted such a row meanwhile, whose compact vector was deleted: a look at it now sees that.
  for (const row of removed) {
    const values = keyValues(
      facts,
      keys.map((_, i) => textIn(row, `k${i}`)),
    );
    await query(`select ${syncRow}(pg_catalog.to_regclass($1), ${values})`, [base]);
  }
  return rows;
}

function rowsOfRange(facts: MigrationFacts, range: KeyRange): string {
  const columns = baseKeys(facts, 't');
  const keys = sideKeys(facts);
  const selected = columns.map((column, i) => `${column} as ${keys[i]}`);
  return `select ${selected.join(', ')}, t.${quoted(facts.column)} as v from ${objectsOf(facts).base} t
    where ${inRange(facts, columns, range)} order by ${columns.join(', ')}`;
}

function written(rows: Awaited<ReturnType<SessionQuery>>): number {
  return numberIn(expectDefined(rows[0], 'the number of rows'), 'rows');
}
