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
  withMigrationState,
  type StartedMigration,
} from '../state/with-lock.js';
import { announce, factsOf, type MigrationHook } from '../plan/migration-events.js';
import { checkIdentity, inEffect, type MigrationState } from '../state/migration-state.js';
import { openThrottle } from '../throttle/throttle.js';
import { planMigration, type MigrationPlan } from '../plan/migration.js';
import { report, verifyMigration, type VerifyReport, type Writing } from './all-points.js';

/** Input and options of `verifyAgain`. */
export interface VerifyRequest extends StartedMigration, RunOptions {
  readonly encoder: Encoder;
  /** Compare this many random points of each collection instead of all. */
  readonly sample?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly hook?: MigrationHook | undefined;
}

/**
 * Compares source and target of a started migration again: settings, payload indexes, counts, and every
 * point or a sample. Stores the result in the migration state, with two exceptions: an equal sample does not
 * make the copy verified, and differences after a cut-over do not make it unverified, because clients may
 * have written to the target.
 * @throws INVALID_ARGUMENT while the copy is not finished, MISMATCH for another encoder
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration, enc.onnx
 * import { Encoder, stateFile, verifyAgain } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * const { ok } = await verifyAgain({ ...migration, encoder: await Encoder.load('enc.onnx') });
 * console.log(ok);
 * await store.close();
 * ```
 */
export async function verifyAgain(request: VerifyRequest): Promise<VerifyReport> {
  return withMigrationState(request, async (state, lost) => {
    const stop = stoppable(request.place, lost, { signal: request.signal });
    try {
      if (await request.place.isPaused()) throw pausedError();
      const found = await compare(request, state, stop.signal);
      const inService = inEffect(state);
      if (!found.ok && !inService) {
        state.phase = 'repairing';
        state.verifiedPoints = null;
      }
      if (found.ok && request.sample === undefined) {
        state.phase = 'verified';
        state.verifiedPoints = found.points;
      }
      await request.place.write(state);
      if (!found.ok) {
        const facts = { ...factsOf(state), differences: found.differenceCount };
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
  state: MigrationState,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { source, target, encoder, place, log, onProgress, batchSize, sample } = request;
  if (!['verifying', 'verified', 'repairing', 'following'].includes(state.phase)) {
    throw new TldrError('INVALID_ARGUMENT', `the copy is not finished: it is ${state.phase}`, {
      hint: 'finish-copy',
    });
  }
  if (encoder.fingerprint !== state.encoderFingerprint) {
    throw new TldrError(
      'MISMATCH',
      `the migration was made with encoder ${state.encoderFingerprint.slice(0, 16)}, this file holds ${encoder.fingerprint.slice(0, 16)}: give the encoder file of the migration`,
    );
  }
  const plan = await planMigration(
    { ...migrationRequestOf(state), source, target, encoder },
    // Different settings are reported as differences here; they do not end the verification.
    { anySettings: true },
  );
  checkIdentity(state, plan, place.label);
  if (!plan.targetExists) throw new TldrError('NOT_FOUND', `target ${plan.targetCollection} does not exist`);
  const projector = new RecordedProjector(encoder, state.projector, { log });
  const sides = { source, target, encoder, projector };
  const writing = state.journal !== undefined;
  const run = { signal, log, onProgress, batchSize, writing };
  try {
    if (sample !== undefined) return await verifySample(plan, sides, { sample, run });
    const baselineMs = state.load?.baselineMs ?? null;
    const changed = (): void => undefined;
    const throttle = await openThrottle({ ...plan, source, target, place, baselineMs, changed }, run);
    try {
      return await verifyMigration(plan, sides, { ...run, throttle });
    } finally {
      throttle.end();
    }
  } finally {
    await projector.close();
  }
}

/** Returns the request that a migration state was made from. */
export function migrationRequestOf(state: MigrationState): {
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly vectorName: string;
  readonly compactName: string;
  readonly layout: MigrationState['layout'];
  readonly datatype: MigrationState['datatype'];
  readonly quantization: MigrationState['quantization'];
  readonly hnswM: MigrationState['hnswM'];
} {
  const { sourceCollection, targetCollection, vectorName, compactName, layout } = state;
  const { datatype, quantization, hnswM } = state;
  return {
    sourceCollection,
    targetCollection,
    vectorName,
    compactName,
    layout,
    datatype,
    quantization,
    hnswM,
  };
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
