import { TldrError } from '../core/errors.js';
import type { RunOptions } from '../core/run.js';
import type { ShardKey } from '../core/vector-store.js';
import { copyPoints } from './copy-points.js';
import {
  cursorText,
  readRecord,
  writeRecord,
  type MigrationIdentity,
  type MigrationRecord,
} from './migration-record.js';
import { lockRecord } from './record-lock.js';
import { planMigration, type MigrationPlan, type MigrationRequest } from './plan-migration.js';
import { verifyMigration, type VerifyReport } from './verify-migration.js';

const LANES = 2;
const RANGES_PER_LANE = 4;
const BATCH_SIZE = 256;
/** Below this many points splitting into ranges costs more than it gains. */
const SPLIT_POINTS_MIN = 5_000;

export interface MigrateOptions extends MigrationRequest, RunOptions {
  /** File that holds the progress; the same file resumes. */
  readonly recordPath: string;
  readonly lanes?: number;
  readonly batchSize?: number;
}

export interface MigrationReport {
  readonly plan: MigrationPlan;
  /** Points written by this run; less than all when it resumed. */
  readonly copied: number;
  readonly resumed: boolean;
  readonly seconds: number;
  readonly verify: VerifyReport;
}

/**
 * Moves a collection into a compact one: plan, create, copy, finish, verify. Every step is recorded before the
 * next begins, so a killed run goes on where it was when called again with the same record. The source is only
 * read.
 * @throws VERIFY_FAILED when the copy differs, ABORTED (resumable), ALREADY_EXISTS, MISMATCH
 */
export async function migrateCollection(options: MigrateOptions): Promise<MigrationReport> {
  const { source, target, encoder, recordPath, signal, log, onProgress } = options;
  const run: RunOptions = { signal, log, onProgress };
  const startedAtMs = performance.now();
  const plan = await planMigration(options);
  const unlock = await lockRecord(recordPath);
  try {
    const before = await readRecord(recordPath);
    if (before !== null) checkIdentity(before, plan, recordPath);
    const resumed = before !== null && plan.targetExists;
    if (!plan.targetExists) await target.create(plan.targetSpec);
    // Without the target a record says nothing; without a record the copy begins again, which is safe.
    const record = resumed ? before : await newRecord(plan, options);
    const save = (): Promise<void> => writeRecord(recordPath, record);
    const advance = async (phase: MigrationRecord['phase']): Promise<void> => {
      record.phase = phase;
      await save();
    };
    await save();
    let copied = 0;
    if (record.phase === 'copying') {
      log?.('info', resumed ? 'going on with the copy' : 'copying');
      const { lanes = LANES, batchSize = BATCH_SIZE } = options;
      copied = await copyPoints(
        { source, target, encoder, record, points: plan.points, lanes, batchSize, save },
        run,
      );
      await advance('finishing');
    }
    if (record.phase === 'finishing') {
      log?.('info', 'restoring settings and waiting for the index');
      await target.finish(plan.targetSpec, run);
      await advance('verifying');
    }
    log?.('info', 'verifying every point');
    const verify = await verifyMigration(plan, { source, target, encoder }, run);
    if (!verify.ok) {
      throw new TldrError(
        'VERIFY_FAILED',
        `the copy differs in ${verify.differenceCount} places: ${verify.differences.slice(0, 5).join('; ')}`,
        { differences: verify.differences },
      );
    }
    await advance('done');
    return { plan, copied, resumed, seconds: (performance.now() - startedAtMs) / 1000, verify };
  } finally {
    await unlock();
  }
}

function checkIdentity(record: MigrationRecord, plan: MigrationPlan, path: string): void {
  const keys: (keyof MigrationIdentity)[] = [
    'sourceCollection',
    'targetCollection',
    'vectorName',
    'compactName',
    'layout',
    'encoderFingerprint',
    'datatype',
    'quantization',
  ];
  const different = keys.filter((key) => record[key] !== plan[key]);
  if (different.length > 0) {
    throw new TldrError(
      'MISMATCH',
      `${path} records another migration (${different.join(', ')} differ): give another --record, or remove it`,
    );
  }
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
  const { sourceCollection, targetCollection, vectorName, compactName, layout, encoderFingerprint } = plan;
  const identity: MigrationIdentity = {
    sourceCollection,
    targetCollection,
    vectorName,
    compactName,
    layout,
    encoderFingerprint,
    datatype: plan.datatype,
    quantization: plan.quantization,
  };
  return { version: 1, ...identity, phase: 'copying', ranges };
}
