import { isTldrError, TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { MigrationState } from './migration-state.js';
import type { StateLocation } from './location.js';
import { copyingShares } from './shares.js';

const PAUSE_POLL_MS = 200;

/** A migration that was started: its stores and the location of its state. */
export interface StartedMigration {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly place: StateLocation;
}

/**
 * Returns the state of a migration between these stores.
 * @throws NOT_FOUND when there is none, MISMATCH when it belongs to other servers
 */
export async function readMigrationState({
  source,
  target,
  place,
}: StartedMigration): Promise<MigrationState> {
  const state = await place.read();
  if (state === null) {
    throw new TldrError('NOT_FOUND', `${place.label} holds no migration`, { hint: 'start-migration' });
  }
  const pairs = [
    ['source', state.sourceEndpoint, source.endpoint],
    ['target', state.targetEndpoint, target.endpoint],
  ] as const;
  for (const [side, stored, now] of pairs) {
    if (stored === now) continue;
    const message = `${place.label} holds a migration whose ${side} is at ${stored}, not at ${now}`;
    throw new TldrError('MISMATCH', message);
  }
  return state;
}

/** Calls `body` with the migration state, locked. @throws ALREADY_EXISTS while another run works on it */
export async function withMigrationState<T>(
  migration: StartedMigration,
  body: (state: MigrationState, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { unlock, signal } = await migration.place.lock();
  try {
    const state = await readMigrationState(migration);
    const busy = await copyingShares(state, migration.place);
    if (busy !== null)
      throw new TldrError(
        'ALREADY_EXISTS',
        `workers copy with ${migration.place.label} (${busy}): pause them first`,
      );
    return await body(state, signal);
  } finally {
    await unlock();
  }
}

/** Returns a signal that also fires on a pause request or a lost lock. Its reason is the error to throw. */
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
    // A failed look is repeated; the work itself reports what is wrong.
    timer = setTimeout(() => void look().catch(wait), PAUSE_POLL_MS);
    timer.unref();
  };
  wait();
  const signals = [paused.signal, lost, ...(run.signal === undefined ? [] : [run.signal])];
  return { signal: AbortSignal.any(signals), end: () => clearTimeout(timer) };
}

/** Returns the error with which a run ends after a pause request. */
export function pausedError(): TldrError {
  return new TldrError('ABORTED', 'paused', { hint: 'resume-paused' });
}

/**
 * Returns the error to throw in place of `error`. If `error` only says that the run was aborted, it is the
 * reason that the run's signal gives; otherwise it is `error` itself.
 */
export function stopReason(error: unknown, signal: AbortSignal): unknown {
  const reason: unknown = signal.reason;
  return isTldrError(error, 'ABORTED') && isTldrError(reason) ? reason : error;
}
