import { TldrError } from '../core/errors.js';
import type { RunOptions } from '../core/run.js';
import type { ShardKey } from '../core/vector-store.js';
import { copyPoints } from './copy-points.js';
import {
  checkRecord,
  cursorText,
  identityOf,
  writeRecord,
  type MigrationRecord,
} from './migration-record.js';
import { planMigration, type MigrationPlan, type MigrationRequest } from './plan-migration.js';
import { lockRecord } from './record-lock.js';
import { repairPoints } from './repair-points.js';
import { verifyMigration, type VerifyReport } from './verify-migration.js';

const LANES = 2;
const RANGES_PER_LANE = 4;
const BATCH_SIZE = 256;
const SAVE_INTERVAL_MS = 500;
/** Below this many points splitting into ranges costs more than it gains. */
const SPLIT_POINTS_MIN = 5_000;

export interface MigrateOptions extends MigrationRequest, RunOptions {
  /** File that holds the progress; the same file resumes. */
  readonly recordPath: string;
  readonly lanes?: number;
  readonly batchSize?: number;
  /** Shortest time between two saves of the record while copying. */
  readonly saveIntervalMs?: number;
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
  readonly options: MigrateOptions;
  readonly run: RunOptions & { readonly batchSize: number };
  readonly save: () => Promise<void>;
}

/**
 * Moves a collection into a compact one: plan, create, copy, finish, verify. Every step is recorded before it
 * begins, so a killed run goes on where it was when called again with the same record. After a failed
 * verification the next call repairs what differs. The source is only read.
 * @throws VERIFY_FAILED when the copy differs, ABORTED (resumable), ALREADY_EXISTS, MISMATCH
 */
export async function migrateCollection(options: MigrateOptions): Promise<MigrationReport> {
  const { recordPath, signal, log, onProgress, batchSize = BATCH_SIZE } = options;
  const startedAtMs = performance.now();
  const plan = await planMigration(options);
  const unlock = await lockRecord(recordPath);
  try {
    const before = await checkRecord(plan, recordPath);
    // Without the target a record says nothing; without a record the copy begins again, which is safe.
    const resumed = before !== null && (plan.targetExists || before.phase === 'creating');
    const record = resumed ? before : await newRecord(plan, options);
    const save = (): Promise<void> => writeRecord(recordPath, record);
    const work: Work = { plan, record, options, save, run: { signal, log, onProgress, batchSize } };
    await save();
    const inService = await aliasOf(work);
    const copied = await fillTarget(work, inService);
    const verify = await verifyTarget(work, inService);
    return { plan, copied, resumed, seconds: (performance.now() - startedAtMs) / 1000, verify };
  } finally {
    await unlock();
  }
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
    copied = await copyPoints(request, run);
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
    await enter(work, 'done');
    return verify;
  }
  await enter(work, 'repairing');
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

async function newRecord(plan: MigrationPlan, options: MigrateOptions): Promise<MigrationRecord> {
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
  return { version: 2, ...identityOf(plan), phase: 'creating', ranges };
}
