import { COPY_CONCURRENCY } from '../../store/defaults.js';
import { TldrError } from '../../core/errors.js';
import { stateBackendOf } from '../../store/target-description.js';
import type { Partition } from '../../store/collection.js';
import type { IdRange } from '../../store/points.js';
import type { CaughtUp } from '../catch-up/repeat-passes.js';
import { ProxyControl, proxyControlOf } from '../dual-write/proxy-control.js';
import { pausedError, stoppable, stopReason } from '../state/with-lock.js';
import type { MigrationOptions, PlacedMigration } from '../plan/migration-options.js';
import {
  checkIdentity,
  checkRangeIds,
  cursorText,
  FRESH,
  identityOf,
  inEffect,
  type MigrationState,
} from '../state/migration-state.js';
import { planMigration, type MigrationPlan } from '../plan/migration.js';
import { chooseProjector } from '../points/projector.js';
import { stateFile } from '../state/in-file.js';
import type { StateLock } from '../state/location.js';
import { runWithCatchUp, runPhases, workOn, type Work } from './phases.js';
import { joinShares } from '../state/shares.js';
import { retune } from '../throttle/settings.js';
import type { VerifyReport } from '../verify/all-points.js';

const RANGES_PER_COPIER = 4;
/** Below this number of points, splitting into ranges costs more than it gains. */
const SPLIT_POINTS_MIN = 5_000;

/** Input and options of `migrateCollection`. */
export interface MigrateOptions extends MigrationOptions {
  /** File of the migration state. A call with the same file resumes the migration. */
  readonly statePath: string;
}

/** The result of `migrateCollection`. */
export interface MigrationReport {
  readonly plan: MigrationPlan;
  /** Points that this run wrote, or removed as repairs. Less than all if it resumed. */
  readonly copied: number;
  readonly resumed: boolean;
  readonly seconds: number;
  readonly verify: VerifyReport;
}

/**
 * Copies a collection into a compact one: plan, create, copy, finish, verify. Every step is stored before
 * it begins, so that a call with the same file continues a killed run. After a failed verification, the next
 * call repairs the differences. The source is only read.
 * @throws VERIFY_FAILED when the copy differs, ABORTED (resumable), ALREADY_EXISTS, MISMATCH
 * @example
 * ```ts
 * // Given: Qdrant, enc.onnx
 * import { Encoder, migrateCollection } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const { verify } = await migrateCollection({
 *   source: store,
 *   target: store,
 *   sourceCollection: 'docs',
 *   targetCollection: 'docs_small',
 *   encoder: await Encoder.load('enc.onnx'),
 *   statePath: 'docs.migration.json',
 * });
 * console.log(verify.ok, verify.points);
 * await store.close();
 * ```
 */
export function migrateCollection(options: MigrateOptions): Promise<MigrationReport> {
  const { statePath, ...rest } = options;
  return startMigration({ ...rest, place: stateFile(statePath) });
}

/**
 * As `migrateCollection`, with the migration state at any location.
 * @throws as `migrateCollection`; ABORTED while it is paused; UNAVAILABLE when no proxy keeps the journal
 */
export async function startMigration(options: PlacedMigration): Promise<MigrationReport> {
  const planned = await plannedOnce(options);
  const { journal, encoder } = options;
  const served = { ...options, encoderFingerprint: encoder.fingerprint };
  if (journal !== undefined) await new ProxyControl(journal, served).living();
  return resumeLocked(planned, await options.place.lock());
}

/** Result of a run with catch-up, which verifies nothing because clients write to the source. */
export interface StartWithCatchUpReport extends Omit<MigrationReport, 'verify'> {
  readonly caughtUp: CaughtUp;
}

/**
 * As `startMigration` while clients write to the source. Instead of a verification, catch-up passes run until
 * at most `lagMax` points differ. The cut-over catches up with the rest.
 * @throws VERIFY_FAILED when clients write faster than the passes catch up; resumable
 */
export async function startWithCatchUp(
  options: PlacedMigration & { readonly lagMax: number },
): Promise<StartWithCatchUpReport> {
  const planned = await plannedOnce(options);
  return withMigrationLock(planned, await options.place.lock(), async (work) => {
    if (work.state.journal !== undefined)
      throw new TldrError('INVALID_ARGUMENT', 'a proxy mirrors the writes already', {
        hint: 'omit-catch-up',
      });
    return runWithCatchUp(work, options.lagMax);
  });
}

/** As `startMigration` for a caller that holds the lock of the state. Releases the lock at the end. */
export function resumeLocked(options: PlacedMigration, lock: StateLock): Promise<MigrationReport> {
  return withMigrationLock(options, lock, runPhases);
}

