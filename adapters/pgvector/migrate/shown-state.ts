import type { InPlaceCutOver, InPlaceState } from '../../../src/store/in-place-target.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { findRolePath, type RolePath } from '../catalog/role-path.js';
import { numberIn, textIn } from '../catalog/values.js';
import { lackingIndexes, leftBaseIndex } from './base-index.js';
import { lackingTriggers, partitionsWithoutTrigger, replicated } from './install.js';
import { objectsOf, sideKeys, type MigrationFacts } from './objects.js';
import type { SessionQuery } from '../connect/session.js';
import { lockKeyOf, type StoredCutOver, type StoredMigration } from './state-table.js';

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
    cutOver: cutOver === null ? null : shownCutOver(cutOver),
    runner,
    // While a process works, the index may be one that it builds for a cut-over.
    leftovers: runner === null ? await leftBaseIndex(query, stored) : [],
    warnings: oid === null ? [] : await warningsOf(query, stored, oid === tableOid),
    problems: oid === null ? [await missingTable(query, stored)] : await problemsOf(query, stored),
  };
}

function shownCutOver({ form, name, isFullColumnDropped }: InPlaceCutOver): InPlaceCutOver {
  return { form, name, isFullColumnDropped };
}

async function warningsOf(
  query: SessionQuery,
  { facts, phase, cutOver }: StoredMigration,
  isSameTable: boolean,
): Promise<readonly string[]> {
  if (phase === 'installing') return [];
  const { base } = objectsOf(facts);
  const partitions = await partitionsWithoutTrigger(query, facts);
  // A state that came by a subscription names the table of the other server.
  const isOwnState = (await replicated(query, facts)).side.length === 0;
  const isIndexed = phase === 'ready' || phase === 'cut-over' || phase === 'complete';
  const indexes = isIndexed ? await lackingIndexes(query, { facts, cutOver }) : [];
  const lost = await lostRolePath(query, cutOver);
  return [
    ...indexes,
    ...(lost === null
      ? []
      : [
          `${quoted(lost.role)} has not the search path of the cut-over, as after a restore without settings of roles, so its clients search full vectors`,
        ]),
    ...(isSameTable || !isOwnState
      ? []
      : [`${base} was made again, as by a restore, since the migration began`]),
    ...(await lackingTriggers(query, facts)).map(({ line }) => line),
    ...partitions.map(
      (name) => `the partition ${name} was attached later: its rows may lack compact vectors`,
    ),
  ];
}

/** Returns the search path of an operator's role if it is again what it was before the cut-over; otherwise null. */
export async function lostRolePath(
  query: SessionQuery,
  cutOver: StoredCutOver | null,
): Promise<RolePath | null> {
  if (cutOver?.form !== 'operator' || cutOver.digest === cutOver.pathBefore) return null;
  const found = await findRolePath(query, cutOver.name);
  return found?.own === cutOver.pathBefore ? found : null;
}

