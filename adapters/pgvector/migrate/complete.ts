import { TldrError } from '../../../src/core/errors.js';
import type { InPlaceChange, InPlaceCompletion } from '../../../src/store/in-place-target.js';
import { textIn } from '../catalog/values.js';
import { objectsOf } from './objects.js';
import type { Session } from './session.js';
import { changeState, type StoredMigration } from './state-table.js';

/** Ends a migration; on request, drops the indexes of the full vectors while clients read and write. */
export async function completeInPlace(
  session: Session,
  stored: StoredMigration,
  { dropFullIndexes }: InPlaceCompletion,
): Promise<InPlaceChange> {
  const { facts, phase, cutOver } = stored;
  if (cutOver === null || (phase !== 'cut-over' && phase !== 'complete'))
    throw new TldrError('INVALID_ARGUMENT', `clients do not use the compact vectors yet (${phase})`, {
      hint: 'cut-over-first',
    });
  const indexes = await fullIndexes(session, stored);
  const statements = indexes.map(({ name }) => `drop index concurrently ${name}`);
  if (dropFullIndexes && facts.isPartitioned && indexes.length > 0)
    throw new TldrError(
      'UNSUPPORTED',
      `indexes of a partitioned table cannot be dropped while clients use it. Drop them yourself: ${indexes.map(({ name }) => `drop index ${name};`).join(' ')}`,
    );
  if (dropFullIndexes) {
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

async function fullIndexes(
  session: Session,
  { facts }: StoredMigration,
): Promise<readonly { readonly name: string; readonly definition: string }[]> {
  const { base } = objectsOf(facts);
  const rows = await session.transaction('set local search_path = pg_catalog', (query) =>
    query(
      `select distinct i.indexrelid::pg_catalog.regclass::pg_catalog.text as name, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
       from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_am m on m.oid = c.relam
       join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid
         and d.refobjid = i.indrelid
       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid and a.attname::pg_catalog.text = $2
       where i.indrelid = pg_catalog.to_regclass($1) and m.amname in ('hnsw', 'ivfflat')
         and pg_catalog.pg_get_indexdef(i.indexrelid) not like '%.project\\_%' order by 1`,
      [base, facts.column],
    ),
  );
  return rows.map((row) => ({ name: textIn(row, 'name'), definition: textIn(row, 'definition') }));
}
