import { sleep, throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import { TldrError } from '../../../src/core/errors.js';
import { numberIn } from '../catalog/values.js';
import type { Connections } from '../connect/connections.js';
import { baseIndexStatement, indexState } from './base-index.js';
import { hnswStatement, objectsOf, type MigrationFacts } from './objects.js';
import { sqlStateOf, type Session } from '../connect/session.js';

const POLL_MS = 1_000;
/** Builds again after an index that a failed build left behind. */
const ATTEMPTS = 3;

/** An index to build. */
interface WantedIndex {
  /** The name with its schema, for statements. */
  readonly name: string;
  readonly table: string;
  readonly statement: string;
}

/** Returns the index of the compact vectors in the side table, or that of the base table's expression. */
export function wantedIndex(facts: MigrationFacts, of: 'side' | 'base'): WantedIndex {
  const { base, side, index, indexName, baseIndex } = objectsOf(facts);
  return of === 'side'
    ? {
        name: index,
        table: side,
        statement: hnswStatement(facts, { name: indexName, table: side, expression: 'z' }),
      }
    : { name: baseIndex, table: base, statement: baseIndexStatement(facts) };
}

/**
 * Builds the index. An index that is invalid, because its building was cut off, is dropped and built again.
 * @throws ALREADY_EXISTS if another table has an index of that name
 */
export async function buildCompactIndex(
  session: Session,
  connections: Connections,
  {
    index,
    isPaused,
    ...run
  }: RunOptions & { readonly index: WantedIndex; readonly isPaused: () => Promise<boolean> },
): Promise<void> {
  const { name, table } = index;
  const stateNow = (): ReturnType<typeof indexState> =>
    session.transaction('', (query) => indexState(query, index));
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    throwIfAborted(run.signal);
    const found = await stateNow();
    if (found === 'valid') return;
    if (found === 'elsewhere')
      throw new TldrError(
        'ALREADY_EXISTS',
        `the index ${name} is one of another table, perhaps of that which had the name ${table} before: drop it or rename it, then continue`,
        { hint: 'resume-migration' },
      );
    if (found === 'invalid') {
      run.log?.('info', 'an index that was not finished is dropped and built again');
      await session.statement(`drop index concurrently if exists ${name}`);
    }
    await watched(session, connections, { index, isPaused, ...run });
  }
  if ((await stateNow()) !== 'valid')
    throw new TldrError('UNAVAILABLE', `the index ${name} is not valid after ${ATTEMPTS} attempts`);
}

/** A lost connection leaves an index behind, which the next attempt meets. */
const DUPLICATE = '42P07';

/** Builds the index once, shows how far it is, and ends the statement at a signal or a pause. */
async function watched(
  session: Session,
  connections: Connections,
  {
    index,
    isPaused,
    signal,
    onProgress,
  }: RunOptions & { readonly index: WantedIndex; readonly isPaused: () => Promise<boolean> },
): Promise<void> {
  const pid = await session.processId();
  const ended = new AbortController();
  const stop: { why: 'paused' | 'aborted' | null } = { why: null };
  const cancel = async (): Promise<void> => {
    await connections.query(`select pg_catalog.pg_cancel_backend(${pid})::pg_catalog.text as done`);
  };
  const watch = async (): Promise<void> => {
    for (;;) {
      await sleep(POLL_MS, ended.signal);
      if (signal?.aborted === true) stop.why ??= 'aborted';
      else if (await isPaused()) stop.why ??= 'paused';
      if (stop.why !== null) await cancel();
      const progress = await indexProgress(connections, pid);
      if (progress !== null) onProgress?.({ step: 'indexing', ...progress, unit: 'blocks' });
    }
  };
  // Ends by its own signal. If it fails, the index is built all the same.
  const watching = watch().catch(() => undefined);
  try {
    await session.statement(index.statement);
  } catch (error) {
    if (stop.why === null && sqlStateOf(error) === DUPLICATE) return;
    if (stop.why === null) throw error;
    throw new TldrError(
      'ABORTED',
      'stopped while the index was built: it is built again from its beginning',
      {
        cause: error,
        hint: 'resume-paused',
      },
    );
  } finally {
    ended.abort();
    await watching;
  }
}

async function indexProgress(
  connections: Connections,
  pid: string,
): Promise<{ readonly done: number; readonly total: number } | null> {
  const [row] = await connections.query(
    `select blocks_done::pg_catalog.text as done, blocks_total::pg_catalog.text as total
     from pg_catalog.pg_stat_progress_create_index where pid = $1::pg_catalog.int4`,
    [pid],
  );
  if (row === undefined) return null;
  const total = numberIn(row, 'total');
  return { done: numberIn(row, 'done'), total: total > 0 ? total : Number.POSITIVE_INFINITY };
}
