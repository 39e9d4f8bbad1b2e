import type { InPlaceState } from '../../../src/store/in-place-target.js';
import { textIn } from '../catalog/values.js';
import { lackingBaseIndex, leftBaseIndex } from './base-index.js';
import { lackingTriggers, partitionsWithoutTrigger } from './install.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import type { SessionQuery } from './session.js';
import { lockKeyOf, type StoredMigration } from './state-table.js';

/** Returns the table's number in the catalogue; null if there is no such table. */
export async function tableOidOf(query: SessionQuery, facts: MigrationFacts): Promise<string | null> {
  const [row] = await query(`select pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text as oid`, [
    objectsOf(facts).base,
  ]);
  const oid = row?.['oid'];
  return typeof oid === 'string' ? oid : null;
}

/** Returns the state of a migration, with what the server says of it now. */
export async function shownState(query: SessionQuery, stored: StoredMigration): Promise<InPlaceState> {
  const { facts, tableOid, phase, paused, throttle, filled, verified, cutOver } = stored;
  const { fingerprint, inputDim, outputDim, layout, column } = facts;
  const oid = await tableOidOf(query, facts);
  const runner = await runnerOf(query, facts);
  return {
    collection: objectsOf(facts).base,
    vectorName: column,
    encoderFingerprint: fingerprint,
    inputDim,
    outputDim,
    layout,
    phase,
    paused,
    throttle,
    filled,
    points: oid === null ? null : await estimatedRows(query, oid),
    verified,
    cutOver: cutOver === null ? null : { form: cutOver.form, name: cutOver.name },
    runner,
    // While a process works, the index may be one that it builds for a cut-over.
    leftovers: runner === null ? await leftBaseIndex(query, stored) : [],
    warnings:
      oid === null
        ? [`${objectsOf(facts).base} is not there any more, or has another name`]
        : await warningsOf(query, stored, oid === tableOid),
  };
}

async function warningsOf(
  query: SessionQuery,
  { facts, phase, cutOver }: StoredMigration,
  isSameTable: boolean,
): Promise<readonly string[]> {
  if (phase === 'installing') return [];
  const { base } = objectsOf(facts);
  const partitions = await partitionsWithoutTrigger(query, facts);
  const index = phase === 'indexing' ? [] : await lackingBaseIndex(query, { facts, cutOver });
  return [
    ...index,
    ...(isSameTable ? [] : [`${base} was made again, as by a restore, since the migration began`]),
    ...(await lackingTriggers(query, facts)).map(({ line }) => line),
    ...partitions.map(
      (name) => `the partition ${name} was attached later: its rows may lack compact vectors`,
    ),
  ];
}

async function estimatedRows(query: SessionQuery, oid: string): Promise<number | null> {
  const [row] = await query(
    `select coalesce(pg_catalog.sum(greatest(0, k.reltuples)) filter (where k.relkind = 'r'), 0)::pg_catalog.int8::pg_catalog.text as rows
     from pg_catalog.pg_class k where k.oid = $1::pg_catalog.oid
       or k.oid in (select relid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass))`,
    [oid],
  );
  const rows = row === undefined ? 0 : Number(textIn(row, 'rows'));
  return rows > 0 ? rows : null;
}

/** Returns the server's process that holds the lock of a migration, for people; null without one. */
async function runnerOf(query: SessionQuery, facts: MigrationFacts): Promise<string | null> {
  const [row] = await query(
    `with lock as (select ${lockKeyOf(facts)} as key)
     select l.pid::pg_catalog.text as pid from pg_catalog.pg_locks l, lock
     where l.locktype = 'advisory' and l.granted and l.objsubid = 1
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
       and l.classid = ((lock.key >> 32) & 4294967295)::pg_catalog.oid and l.objid = (lock.key & 4294967295)::pg_catalog.oid
       and l.pid <> pg_catalog.pg_backend_pid() limit 1`,
  );
  return row === undefined ? null : `connection ${textIn(row, 'pid')} of the server`;
}
