import { TldrError } from '../../core/errors.js';
import { recordKept } from '../../store/target-description.js';
import type { ShardKey } from '../../store/vector-store.js';
import type { CaughtUp } from '../catch-up/passes.js';
import { ProxyControl, proxyControlOf } from '../dual-write/proxy-control.js';
import { pausedError, stoppable, stopReason } from '../state/locked.js';
import type { MigrationOptions, PlacedMigration } from '../plan/migration-options.js';
import {
  checkIdentity,
  cursorText,
  FRESH,
  identityOf,
  inEffect,
  type MigrationState,
} from '../state/migration-state.js';
import { planMigration, type MigrationPlan } from '../plan/migration.js';
import { recordFile } from '../state/in-file.js';
import type { StateLock, StateLocation } from '../state/location.js';
import { CONCURRENCY, runFollowing, runPhases, workOn, type Work } from './phases.js';
import { joinShares } from '../state/split.js';
import { retune } from '../throttle/settings.js';
import type { VerifyReport } from '../verify/all-points.js';

const RANGES_PER_COPIER = 4;
/** Below this many points splitting into ranges costs more than it gains. */
const SPLIT_POINTS_MIN = 5_000;

export interface MigrateOptions extends MigrationOptions {
  /** File that holds the progress; the same file resumes. */
  readonly recordPath: string;
}

export interface MigrationReport {
  readonly plan: MigrationPlan;
  /** Points written by this run, or removed as repairs; less than all when it resumed. */
  readonly copied: number;
  readonly resumed: boolean;
  readonly seconds: number;
  readonly verify: VerifyReport;
}

/**
 * Moves a collection into a compact one: plan, create, copy, finish, verify. Every step is recorded before it
 * begins, so a killed run goes on where it was when called again with the same record. After a failed
 * verification the next call repairs what differs. The source is only read.
 * @throws VERIFY_FAILED when the copy differs, ABORTED (resumable), ALREADY_EXISTS, MISMATCH
 */
export function migrateCollection(options: MigrateOptions): Promise<MigrationReport> {
  const { recordPath, ...rest } = options;
  return startMigration({ ...rest, place: recordFile(recordPath) });
}

/**
 * As `migrateCollection`, with the record at any place. @throws as there; ABORTED while it is paused; UNAVAILABLE
 * where no proxy follows the writes by the journal given
 */
export async function startMigration(options: PlacedMigration): Promise<MigrationReport> {
  // Looked at before the record is held, so that what cannot be done leaves nothing behind.
  await planMigration(options);
  const { journal, encoder } = options;
  const followed = { ...options, encoderFingerprint: encoder.fingerprint };
  if (journal !== undefined) await new ProxyControl(journal, followed).living();
  return resumeLocked(options, await options.place.lock());
}

/** What was done for a migration that is not verified yet, since clients write to its source. */
export interface FollowReport extends Omit<MigrationReport, 'verify'> {
  readonly caughtUp: CaughtUp;
}

/**
 * As `startMigration` while clients write to the source: instead of a verification the target follows the source
 * until no more than `lagMax` points differ; the cut-over catches up with the rest.
 * @throws VERIFY_FAILED where writes come faster than that; resumable
 */
export async function followMigration(
  options: PlacedMigration & { readonly lagMax: number },
): Promise<FollowReport> {
  await planMigration(options);
  return withMigrationLock(options, await options.place.lock(), async (work) => {
    if (work.record.journal !== undefined)
      throw new TldrError('INVALID_ARGUMENT', 'a proxy follows the writes: go on without --catch-up');
    return runFollowing(work, options.lagMax);
  });
}

/** As `startMigration`, by whoever holds the record; it is let go at the end. */
export function resumeLocked(options: PlacedMigration, lock: StateLock): Promise<MigrationReport> {
  return withMigrationLock(options, lock, runPhases);
}

async function withMigrationLock<T>(
  options: PlacedMigration,
  { unlock, signal: lost }: StateLock,
  phases: (work: Work) => Promise<T>,
): Promise<Pick<MigrationReport, 'plan' | 'resumed' | 'seconds'> & T> {
  const { place } = options;
  const startedAtMs = performance.now();
  const stop = stoppable(place, lost, options);
  try {
    if (await place.isPaused()) throw pausedError();
    const plan = await planMigration(options);
    const { record, resumed } = await loadOrCreateState(plan, options);
    await proxyControlOf(record)?.living();
    const whole = await joinShares(record, place);
    const done = await phases(workOn(plan, whole, { options, signal: stop.signal }));
    return { plan, resumed, seconds: (performance.now() - startedAtMs) / 1000, ...done };
  } catch (error) {
    throw stopReason(error, stop.signal);
  } finally {
    stop.end();
    await unlock();
  }
}

