import { TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run.js';
import type { Encoder } from '../../encoder/model.js';
import type { VectorStore } from '../../store/vector-store.js';
import { openCatchUpPasses, type CatchUpPasses } from './pass.js';
import type { RecordedMigration } from '../state/locked.js';
import { checkIdentity, type MigrationState } from '../state/migration-state.js';
import { aliasTo } from '../state/own-target.js';
import { planMigration } from '../plan/migration.js';
import { migrationRequestOf } from '../verify/from-state.js';

/** Passes while clients write, and while they do not. */
const PASSES_MAX = 20;
const FROZEN_PASSES_MAX = 10;
/** Between passes of a frozen source that still has updates to apply. */
const QUEUE_POLL_MS = 100;

/** How a cut-over catches up with a source that is written to. */
export interface CatchUpRequest {
  readonly encoder: Encoder;
  /** Points that may differ before the freeze, or, without a freeze, at the switch. */
  readonly lagMax: number;
  /** Switch with that lag, while clients write: what they write meanwhile is lost to those who use the target. */
  readonly withoutFreeze?: boolean | undefined;
  /** Longest time from the before-cutover hook to equality. */
  readonly freezeMsMax: number;
  readonly batchSize?: number | undefined;
}

/** What catching up came to. */
export interface CaughtUp {
  readonly passes: number;
  /** Points that differed in the last pass, and were made equal. */
  readonly lag: number;
  readonly byVersions: boolean;
}

/**
 * Follows a source that is written to until a pass finds no more than `lagMax` points that differ.
 * @throws VERIFY_FAILED where writes come faster than that, after 20 passes
 */
export async function catchUp(
  follower: CatchUpPasses,
  { lagMax, log }: { readonly lagMax: number } & Pick<RunOptions, 'log'>,
): Promise<CaughtUp> {
  let lag = Infinity;
  for (let passes = 1; passes <= PASSES_MAX; passes++) {
    lag = await follower.pass();
    log?.('info', `${lag} points differed`, { pass: passes });
    if (lag <= lagMax) return { passes, lag, byVersions: follower.byVersions };
  }
  throw new TldrError(
    'VERIFY_FAILED',
    `after ${PASSES_MAX} passes ${lag} points still differed, more than ${lagMax}: writes come faster than they are followed; allow more, write less, or run this again`,
  );
}

/**
 * The last passes over a source that nobody writes to: until one finds nothing. Updates that were accepted before
 * and are not applied yet are waited for where the store tells of them.
 * @throws VERIFY_FAILED where points go on changing, TIMEOUT after `freezeMsMax`
 */
export async function catchUpFrozen(
  follower: CatchUpPasses,
  {
    source,
    collection,
    freezeMsMax,
    signal,
  }: {
    readonly source: VectorStore;
    readonly collection: string;
    readonly freezeMsMax: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<CaughtUp> {
  const giveUpAtMs = performance.now() + freezeMsMax;
  let lag = 0;
  for (let passes = 1; passes <= FROZEN_PASSES_MAX; passes++) {
    while (((await source.status(collection)).queuedUpdates ?? 0) > 0) {
      checkTime(giveUpAtMs, freezeMsMax);
      await sleep(QUEUE_POLL_MS, signal);
    }
    lag = await follower.pass();
    checkTime(giveUpAtMs, freezeMsMax);
    if (lag === 0) return { passes, lag, byVersions: follower.byVersions };
  }
  throw new TldrError(
    'VERIFY_FAILED',
    `${lag} points changed while nobody should write: the before-cutover hook has to stop the writers, or allow a lag`,
  );
}

function checkTime(giveUpAtMs: number, freezeMsMax: number): void {
  if (performance.now() <= giveUpAtMs) return;
  throw new TldrError(
    'TIMEOUT',
    `source and target were not equal within ${freezeMsMax / 1000} s of the freeze: nothing was switched, let the writers go on`,
  );
}

/**
 * A follower for a recorded migration whose copy is finished.
 * @throws VERIFY_FAILED for a target with other settings, ALREADY_EXISTS for one that clients may have written to
 */
export async function followRecorded(
  { source, target, place }: RecordedMigration,
  record: MigrationState,
  { encoder, batchSize, signal }: Pick<CatchUpRequest, 'encoder' | 'batchSize'> & Pick<RunOptions, 'signal'>,
): Promise<CatchUpPasses> {
  const plan = await planMigration(
    { ...migrationRequestOf(record), source, target, encoder },
    { anySettings: true },
  );
  checkIdentity(record, plan, place.label);
  const settings = target.differences(plan.targetSpec, await target.describe(plan.targetCollection));
  if (settings.length > 0) {
    throw new TldrError(
      'VERIFY_FAILED',
      `${plan.targetCollection} has other settings than planned: ${settings.slice(0, 5).join('; ')}; \`migrate resume\` puts them right`,
    );
  }
  await refuseInService(target, plan.targetCollection);
  return openCatchUpPasses(plan, { source, target, encoder }, { signal, batchSize });
}

/** @throws ALREADY_EXISTS where an alias leads to the target: what only it has may be what clients wrote */
export async function refuseInService(target: VectorStore, collection: string): Promise<void> {
  const alias = await aliasTo(target, collection);
  if (alias === undefined) return;
  throw new TldrError(
    'ALREADY_EXISTS',
    `${collection} is in service as "${alias}" and will not be changed, since clients may have written to it`,
  );
}
