import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { InPlaceChange, InPlaceCutOverRequest } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import { failureOfRemoval } from './base-index.js';
import { hasFullVector, objectsOf, type MigrationFacts } from './objects.js';
import { cutOverOperator, planOperator, plannedOperatorChange, rollBackOperator } from './operator.js';
import { functionDigest, planSearchFunction, type SearchFunction } from './search-function.js';
import { clientParts, twoStageStatement } from './search-query.js';
import { sqlStateOf, type SessionQuery } from '../connect/session.js';
import { changeState, newCutOver, type StoredCutOver, type StoredMigration } from './state-table.js';
import { checkFullColumn } from './check-drop.js';

/** Returns what a cut-over would do. */
export async function planCutOverInPlace(
  query: SessionQuery,
  { facts, cutOver }: StoredMigration,
  request: InPlaceCutOverRequest,
): Promise<InPlaceChange> {
  checkFullColumn(facts, cutOver);
  if (request.form === 'none') return plainQuery(facts, request.candidates);
  if (request.form === 'operator')
    return plannedOperatorChange(await planOperator(query, facts, request.name));
  const made = await planSearchFunction(query, facts, request);
  return {
    lines: [
      `${made.signature} ${made.isNew ? 'is not there yet and is made' : 'is replaced, with the same parameters and results'}`,
      'if it succeeds: it finds candidates by compact vectors, and orders and scores them by the full ones',
      'if it fails: nothing is changed, and you can run this again',
      made.isNew
        ? 'to go back: a rollback removes it'
        : 'to go back: a rollback restores its definition as it is now',
    ],
    statements: [made.statement],
  };
}

/** Changes what clients call. @throws VERIFY_FAILED before a verification, ALREADY_EXISTS after another cut-over */
export async function cutOverInPlace(
  query: SessionQuery,
  stored: StoredMigration,
  request: InPlaceCutOverRequest,
): Promise<InPlaceChange> {
  const { facts, phase, cutOver } = stored;
  checkPhase(stored, request);
  if (request.form === 'none') {
    await store(query, facts, newCutOver({ form: 'none', name: '' }));
    return plainQuery(facts, request.candidates);
  }
  if (request.form === 'operator') {
    if (cutOver !== null)
      return { lines: [`${cutOver.name} searches compact vectors already`], statements: [] };
    return cutOverOperator(query, facts, await planOperator(query, facts, request.name));
  }
  if (phase === 'cut-over' && cutOver?.form === 'function')
    return { lines: [`${cutOver.name} searches compact vectors already`], statements: [] };
  const made = await planSearchFunction(query, facts, request);
  const isSet = await createFunction(query, made);
  await tryFunction(query, facts, made);
  const digest = (await functionDigest(query, made.signature)) ?? '';
  const { signature: name, undo } = made;
  await store(query, facts, newCutOver({ form: 'function', name, undo: [undo], digest }));
  return {
    lines: [
      `${name} searches compact vectors now, and its scores are those of the full vectors`,
      ...(isSet
        ? []
        : [
            'this server does not let functions set how many rows an index returns: each search has 40 candidates, and one with a filter may return fewer rows than asked for',
          ]),
    ],
    statements: [isSet ? made.statement : made.plainStatement],
  };
}

/** @throws VERIFY_FAILED before a verification, ALREADY_EXISTS after another cut-over */
export function checkPhase(
  { facts, phase, cutOver }: StoredMigration,
  { form, name }: InPlaceCutOverRequest,
): void {
  checkFullColumn(facts, cutOver);
  const isSame = cutOver?.form === form && (form !== 'operator' || cutOver.name === name);
  if (phase === 'cut-over' && isSame) return;
  if (phase === 'cut-over' || phase === 'complete')
    throw new TldrError('ALREADY_EXISTS', 'clients were sent to the compact vectors already', {
      hint: 'roll-back-first',
    });
  if (phase !== 'ready')
    throw new TldrError(
      'VERIFY_FAILED',
      `the compact vectors of ${objectsOf(facts).base} are not ready (${phase})`,
      { hint: 'resume-migration' },
    );
}

async function store(query: SessionQuery, facts: MigrationFacts, cutOver: StoredCutOver): Promise<void> {
  await changeState(query, facts, { phase: 'cut-over', cutOver });
}

