import { TldrError } from '../core/errors.js';
import type { RunOptions } from '../core/run.js';
import type { ShardKey } from '../core/vector-store.js';
import { copyPoints } from './copy-points.js';
import { pausedError, stoppable, stopReason } from './held-record.js';
import { announce, factsOf, type MigrationEvent, type MigrationHook } from './migration-events.js';
import { checkIdentity, cursorText, FRESH, identityOf, type MigrationRecord } from './migration-record.js';
import { planMigration, type MigrationPlan, type MigrationRequest } from './plan-migration.js';
import { recordFile } from './record-file.js';
import type { RecordPlace } from './record-place.js';
import { repairPoints } from './repair-points.js';
import { verifyMigration, type VerifyReport } from './verify-migration.js';

const LANES = 2;
const RANGES_PER_LANE = 4;
const BATCH_SIZE = 256;
const SAVE_INTERVAL_MS = 500;
/** Below this many points splitting into ranges costs more than it gains. */
const SPLIT_POINTS_MIN = 5_000;

interface StartOptions extends MigrationRequest, RunOptions {
  /** Kept in the record, for later commands to find the encoder. */
  readonly encoderFile?: string | undefined;
  readonly hook?: MigrationHook | undefined;
  readonly lanes?: number;
  readonly batchSize?: number;
  /** Shortest time between two saves of the record while copying. */
  readonly saveIntervalMs?: number;
}

export interface MigrateOptions extends StartOptions {
  /** File that holds the progress; the same file resumes. */
  readonly recordPath: string;
}

/** As `MigrateOptions`, with the record wherever it may be. */
export interface PlacedMigration extends StartOptions {
  readonly place: RecordPlace;
}

export interface MigrationReport {
  readonly plan: MigrationPlan;
  /** Points written by this run, or removed as repairs; less than all when it resumed. */
  readonly copied: number;
  readonly resumed: boolean;
  readonly seconds: number;
  readonly verify: VerifyReport;
}

/** One migration under way. */
interface Work {
  readonly plan: MigrationPlan;
  readonly record: MigrationRecord;
  readonly options: PlacedMigration;
  readonly run: RunOptions & { readonly batchSize: number };
  readonly save: () => Promise<void>;
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

/** As `migrateCollection`, with the record at any place. @throws as there; ABORTED while it is paused */
export async function startMigration(options: PlacedMigration): Promise<MigrationReport> {
  const { place } = options;
  const startedAtMs = performance.now();
  const plan = await planMigration(options);
  const { unlock, signal: lost } = await place.lock();
  const stop = stoppable(place, lost, options);
  try {
    if (await place.isPaused()) throw pausedError();
    const before = await recordedBefore(plan, place);
    // Without the target a record says nothing; without a record the copy begins again, which is safe.
    const resumed = before !== null && (plan.targetExists || before.phase === 'creating');
    const record = resumed ? before : await newRecord(plan, options);
    record.encoderFile = options.encoderFile ?? record.encoderFile;
    const save = (): Promise<void> => place.write(record);
    const { log, onProgress, batchSize = BATCH_SIZE } = options;
    const run = { signal: stop.signal, log, onProgress, batchSize };
    const work: Work = { plan, record, options, save, run };
    await save();
    await tell(work, 'started');
    const inService = await aliasOf(work);
    const copied = await fillTarget(work, inService);
    const verify = await verifyTarget(work, inService);
    await tell(work, 'finished', { points: verify.points });
    return { plan, copied, resumed, seconds: (performance.now() - startedAtMs) / 1000, verify };
  } catch (error) {
    throw stopReason(error, stop.signal);
  } finally {
    stop.end();
    await unlock();
  }
}

/** @throws MISMATCH for the record of another migration, ALREADY_EXISTS for one whose clients use the target */
async function recordedBefore(plan: MigrationPlan, place: RecordPlace): Promise<MigrationRecord | null> {
  const record = await place.read();
  if (record === null) return null;
  checkIdentity(record, plan, place.label);
  if (record.completed || (record.cutOver !== null && record.cutOver.state !== 'rolled-back')) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `${plan.targetCollection} is in service since its cut-over and will not be changed: \`migrate verify\` compares it, \`migrate rollback\` takes it out of service`,
    );
  }
  return record;
}

