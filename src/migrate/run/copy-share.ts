import { isTldrError, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run-options.js';
import { pausedError, stoppable, stopReason } from '../state/with-lock.js';
import { resumeLocked, loadOrCreateState, type MigrationReport } from './migrate-collection.js';
import type { PlacedMigration } from '../plan/migration-options.js';
import { checkIdentity, type MigrationState, type Share } from '../state/migration-state.js';
import { planMigration, type MigrationPlan } from '../plan/migration.js';
import type { StateLock, StateLocation } from '../state/location.js';
import { copyRanges, prepare, withThrottle, workOn } from './phases.js';
import { copyingShares, joinShares, shareOf, splitState, wholeState } from '../state/shares.js';

const LOCK_POLL_MS = 200;
/** Longest wait for other workers. None locks the whole state for long before all are done. */
const LOCK_WAIT_MS = 120_000;

/** Result of one of several workers. */
export interface ShareReport {
  readonly share: Share;
  /** Points written by this worker. */
  readonly copied: number;
  readonly seconds: number;
  /** Ranges of all shares together. */
  readonly rangesDone: number;
  readonly rangesTotal: number;
  /** Report of the last worker, which also waits for the index and verifies. Null for the others. */
  readonly last: MigrationReport | null;
}

export interface SharedMigration extends PlacedMigration {
  readonly share: Share;
}

/**
 * Copies the share of one of several workers, which know of each other only by the migration state. The first
 * worker creates state and target. The worker that finds all shares done does the steps after the copy. Each
 * share is locked by one worker.
 * @throws as `startMigration`; ALREADY_EXISTS while another worker has this share, or others split
 * differently
 */
export async function copyShare(options: SharedMigration): Promise<ShareReport> {
  const startedAtMs = performance.now();
  const held = await takeShare(options);
  const copied = held === null ? 0 : await copyHeld(options, held);
  const last = await finishIfLast(options);
  const whole = await presentState(options.place);
  return {
    share: options.share,
    copied: copied + (last?.copied ?? 0),
    seconds: (performance.now() - startedAtMs) / 1000,
    rangesDone: whole.ranges.filter(({ complete }) => complete).length,
    rangesTotal: whole.ranges.length,
    last,
  };
}

interface HeldShare extends StateLock {
  readonly plan: MigrationPlan;
  readonly place: StateLocation;
  readonly state: MigrationState;
}

/** Returns the share, locked; null if the copy is over. The whole state is locked only meanwhile. */
async function takeShare(options: SharedMigration): Promise<HeldShare | null> {
  const { place, share, signal } = options;
  const main = await lockWhenFree(options);
  if (main === null) return null;
  try {
    if (await place.isPaused()) throw pausedError();
    const plan = await planMigration(options, { points: options.planned?.points, place });
    const { state } = await loadOrCreateState(plan, options, share.of);
    await prepare(workOn(plan, state, { options, signal: signal ?? main.signal }));
    if (state.phase !== 'copying') return null;
    const whole = state.split === share.of ? state : await joinShares(state, place);
    if (whole.split !== share.of) await splitState(whole, place, share.of);
    const part = place.share(share);
    const lock = await part.lock();
    const before = await part.read();
    if (before !== null) checkIdentity(before, plan, part.label);
    const { projector } = whole;
    const own = before ?? shareOf(whole, share);
    return { ...lock, plan, place: part, state: projector === undefined ? own : { ...own, projector } };
  } finally {
    await main.unlock();
  }
}

async function copyHeld(
  options: SharedMigration,
  { plan, place, state, unlock, signal: lost }: HeldShare,
): Promise<number> {
  const stop = stoppable(place, lost, options);
  try {
    const work = workOn(plan, state, { options: { ...options, place }, signal: stop.signal });
    return await withThrottle(work, (throttle) => copyRanges(work, throttle));
  } catch (error) {
    throw stopReason(error, stop.signal);
  } finally {
    stop.end();
    await unlock();
  }
}

/** Does the steps after the copy if all shares are done and no other worker does them; otherwise null. */
async function finishIfLast(options: SharedMigration): Promise<MigrationReport | null> {
  const { place } = options;
  const main = await lockWhenFree(options);
  if (main === null) return null;
  let goesOn = false;
  try {
    const whole = await presentState(place);
    const copied = whole.phase !== 'copying' || whole.ranges.every(({ complete }) => complete);
    goesOn = copied && whole.phase !== 'verified' && (await copyingShares(whole, place)) === null;
  } finally {
    if (!goesOn) await main.unlock();
  }
  return goesOn ? resumeLocked(options, main) : null;
}

async function presentState(place: StateLocation): Promise<MigrationState> {
  const state = await place.read();
  if (state === null)
    throw new TldrError('ABORTED', `${place.label} no longer exists: the migration was aborted`);
  return wholeState(state, place);
}

/** Locks the whole state; null if another run holds the lock and is past the copy. */
async function lockWhenFree({ place, signal }: SharedMigration): Promise<StateLock | null> {
  const giveUpAtMs = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      return await place.lock();
    } catch (error) {
      if (!isTldrError(error, 'ALREADY_EXISTS')) throw error;
      const phase = (await place.read())?.phase;
      if (phase !== undefined && phase !== 'creating' && phase !== 'copying') return null;
      if (performance.now() > giveUpAtMs) throw error;
      await sleep(LOCK_POLL_MS, signal);
    }
  }
}
