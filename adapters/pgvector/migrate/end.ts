import { TldrError } from '../../../src/core/errors.js';
import type { InPlaceChange, InPlaceCompletion } from '../../../src/store/in-place-target.js';
import { literal } from '../catalog/identifiers.js';
import { numberIn, textIn } from '../catalog/values.js';
import { isOnEncoder } from '../catalog/vector-indexes.js';
import { dropIndexedFunctions } from './base-index.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import type { Session, SessionQuery } from '../connect/session.js';
import { changeState, deleteState, type StoredCutOver, type StoredMigration } from './state-table.js';

/** Ends a migration; on request, drops the indexes of the full vectors while clients read and write. */
export async function completeInPlace(
  session: Session,
  stored: StoredMigration,
  { dropFullIndexes }: Pick<InPlaceCompletion, 'dropFullIndexes'>,
): Promise<InPlaceChange> {
  const { facts } = stored;
  const cutOver = cutOverOf(stored);
  const indexes = await session.transaction('', (query) => fullIndexes(query, stored));
  const statements = indexes.map(dropStatement);
  if (dropFullIndexes) {
    checkPartitions(facts, indexes);
    // Stored before the first one is dropped, so that a rollback always knows how to build them again.
    const droppedIndexes = [
      ...new Set([...cutOver.droppedIndexes, ...indexes.map(({ definition }) => definition)]),
    ];
    await session.transaction('', (query) =>
      changeState(query, facts, { cutOver: { ...cutOver, droppedIndexes } }),
    );
    for (const statement of statements) await session.statement(statement);
  }
  await session.transaction('', (query) => changeState(query, facts, { phase: 'complete' }));
  return {
    lines: dropFullIndexes
      ? indexes.map(({ name }) => `${name} is dropped`)
      : indexes.map(({ name }) => `you may drop the index ${name}, which nothing of this migration uses`),
    statements: dropFullIndexes ? statements : [],
  };
}

/** Returns what the end of a migration would drop. */
export async function planDropIndexes(query: SessionQuery, stored: StoredMigration): Promise<InPlaceChange> {
  cutOverOf(stored);
  const indexes = await fullIndexes(query, stored);
  checkPartitions(stored.facts, indexes);
  return {
    lines: [
      'if it succeeds: the indexes of the full vectors are dropped, while clients read and write',
      '  queries that search the full vectors then read the whole table',
      ...(indexes.length === 0 ? ['there is no such index'] : []),
    ],
    statements: indexes.map(dropStatement),
  };
}

/** Returns the cut-over of a migration that can be completed. @throws INVALID_ARGUMENT before a cut-over */
export function cutOverOf({ phase, cutOver }: StoredMigration): StoredCutOver {
  if (cutOver !== null && (phase === 'cut-over' || phase === 'complete')) return cutOver;
  throw new TldrError('INVALID_ARGUMENT', `clients do not use the compact vectors yet (${phase})`, {
    hint: 'cut-over-table-first',
  });
}

interface FullIndex {
  readonly name: string;
  readonly definition: string;
}

function dropStatement({ name }: FullIndex): string {
  return `drop index concurrently ${name}`;
}

function checkPartitions({ isPartitioned }: MigrationFacts, indexes: readonly FullIndex[]): void {
  if (!isPartitioned || indexes.length === 0) return;
  throw new TldrError(
    'UNSUPPORTED',
    `indexes of a partitioned table cannot be dropped while clients use it. Drop them yourself: ${indexes.map(({ name }) => `drop index ${name};`).join(' ')}`,
  );
}

async function fullIndexes(query: SessionQuery, { facts }: StoredMigration): Promise<readonly FullIndex[]> {
  const { base } = objectsOf(facts);
  await query('set local search_path = pg_catalog');
  const rows = await query(
    `select distinct i.indexrelid::pg_catalog.regclass::pg_catalog.text as name, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
       from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_am m on m.oid = c.relam
       join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid
         and d.refobjid = i.indrelid
       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid and a.attname::pg_catalog.text = $2
       where i.indrelid = pg_catalog.to_regclass($1) and m.amname in ('hnsw', 'ivfflat')
         and not ${isOnEncoder('i.indexrelid')} order by 1`,
    [base, facts.column],
  );
  return rows.map((row) => ({ name: textIn(row, 'name'), definition: textIn(row, 'definition') }));
}

/** Returns the statements that remove all that a migration made, and the encoder if no other migration uses it. */
export async function removeStatements(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<readonly string[]> {
  const names = objectsOf(facts);
  const [row] = await query(
    `select pg_catalog.count(*)::pg_catalog.text as others from "tldr"."migration"
     where fingerprint = $1 and not (schema_name = $2 and table_name = $3 and column_name = $4)`,
    [facts.fingerprint, facts.schema, facts.table, facts.column],
  );
  // The script of `encoderScript` may have made the encoder's function for somebody else.
  const [own] = await query(
    `select is_own::pg_catalog.text as own from "tldr"."encoder" where fingerprint = $1`,
    [facts.fingerprint],
  );
  const isOver = row !== undefined && numberIn(row, 'others') === 0;
  const isOwn = isOver && own?.['own'] === 'true';
  const vector = `${facts.extension}.vector`;
  return [
    // The triggers go with their functions, also those of partitions: only the table's owner may drop them alone.
    `drop function if exists ${names.onWrite}() cascade`,
    `drop function if exists ${names.onTruncate}() cascade`,
    `drop function if exists ${names.syncRow}`,
    `drop function if exists ${names.writeVector}`,
    `drop table if exists ${names.side}`,
    `drop function if exists ${names.mayWrite}`,
    `drop index if exists ${names.baseIndex}`,
    ...dropIndexedFunctions(facts),
    ...(isOwn
      ? [...new Set([names.project, names.projectQuery])].map(
          (name) => `drop function if exists ${name}(${vector})`,
        )
      : []),
    ...(isOwn ? names.weights.map((name) => `drop table if exists ${name}`) : []),
    deleteState(facts),
    ...(!isOver ? [] : [`delete from "tldr"."encoder" where fingerprint = ${literal(facts.fingerprint)}`]),
  ];
}
