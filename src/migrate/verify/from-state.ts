import { REQUEST_POINTS } from '../../store/defaults.js';
import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import { throwIfAborted, type RunOptions } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { PointBatch } from '../../store/points.js';
import { comparedStreams, type Sides } from '../points/compare-points.js';
import { RecordedProjector } from '../points/projector.js';
import {
  pausedError,
  stoppable,
  stopReason,
  withRecord,
  type RecordedMigration,
} from '../state/with-lock.js';
import { announce, factsOf, type MigrationHook } from '../plan/migration-events.js';
import { checkIdentity, inEffect, type MigrationState } from '../state/migration-state.js';
import { openThrottle } from '../throttle/throttle.js';
import { planMigration, type MigrationPlan } from '../plan/migration.js';
import { report, verifyMigration, type VerifyReport, type Writing } from './all-points.js';

/** Input and options of `verifyRecorded`. */
export interface VerifyRequest extends RecordedMigration, RunOptions {
  readonly encoder: Encoder;
  /** Compare this many random points of each collection instead of all. */
  readonly sample?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly hook?: MigrationHook | undefined;
}

/**
 * Compares source and target of a recorded migration again: settings, payload indexes, counts, and every
 * point or a sample. Stores the result in the migration state, with two exceptions: an equal sample does not
 * make the copy verified, and differences after a cut-over do not make it unverified, because clients may
 * have written to the target.
 * @throws INVALID_ARGUMENT while the copy is not finished, MISMATCH for another encoder
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration, enc.onnx
 * import { Encoder, recordFile, verifyRecorded } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: recordFile('docs.migration.json') };
 * const { ok } = await verifyRecorded({ ...migration, encoder: await Encoder.load('enc.onnx') });
 * console.log(ok);
 * await store.close();
 * ```
 */
export async function verifyRecorded(request: VerifyRequest): Promise<VerifyReport> {
  return withRecord(request, async (record, lost) => {
    const stop = stoppable(request.place, lost, { signal: request.signal });
    try {
      if (await request.place.isPaused()) throw pausedError();
      const found = await compare(request, record, stop.signal);
      const inService = inEffect(record);
      if (!found.ok && !inService) {
        record.phase = 'repairing';
        record.verifiedPoints = null;
      }
      if (found.ok && request.sample === undefined) {
        record.phase = 'verified';
        record.verifiedPoints = found.points;
      }
      await request.place.write(record);
      if (!found.ok) {
        const facts = { ...factsOf(record), differences: found.differenceCount };
        await announce(request.hook, 'verify-failed', { facts, run: request });
      }
      return found;
    } catch (error) {
      throw stopReason(error, stop.signal);
    } finally {
      stop.end();
    }
  });
}

async function compare(
  request: VerifyRequest,
  record: MigrationState,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { source, target, encoder, place, log, onProgress, batchSize, sample } = request;
  if (!['verifying', 'verified', 'repairing', 'following'].includes(record.phase)) {
    throw new TldrError('INVALID_ARGUMENT', `the copy is not finished: it is ${record.phase}`, {
      hint: 'finish-copy',
    });
  }
  if (encoder.fingerprint !== record.encoderFingerprint) {
    throw new TldrError(
      'MISMATCH',
      `the migration was made with encoder ${record.encoderFingerprint.slice(0, 16)}, this file holds ${encoder.fingerprint.slice(0, 16)}: give the encoder file of the migration`,
    );
  }
  const plan = await planMigration(
    { ...migrationRequestOf(record), source, target, encoder },
    // Different settings are reported as differences here; they do not end the verification.
    { anySettings: true },
  );
  checkIdentity(record, plan, place.label);
  if (!plan.targetExists) throw new TldrError('NOT_FOUND', `target ${plan.targetCollection} does not exist`);
  const projector = new RecordedProjector(encoder, record.projector, { log });
  const sides = { source, target, encoder, projector };
  const writing = record.journal !== undefined;
  const run = { signal, log, onProgress, batchSize, writing };
  try {
    if (sample !== undefined) return await verifySample(plan, sides, { sample, run });
    const baselineMs = record.load?.baselineMs ?? null;
    const changed = (): void => undefined;
    const pace = await openThrottle({ ...plan, source, target, place, baselineMs, changed }, run);
    try {
      return await verifyMigration(plan, sides, { ...run, pace });
    } finally {
      pace.end();
    }
  } finally {
    await projector.close();
  }
}

/** Returns the request that a migration state was made from. */
export function migrationRequestOf(record: MigrationState): {
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly vectorName: string;
  readonly compactName: string;
  readonly layout: MigrationState['layout'];
  readonly datatype: MigrationState['datatype'];
  readonly quantization: MigrationState['quantization'];
} {
  const { sourceCollection, targetCollection, vectorName, compactName, layout } = record;
  const { datatype, quantization } = record;
  return { sourceCollection, targetCollection, vectorName, compactName, layout, datatype, quantization };
}

/** Compares settings, counts and random points of both collections: points can be missing in either. */
async function verifySample(
  plan: MigrationPlan,
  sides: Sides,
  { sample: size, run }: { readonly sample: number; readonly run: RunOptions & Writing },
): Promise<VerifyReport> {
  if (plan.sourceSpec.partitions.length > 0) {
    throw new TldrError(
      'UNSUPPORTED',
      `${plan.sourceCollection} is sharded by key, where an id alone does not identify a point: verify all points, without a sample`,
    );
  }
  const of = (store: CopyTarget, collection: string, vectorName: string): Promise<readonly PointId[]> =>
    store.sample(collection, { vectorName, size, ...run }).then(({ ids }) => ids);
  const drawn = [
    ...(await of(sides.source, plan.sourceCollection, plan.vectorName)),
    ...(await of(sides.target, plan.targetCollection, plan.compactName)),
  ];
  const { keys } = sides.source;
  const byText = new Map(drawn.map((id) => [keys.format(id), id]));
  const ids = [...byText.values()].sort(keys.compare);
  const { vectorName } = plan;
  async function* retrieved(store: CopyTarget, collection: string): AsyncGenerator<PointBatch> {
    for (let start = 0; start < ids.length; start += REQUEST_POINTS) {
      throwIfAborted(run.signal);
      yield await store.retrieve(collection, ids.slice(start, start + REQUEST_POINTS), { vectorName });
      const done = Math.min(ids.length, start + REQUEST_POINTS);
      run.onProgress?.({ step: 'verifying', done, total: ids.length, unit: 'points' });
    }
  }
  const streams = {
    source: retrieved(sides.source, plan.sourceCollection),
    target: retrieved(sides.target, plan.targetCollection),
  };
  return report(plan, sides, { ...run, compared: comparedStreams(plan, sides, streams) });
}