/** Makes the function. Returns whether the server let it have settings of the index. */
export async function createFunction(query: SessionQuery, made: SearchFunction): Promise<boolean> {
  await query('savepoint with_settings');
  try {
    // The settings are known to the server as soon as the extension's library is loaded.
    await query(`select pg_catalog.set_config('hnsw.ef_search', '40', true)`);
    await query(made.statement);
    return true;
  } catch {
    await query('rollback to savepoint with_settings');
    await query(made.plainStatement);
    return false;
  }
}

/** Calls the function once, so that one that fails is never left behind. */
async function tryFunction(query: SessionQuery, facts: MigrationFacts, made: SearchFunction): Promise<void> {
  const { base } = objectsOf(facts);
  const column = `t.${quoted(facts.column)}`;
  const [row] = await query(
    `select ${column}::pg_catalog.text as vector from ${base} t where ${hasFullVector(facts, column)} limit 1`,
  );
  if (row === undefined) return;
  await query(made.trial, [textIn(row, 'vector')]);
}

function plainQuery(facts: MigrationFacts, candidates: number): InPlaceChange {
  const statement = twoStageStatement(facts, clientParts(facts, candidates));
  return {
    lines: [
      'nothing is changed for clients. This query finds candidates by compact vectors and orders them by the full ones;',
      `in its transaction, first: set local hnsw.ef_search = ${candidates}; and with a condition on t: set local hnsw.iterative_scan = strict_order`,
      ...statement.split('\n').map((line) => `  ${line}`),
    ],
    statements: [statement],
  };
}

/** What a rollback did, by form. */
const BACK: Readonly<Record<InPlaceCutOverRequest['form'], (name: string) => string>> = {
  function: (name) => `${name} is as it was before the cut-over`,
  operator: (name) =>
    `the operator is removed, and the search path of ${quoted(name)} is as it was before the cut-over`,
  none: () => 'the cut-over is taken back',
};

/** A function that an administrator had put back would look changed, so only its owner is asked for. */
function failureOfFunction(error: unknown, name: string, undo: readonly string[]): unknown {
  if (sqlStateOf(error) !== '42501') return failureOfRemoval(error, undo);
  return new TldrError(
    'FORBIDDEN',
    `this connection may not change ${name}: run the rollback as the owner of that function, or as a member of that role`,
    { cause: error },
  );
}

/** Returns whether somebody put back by hand what was there before the cut-over. */
async function isAsBefore(query: SessionQuery, name: string, undo: readonly string[]): Promise<boolean> {
  const [path] = await query(`select pg_catalog.current_setting('search_path') as path`);
  await query('set local search_path = pg_catalog');
  const [row] = await query(
    `select pg_catalog.pg_get_functiondef(p.oid) as definition from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure($1)`,
    [name],
  );
  // A body that is put back is read with the path of this session.
  await query(`select pg_catalog.set_config('search_path', $1, true)`, [
    textIn(expectDefined(path, 'the search path'), 'path'),
  ]);
  return (
    undo.length === 1 && undo[0] === (row === undefined ? `drop function ${name}` : textIn(row, 'definition'))
  );
}

/** Puts back what was there before a cut-over. @throws NOT_FOUND without one, MISMATCH if somebody changed it since */
export async function rollBackInPlace(query: SessionQuery, stored: StoredMigration): Promise<InPlaceChange> {
  const { facts, cutOver } = stored;
  if (cutOver === null) throw new TldrError('NOT_FOUND', 'there was no cut-over');
  checkFullColumn(facts, cutOver);
  const { form, name, undo, digest, droppedIndexes } = cutOver;
  if (form === 'function') {
    const isDone = await isAsBefore(query, name, undo);
    if (!isDone && (await functionDigest(query, name)) !== digest)
      throw new TldrError(
        'MISMATCH',
        `${name} was changed or dropped since the cut-over: a rollback would overwrite that. Put back by hand what was there before, and roll back again:\n${undo.join(';\n')}`,
      );
    for (const statement of isDone ? [] : undo)
      await query(statement).catch((error: unknown) => {
        throw failureOfFunction(error, name, undo);
      });
  }
  if (form === 'operator') await rollBackOperator(query, facts, cutOver);
  await changeState(query, facts, { phase: 'ready', cutOver: null });
  return {
    lines: [
      BACK[form](name),
      ...(droppedIndexes.length === 0
        ? []
        : [
            'the indexes of the full vectors were dropped; these statements build them again:',
            ...droppedIndexes,
          ]),
    ],
    statements: undo,
  };
}