/**
 * The record of this migration, a new one where there is none; the caller holds it.
 * @throws MISMATCH, ALREADY_EXISTS for one that must not go on, is kept elsewhere, or while workers copy by it
 */
export async function loadOrCreateState(
  plan: MigrationPlan,
  options: PlacedMigration,
  workers = 1,
): Promise<{ readonly record: MigrationState; readonly resumed: boolean }> {
  const { place } = options;
  const before = await recordedBefore(plan, place);
  if (before === null && plan.targetExists) await checkKeptHere(plan, options);
  // Without the target a record says nothing; without a record the copy begins again, which is safe.
  const resumed = before !== null && (plan.targetExists || before.phase === 'creating');
  if (before !== null && !resumed) await joinShares(before, place);
  const record = resumed ? before : await newRecord(plan, options, workers);
  const journal = journalOf(record, {
    resumed,
    asked: options.journal ?? before?.journal,
    label: place.label,
  });
  if (journal !== undefined) {
    if (workers > 1)
      throw new TldrError(
        'INVALID_ARGUMENT',
        'a migration whose writes a proxy follows is copied by one runner: leave --worker out',
      );
    record.journal = journal;
  }
  record.encoderFile = options.encoderFile ?? record.encoderFile;
  await retune(place, options.tuning);
  return { record, resumed };
}

/**
 * A target without a record here may have one elsewhere, whose runner knows nothing of this one.
 * @throws MISMATCH where the target says so
 */
async function checkKeptHere(
  { targetCollection: name }: MigrationPlan,
  { target, place }: PlacedMigration,
): Promise<void> {
  const kept = recordKept(await target.describe(name));
  if (kept === null || kept === place.kept) return;
  throw new TldrError(
    'MISMATCH',
    `${place.label} holds no record of ${name}, which says that its migration is recorded in ${kept === 'file' ? 'a file' : 'the database'}: say with --record or --state where; if that record is lost and nobody reads ${name}, delete that collection and begin again: writes that were made to it alone are lost with it`,
  );
}

/** @throws MISMATCH for a migration that was begun with another journal, or without one: it may have missed writes */
function journalOf(
  record: MigrationState,
  {
    resumed,
    asked,
    label,
  }: { readonly resumed: boolean; readonly asked: string | undefined; readonly label: string },
): string | undefined {
  if (!resumed || record.journal === asked) return asked;
  const how = record.journal === undefined ? 'without a journal' : `with the journal ${record.journal}`;
  throw new TldrError(
    'MISMATCH',
    `${label} records a migration that was begun ${how}, not with ${asked ?? 'none'}: go on with it as it is, or \`migrate abort\` it first`,
  );
}

/** @throws MISMATCH for the record of another migration, ALREADY_EXISTS for one whose clients use the target */
async function recordedBefore(plan: MigrationPlan, place: StateLocation): Promise<MigrationState | null> {
  const record = await place.read();
  if (record === null) return null;
  checkIdentity(record, plan, place.label);
  if (record.completed || inEffect(record)) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `${plan.targetCollection} is in service since its cut-over and will not be changed: \`migrate verify\` compares it, \`migrate rollback\` takes it out of service`,
    );
  }
  return record;
}

async function newRecord(
  plan: MigrationPlan,
  options: PlacedMigration,
  workers: number,
): Promise<MigrationState> {
  const { source, concurrency = CONCURRENCY } = options;
  const keys: readonly (ShardKey | null)[] =
    plan.sourceSpec.shardKeys.length === 0 ? [null] : plan.sourceSpec.shardKeys;
  const parts = plan.points < SPLIT_POINTS_MIN ? 1 : workers * concurrency * RANGES_PER_COPIER;
  const ranges: MigrationState['ranges'] = [];
  for (const shardKey of keys) {
    const split = await source.splitRanges(plan.sourceCollection, { parts, shardKey: shardKey ?? undefined });
    for (const { from, to } of split) {
      ranges.push({
        shardKey,
        from: cursorText(from),
        to: cursorText(to),
        cursor: null,
        complete: false,
        points: 0,
      });
    }
  }
  return { version: 3, ...identityOf(plan), phase: 'creating', ranges, ...FRESH };
}