/** Says what became of a table that has not its name any more. */
async function missingTable(query: SessionQuery, { facts, tableOid }: StoredMigration): Promise<string> {
  const { base, writeTrigger } = objectsOf(facts);
  const [row] = await query(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
     from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where g.tgrelid = $1::pg_catalog.oid and pg_catalog.quote_ident(g.tgname) in ($2, pg_catalog.btrim($2, '"'))`,
    [tableOid, writeTrigger],
  );
  return row === undefined
    ? `${base} is not there any more: abort its migration`
    : `${base} was renamed to ${textIn(row, 'name')}: give it its name back, or abort the migration and start it again`;
}

/** Types that a column may have, by the type with which the migration began. */
const ALLOWED_TYPES: Readonly<Record<string, readonly string[]>> = {
  int8: ['int2', 'int4', 'int8'],
  text: ['text', 'varchar'],
  vector: ['vector', 'halfvec'],
  halfvec: ['vector', 'halfvec'],
};

/** Returns what keeps triggers or a comparison from working, so that it is said in words. */
export async function problemsOf(
  query: SessionQuery,
  { facts, cutOver, tableOid }: StoredMigration,
): Promise<readonly string[]> {
  const { base, onWrite } = objectsOf(facts);
  const rows = await query(
    `select a.attname::pg_catalog.text as name, t.typname::pg_catalog.text as type, a.atttypmod::pg_catalog.text as length
     from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
     where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped`,
    [base],
  );
  const isDropped = cutOver?.isFullColumnDropped === true;
  if (isDropped && (await hasFullColumn(query, facts)))
    return [
      `${base} has the column ${quoted(facts.column)} again, which its searches do not use: abort the migration, and start it again`,
    ];
  if (isDropped && (await tableOidOf(query, facts)) !== tableOid && !(await hasWriteTrigger(query, facts)))
    return [
      `${base} has no trigger of its migration, so it is another table than the one whose full vectors were dropped, or was restored without it: give the former table its name back, or restore the table together with the schema tldr`,
    ];
  const columns = isDropped ? facts.key : [...facts.key, { name: facts.column, type: facts.columnType }];
  const changed = columns.flatMap(({ name, type }): string[] => {
    const found = rows.find((row) => textIn(row, 'name') === name);
    if (found === undefined)
      return [
        `${base} has no column ${quoted(name)} any more, so writes of clients fail: give the column its name back, or abort the migration`,
      ];
    const now = textIn(found, 'type');
    if (!(ALLOWED_TYPES[type] ?? [type]).includes(now))
      return [
        `${quoted(name)} of ${base} has the type ${now} now, and had ${type}: abort the migration and start it again`,
      ];
    const length = numberIn(found, 'length');
    return name !== facts.column || length < 0 || length === facts.inputDim
      ? []
      : [
          `${quoted(name)} of ${base} has ${length} dimensions now, and the encoder takes ${facts.inputDim}: abort the migration, and start it again with another encoder`,
        ];
  });
  const [others] = await query(
    `select (select pg_catalog.min(i.inhrelid::pg_catalog.regclass::pg_catalog.text) from pg_catalog.pg_inherits i
         join pg_catalog.pg_class k on k.oid = i.inhrelid where i.inhparent = c.oid and not k.relispartition) as child,
       (select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_proc p join pg_catalog.pg_roles r on r.oid = p.proowner
         where p.oid = pg_catalog.to_regprocedure($2) and c.relrowsecurity and not r.rolsuper and not r.rolbypassrls
           and (c.relforcerowsecurity or not pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'))) as hidden
     from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)`,
    [base, `${onWrite}()`],
  );
  const { child = null, hidden = null } = others ?? {};
  return [
    ...changed,
    ...(await collationProblems(query, facts)),
    ...(typeof child === 'string'
      ? [
          `${child} inherits from ${base}, and its rows have no triggers: detach it (alter table ${child} no inherit ${base}), or abort the migration`,
        ]
      : []),
    ...(typeof hidden === 'string'
      ? [
          `row-level security hides rows of ${base} from ${hidden}, so writes of clients lose compact vectors: ask an administrator for: alter role ${hidden} bypassrls; then resume the migration, which writes the missing compact vectors`,
        ]
      : []),
  ];
}

/** Returns whether the base table has the column of the full vectors. */
export async function hasFullColumn(query: SessionQuery, facts: MigrationFacts): Promise<boolean> {
  const rows = await query(
    `select from pg_catalog.pg_attribute where attrelid = pg_catalog.to_regclass($1) and attname::pg_catalog.text = $2 and not attisdropped`,
    [objectsOf(facts).base, facts.column],
  );
  return rows.length > 0;
}

async function hasWriteTrigger(query: SessionQuery, facts: MigrationFacts): Promise<boolean> {
  const { base, writeTrigger } = objectsOf(facts);
  const rows = await query(
    `select from pg_catalog.pg_trigger where tgrelid = pg_catalog.to_regclass($1) and pg_catalog.format('"%s"', pg_catalog.replace(tgname::pg_catalog.text, '"', '""')) = $2`,
    [base, writeTrigger],
  );
  return rows.length > 0;
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

/** Keys that are compared in another way than those of the compact vectors, since the column's collation was changed. */
async function collationProblems(query: SessionQuery, facts: MigrationFacts): Promise<readonly string[]> {
  const { base, side } = objectsOf(facts);
  const names = facts.key.map(({ name }, i) => `(${literal(name)}, '${sideKeys(facts)[i]}')`);
  const rows = await query(
    `select pg_catalog.quote_ident(n.own) as name, s.attname::pg_catalog.text as key, a.attcollation::pg_catalog.regcollation::pg_catalog.text as collation
     from (values ${names.join(', ')}) n(own, kept)
     join pg_catalog.pg_attribute a on a.attrelid = pg_catalog.to_regclass($1) and a.attname = n.own
     join pg_catalog.pg_attribute s on s.attrelid = pg_catalog.to_regclass($2) and s.attname = n.kept
     join pg_catalog.pg_collation c on c.oid = a.attcollation join pg_catalog.pg_collation k on k.oid = s.attcollation
     where c.oid <> k.oid and (not c.collisdeterministic or not k.collisdeterministic
       or pg_catalog.to_regcollation('pg_catalog.default') not in (c.oid, k.oid)) order by 1`,
    [base, side],
  );
  return rows.map((row) => {
    const statement = `alter table ${side} alter ${textIn(row, 'key')} type pg_catalog.text collate ${textIn(row, 'collation')}`;
    return `${textIn(row, 'name')} of ${base} has another collation now than the key of the compact vectors, so searches fail: run ${statement}; then resume the migration`;
  });
}
