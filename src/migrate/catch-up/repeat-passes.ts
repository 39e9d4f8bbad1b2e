import { TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run-options.js';
import type { Encoder } from '../../encoder/model.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { Sides } from '../points/compare-points.js';
import { openCatchUpPasses, type CatchUpPasses } from './one-pass.js';
import type { StartedMigration } from '../state/with-lock.js';
import { checkIdentity, type MigrationState } from '../state/migration-state.js';
import { aliasTo } from '../state/own-target.js';
import { planMigration } from '../plan/migration.js';
import { migrationRequestOf } from '../verify/from-state.js';

/** Most passes while clients write, and during the freeze. */
const PASSES_MAX = 20;
const FROZEN_PASSES_MAX = 10;
/** Pause between two checks whether a frozen source has applied its updates. */
const QUEUE_POLL_MS = 100;

/** Options of a cut-over that catches up with a source that clients write to. */
export interface CatchUpRequest {
  readonly encoder: Encoder;
  /** Most points that may differ before the freeze or, without a freeze, at the switch. */
  readonly lagMax: number;
  /** Switch with that lag while clients write. The target then lacks what they write meanwhile. */
  readonly withoutFreeze?: boolean | undefined;
  /** Longest time from the before-cutover hook until both collections are equal. */
  readonly freezeMsMax: number;
  readonly batchSize?: number | undefined;
}

/** Result of a catch-up. */
export interface CaughtUp {
  readonly passes: number;
  /** Points that differed in the last pass, which made them equal. */
  readonly lag: number;
  readonly byVersions: boolean;
}

/**
 * Runs passes over a source that clients write to, until a pass finds at most `lagMax` points that differ.
 * @throws VERIFY_FAILED when 20 passes were not enough
 */
export async function catchUp(
  catchUpPasses: CatchUpPasses,
  { lagMax, log }: { readonly lagMax: number } & Pick<RunOptions, 'log'>,
): Promise<CaughtUp> {
  let lag = Infinity;
  for (let passes = 1; passes <= PASSES_MAX; passes++) {
    lag = await catchUpPasses.pass();
    log?.('info', `${lag} points differed`, { pass: passes });
    if (lag <= lagMax) return { passes, lag, byVersions: catchUpPasses.byVersions };
  }
  throw new TldrError(
    'VERIFY_FAILED',
    `after ${PASSES_MAX} passes ${lag} points still differed, more than ${lagMax}: clients write faster than the passes catch up; allow a larger lag, slow the writers down, or run this again`,
  );
}

/**
 * Runs the last passes over a source that nobody writes to, until a pass finds no difference. If the store
 * reports updates that it has accepted and not applied, waits for them first.
 * @throws VERIFY_FAILED when points still change, TIMEOUT after `freezeMsMax`
 */
export async function catchUpFrozen(
  catchUpPasses: CatchUpPasses,
  {
    source,
    collection,
    freezeMsMax,
    signal,
  }: {
    readonly source: CopyTarget;
    readonly collection: string;
    readonly freezeMsMax: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<CaughtUp> {
  const giveUpAtMs = performance.now() + freezeMsMax;
  let lag = 0;
  for (let passes = 1; passes <= FROZEN_PASSES_MAX; passes++) {
    while (((await source.load?.status(collection))?.queuedUpdates ?? 0) > 0) {
      checkTime(giveUpAtMs, freezeMsMax);
      await sleep(QUEUE_POLL_MS, signal);
    }
    lag = await catchUpPasses.pass();
    checkTime(giveUpAtMs, freezeMsMax);
    if (lag === 0) return { passes, lag, byVersions: catchUpPasses.byVersions };
  }
  throw new TldrError(
    'VERIFY_FAILED',
    `${lag} points changed after the before-cutover hook, while nobody should write: the hook has to stop all writers, or allow a lag`,
  );
}

function checkTime(giveUpAtMs: number, freezeMsMax: number): void {
  if (performance.now() <= giveUpAtMs) return;
  throw new TldrError(
    'TIMEOUT',
    `source and target were not equal within ${freezeMsMax / 1000} s of the freeze: nothing was switched, and the writers can go on`,
  );
}

/**
 * Returns catch-up passes for a started migration whose copy is finished.
 * @throws VERIFY_FAILED when the target has other settings, ALREADY_EXISTS when an alias leads to it
 */
export async function passesFromState(
  { source, target, place }: StartedMigration,
  state: MigrationState,
  {
    encoder,
    projector,
    batchSize,
    signal,
  }: Pick<CatchUpRequest, 'encoder' | 'batchSize'> & Pick<Sides, 'projector'> & Pick<RunOptions, 'signal'>,
): Promise<CatchUpPasses> {
  const plan = await planMigration(
    { ...migrationRequestOf(state), source, target, encoder },
    { anySettings: true },
  );
  checkIdentity(state, plan, place.label);
  const settings = target.differences(plan.targetSpec, await target.describe(plan.targetCollection));
  if (settings.length > 0) {
    throw new TldrError(
      'VERIFY_FAILED',
      `${plan.targetCollection} has other settings than planned: ${settings.slice(0, 5).join('; ')}`,
      { hint: 'resume-settings' },
    );
  }
  await refuseInService(target, plan.targetCollection);
  return openCatchUpPasses(plan, { source, target, encoder, projector }, { signal, batchSize });
}

/** @throws ALREADY_EXISTS when an alias leads to the target: its extra points may be clients' writes */
export async function refuseInService(target: CopyTarget, collection: string): Promise<void> {
  const alias = await aliasTo(target, collection);
  if (alias === undefined) return;
  throw new TldrError(
    'ALREADY_EXISTS',
    `${collection} is in service as "${alias}" and will not be changed, since clients may have written to it`,
  );
}