async function tell(
  { record, options, run }: Work,
  event: MigrationEvent,
  more: Readonly<Record<string, string | number>> = {},
): Promise<void> {
  await announce(options.hook, event, { facts: { ...factsOf(record), ...more }, run });
}

/** Everything up to a target that should equal its source. @returns the number of points written */
async function fillTarget(work: Work, inService: string | undefined): Promise<number> {
  const { plan, record, options, run, save } = work;
  const { source, target, encoder, lanes = LANES, saveIntervalMs = SAVE_INTERVAL_MS } = options;
  let copied = 0;
  if (record.phase === 'creating') {
    run.log?.('info', 'creating the target');
    await target.create(plan.targetSpec, { resume: true });
    await enter(work, 'copying');
  }
  if (record.phase === 'copying') {
    run.log?.('info', 'copying');
    const { points } = plan;
    const { batchSize } = run;
    const request = { source, target, encoder, record, points, lanes, batchSize, saveIntervalMs, save };
    copied = await copyPoints({ ...request, rangeDone: () => tell(work, 'range-done') }, run);
    await enter(work, 'finishing');
  }
  if (record.phase === 'repairing' && inService === undefined) {
    run.log?.('info', 'repairing what differed');
    await target.create(plan.targetSpec, { resume: true });
    copied = await repairPoints(plan, { source, target, encoder }, run);
    await enter(work, 'finishing');
  }
  if (record.phase === 'finishing') {
    run.log?.('info', 'restoring settings and waiting for the index');
    await target.finish(plan.targetSpec, run);
    await enter(work, 'verifying');
  }
  return copied;
}

async function verifyTarget(work: Work, inService: string | undefined): Promise<VerifyReport> {
  const { plan, options, run } = work;
  run.log?.('info', 'verifying every point');
  const verify = await verifyMigration(plan, options, run);
  if (verify.ok) {
    work.record.verifiedPoints = verify.points;
    await enter(work, 'verified');
    return verify;
  }
  work.record.verifiedPoints = null;
  await enter(work, 'repairing');
  await tell(work, 'verify-failed', { differences: verify.differenceCount });
  const { differences, differenceCount, extraPoints } = verify;
  const removed = extraPoints === 0 ? '' : ` and removes the ${extraPoints} points that only it has`;
  const remedy =
    inService === undefined
      ? `run the same command again: it copies what differs into ${plan.targetCollection} once more${removed}`
      : `${plan.targetCollection} is in service as "${inService}" and will not be changed, since clients may have written to it: migrate into another collection, or take the alias away and run the same command again, which copies what differs once more${removed}`;
  throw new TldrError(
    'VERIFY_FAILED',
    `the copy differs in ${differenceCount} places: ${differences.slice(0, 5).join('; ')}; ${remedy}`,
    { differences },
  );
}

async function enter({ record, save }: Work, phase: MigrationRecord['phase']): Promise<void> {
  record.phase = phase;
  await save();
}

/** An alias that sends clients to the target. */
async function aliasOf({ plan, options }: Work): Promise<string | undefined> {
  for (const [alias, collection] of await options.target.aliases())
    if (collection === plan.targetCollection) return alias;
  return undefined;
}

async function newRecord(plan: MigrationPlan, options: PlacedMigration): Promise<MigrationRecord> {
  const { source, lanes = LANES } = options;
  const keys: readonly (ShardKey | null)[] =
    plan.sourceSpec.shardKeys.length === 0 ? [null] : plan.sourceSpec.shardKeys;
  const parts = plan.points < SPLIT_POINTS_MIN ? 1 : lanes * RANGES_PER_LANE;
  const ranges: MigrationRecord['ranges'] = [];
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
