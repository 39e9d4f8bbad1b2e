import { isTldrError, TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run.js';
import type { VectorStore } from '../../store/vector-store.js';
import type { MigrationState } from './migration-state.js';
import type { StateLocation } from './location.js';
import { copyingShares } from './split.js';

const PAUSE_POLL_MS = 200;

/** A migration as every command after the start knows it. */
export interface RecordedMigration {
  readonly source: VectorStore;
  readonly target: VectorStore;
  readonly place: StateLocation;
}

/**
 * The record of a migration between these stores.
 * @throws NOT_FOUND where there is none, MISMATCH for one of other servers
 */
export async function readRecorded({ source, target, place }: RecordedMigration): Promise<MigrationState> {
  const record = await place.read();
  if (record === null) {
    throw new TldrError(
      'NOT_FOUND',
      `${place.label} holds no migration: begin with \`migrate start\`, or say with --record or --state where its record is`,
    );
  }
  const pairs = [
    ['source', record.sourceEndpoint, source.endpoint],
    ['target', record.targetEndpoint, target.endpoint],
  ] as const;
  for (const [side, recorded, now] of pairs) {
    if (recorded === now) continue;
    const message = `${place.label} records a migration whose ${side} is at ${recorded}, not at ${now}`;
    throw new TldrError('MISMATCH', message);
  }
  return record;
}

/** Calls `body` with the record while nobody else works on it. @throws ALREADY_EXISTS while somebody does */
export async function withRecord<T>(
  migration: RecordedMigration,
  body: (record: MigrationState, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { unlock, signal } = await migration.place.lock();
  try {
    const record = await readRecorded(migration);
    const busy = await copyingShares(record, migration.place);
    if (busy !== null)
      throw new TldrError(
        'ALREADY_EXISTS',
        `workers copy by ${migration.place.label} (${busy}): pause them first`,
      );
    return await body(record, signal);
  } finally {
    await unlock();
  }
}

/** A signal that also fires when a pause is asked for or the lock is lost, with its reason as the error to throw. */
export function stoppable(
  place: StateLocation,
  lost: AbortSignal,
  run: RunOptions,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const paused = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    if (await place.isPaused()) paused.abort(pausedError());
    else wait();
  };
  const wait = (): void => {
    // A look that fails is made again; the work itself tells what is wrong.
    timer = setTimeout(() => void look().catch(wait), PAUSE_POLL_MS);
    timer.unref();
  };
  wait();
  const signals = [paused.signal, lost, ...(run.signal === undefined ? [] : [run.signal])];
  return { signal: AbortSignal.any(signals), end: () => clearTimeout(timer) };
}

/** How a run that was asked to pause ends. */
export function pausedError(): TldrError {
  return new TldrError('ABORTED', 'paused: `migrate resume` goes on');
}

/** What a stopped run throws: why it was told to stop, where that is known. */
export function stopReason(error: unknown, signal: AbortSignal): unknown {
  const reason: unknown = signal.reason;
  return isTldrError(error, 'ABORTED') && isTldrError(reason) ? reason : error;
}