/** Plans before the state is locked, so that an impossible migration leaves nothing behind. */
async function plannedOnce<Options extends PlacedMigration>(options: Options): Promise<Options> {
  return { ...options, planned: options.planned ?? (await planMigration(options, { place: options.place })) };
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
    // The target may have been made or changed before the lock was taken. The points are not counted again.
    const plan = await planMigration(options, { points: options.planned?.points, place });
    const { state, resumed } = await loadOrCreateState(plan, options);
    await proxyControlOf(state)?.living();
    const whole = await joinShares(state, place);
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
 * Returns the state of this migration, a new one if there is none. The caller holds its lock.
 * @throws MISMATCH when it belongs to another migration or is kept elsewhere
 * @throws ALREADY_EXISTS when the target is in service, or while workers copy
 */
export async function loadOrCreateState(
  plan: MigrationPlan,
  options: PlacedMigration,
  workers = 1,
): Promise<{ readonly state: MigrationState; readonly resumed: boolean }> {
  const { place } = options;
  const before = await stateBefore(plan, options);
  if (before === null && plan.targetExists) await checkKeptHere(plan, options);
  // Without the target, the state is void. Without the state, the copy begins again, which is safe.
  const resumed = before !== null && (plan.targetExists || before.phase === 'creating');
  if (before !== null && !resumed) await joinShares(before, place);
  const state = resumed ? before : await newState(plan, options, workers);
  const journal = journalOf(state, {
    resumed,
    asked: options.journal ?? before?.journal,
    label: place.label,
  });
  if (journal !== undefined) {
    if (workers > 1)
      throw new TldrError(
        'INVALID_ARGUMENT',
        'a proxy mirrors the writes of this migration, which then a single run copies',
        { hint: 'omit-worker' },
      );
    state.journal = journal;
  }
  state.encoderFile = options.encoderFile ?? state.encoderFile;
  state.projector ??= await chooseProjector(plan.points, options);
  await retune(place, options.tuning);
  return { state, resumed };
}

/**
 * Checks that the target does not name another place for its state, where a run would not know of this one.
 * @throws MISMATCH when it does
 */
async function checkKeptHere(
  { targetCollection: name }: MigrationPlan,
  { target, place }: PlacedMigration,
): Promise<void> {
  const kept = stateBackendOf(await target.describe(name));
  if (kept === null || kept === place.kept) return;
  throw new TldrError(
    'MISMATCH',
    `${place.label} does not hold the migration state of ${name}, whose metadata says that the state is in ${kept === 'file' ? 'a file' : 'the database'}`,
    { hint: 'locate-state', target: name },
  );
}

/**
 * Returns the journal of the migration.
 * @throws MISMATCH when it began with another journal, or without one: the target may lack writes
 */
function journalOf(
  state: MigrationState,
  {
    resumed,
    asked,
    label,
  }: { readonly resumed: boolean; readonly asked: string | undefined; readonly label: string },
): string | undefined {
  if (!resumed || state.journal === asked) return asked;
  const how = state.journal === undefined ? 'without a journal' : `with the journal ${state.journal}`;
  throw new TldrError(
    'MISMATCH',
    `${label} holds a migration that was begun ${how}, not with ${asked ?? 'none'}`,
    { hint: 'same-journal' },
  );
}

/**
 * Returns the stored state; null if there is none.
 * @throws MISMATCH when it belongs to another migration, ALREADY_EXISTS when clients use the target
 */
async function stateBefore(
  plan: MigrationPlan,
  { source, place }: PlacedMigration,
): Promise<MigrationState | null> {
  const state = await place.read();
  if (state === null) return null;
  checkIdentity(state, plan, place.label);
  checkRangeIds(state, source.keys, place.label);
  if (state.completed || inEffect(state)) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `${plan.targetCollection} is in service since its cut-over and will not be changed`,
      { hint: 'verify-or-roll-back' },
    );
  }
  return state;
}

async function newState(
  plan: MigrationPlan,
  options: PlacedMigration,
  workers: number,
): Promise<MigrationState> {
  const { source, concurrency = COPY_CONCURRENCY } = options;
  const keys: readonly (Partition | null)[] =
    plan.sourceSpec.partitions.length === 0 ? [null] : plan.sourceSpec.partitions;
  const parts = plan.points < SPLIT_POINTS_MIN ? 1 : workers * concurrency * RANGES_PER_COPIER;
  const ranges: MigrationState['ranges'] = [];
  const { split } = source.keys;
  const whole: readonly IdRange[] = [{ from: null, to: null }];
  for (const partition of keys) {
    const choice = { parts, partition: partition ?? undefined };
    const divided = split === undefined ? whole : await split(plan.sourceCollection, choice);
    for (const { from, to } of divided) {
      ranges.push({
        partition,
        from: cursorText(from, source.keys),
        to: cursorText(to, source.keys),
        cursor: null,
        complete: false,
        points: 0,
      });
    }
  }
  return { version: 3, ...identityOf(plan), phase: 'creating', ranges, ...FRESH };
}
