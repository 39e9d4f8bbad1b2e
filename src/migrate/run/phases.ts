import { COPY_CONCURRENCY, REQUEST_POINTS } from '../../store/defaults.js';
import { TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import { componentBytesOf } from '../../store/vector-number-format.js';
import { JOURNAL_KEY, STATE_BACKEND_KEY } from '../../store/target-description.js';
import { catchUp, refuseInService, type CaughtUp } from '../catch-up/repeat-passes.js';
import { copyPoints } from '../copy/points.js';
import { openCatchUpPasses } from '../catch-up/one-pass.js';
import { proxyControlOf } from '../dual-write/proxy-control.js';
import type { PlacedMigration } from '../plan/migration-options.js';
import { announce, factsOf, type MigrationEvent } from '../plan/migration-events.js';
import type { MigrationState, Phase } from '../state/migration-state.js';
import { aliasTo } from '../state/own-target.js';
import { openThrottle, type Throttle } from '../throttle/throttle.js';
import type { MigrationPlan } from '../plan/migration.js';
import type { Sides } from '../points/compare-points.js';
import { RecordedProjector } from '../points/projector.js';
import { repairPoints } from '../points/repair-points.js';
import { verifyMigration, type VerifyReport } from '../verify/all-points.js';

/** Phases that read the source and write to the target. */
const READING: readonly Phase[] = ['creating', 'copying', 'repairing'];
/** Default of the shortest time between two saves of the migration state while copying. */
const SAVE_INTERVAL_MS = 500;

/** A migration under way, whose state this process has locked. */
export interface Work {
  readonly plan: MigrationPlan;
  readonly state: MigrationState;
  readonly options: PlacedMigration;
  /** The stores, the encoder, and the projector that the state names. */
  readonly sides: Sides & { readonly projector: RecordedProjector };
  readonly run: RunOptions & { readonly batchSize: number };
  readonly save: () => Promise<void>;
  /** Resolves when no save is under way. Awaited before another run may take the state. */
  readonly settled: () => Promise<void>;
  /** The throttle, once it is open. The load that it sees is saved with the state. */
  readonly watched: { throttle?: Throttle };
}

/** Arguments of the steps after the copy. */
interface Late {
  readonly throttle: Throttle;
  /** The alias by which clients reach the target; undefined if there is none. */
  readonly inService: string | undefined;
}

/**
 * Returns what all phases of a migration share: its plan, state, stores and encoder. Saves of the state run one after
 * the other.
 */
export function workOn(
  plan: MigrationPlan,
  state: MigrationState,
  { options, signal }: { readonly options: PlacedMigration; readonly signal: AbortSignal },
): Work {
  const { source, target, encoder, place, log, onProgress, batchSize = REQUEST_POINTS } = options;
  const projector = new RecordedProjector(encoder, state.projector, { log });
  const watched: Work['watched'] = {};
  let saving: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    if (watched.throttle !== undefined) state.load = watched.throttle.seen();
    return place.write(state);
  };
  const save = (): Promise<void> => (saving = saving.catch(() => undefined).then(write));
  const settled = (): Promise<void> => saving.catch(() => undefined);
  const run = { signal, log, onProgress, batchSize };
  const sides = { source, target, encoder, projector };
  return { plan, state, options, sides, save, settled, watched, run };
}

/**
 * Saves the state, announces the start, and creates the target if necessary.
 * @throws as the store's `create`
 */
export async function prepare(work: Work): Promise<void> {
  await work.save();
  await tell(work, 'started');
  const { plan, state, options, run } = work;
  // Later writes may be overwritten with points that the copy read before: they are brought over after it.
  if (READING.includes(state.phase)) await proxyControlOf(state)?.copying(run);
  if (state.phase !== 'creating') {
    await sayJournalled(work);
    return;
  }
  run.log?.('info', 'creating the target');
  await options.target.create(plan.targetSpec, { resume: true });
  const kept = JSON.stringify(options.place.kept);
  await options.target.setMetadata(plan.targetCollection, { [STATE_BACKEND_KEY]: kept });
  await sayJournalled(work);
  await enter(work, 'copying');
}

/** Records in the target's metadata that a journal belongs to it: without it, the proxy refuses to begin. */
async function sayJournalled({ plan, state, options }: Work): Promise<void> {
  if (state.journal === undefined) return;
  await options.target.setMetadata(plan.targetCollection, { [JOURNAL_KEY]: 'true' });
}

/** Runs the remaining phases up to a verified copy. @throws VERIFY_FAILED when the copy differs */
export async function runPhases(work: Work): Promise<{ copied: number; verify: VerifyReport }> {
  await prepare(work);
  const inService = await aliasTo(work.options.target, work.plan.targetCollection);
  const done = await withThrottle(work, async (throttle) => {
    const copied = (await copyRanges(work, throttle)) + (await completeTarget(work, { throttle, inService }));
    return { copied, verify: await verifyTarget(work, { throttle, inService }) };
  });
  await tell(work, 'finished', { points: done.verify.points });
  return done;
}

/**
 * Runs the remaining phases until at most `lagMax` points differ from the source.
 * @throws VERIFY_FAILED when too many points still differ after 20 passes
 */
export async function runWithCatchUp(
  work: Work,
  lagMax: number,
): Promise<{ copied: number; caughtUp: CaughtUp }> {
  await prepare(work);
  const { plan, options, sides, run } = work;
  const { target, log } = options;
  await refuseInService(target, plan.targetCollection);
  return withThrottle(work, async (throttle) => {
    const copied =
      (await copyRanges(work, throttle)) + (await completeTarget(work, { throttle, inService: undefined }));
    // The source's settings may have changed since the target was finished.
    const settings = target.differences(plan.targetSpec, await target.describe(plan.targetCollection));
    if (settings.length > 0) await target.finishBulkLoad(plan.targetSpec, run);
    await enter(work, 'following');
    log?.('info', 'catching up with the source');
    const passes = await openCatchUpPasses(plan, sides, { ...run, throttle });
    return { copied, caughtUp: await catchUp(passes, { lagMax, log }) };
  });
}

async function tell(
  { state, options, run }: Work,
  event: MigrationEvent,
  more: Readonly<Record<string, string | number>> = {},
): Promise<void> {
  await announce(options.hook, event, { facts: { ...factsOf(state), ...more }, run });
}

/** Calls `body` with an open throttle. Every save of the state includes the load that it sees. */
export async function withThrottle<T>(work: Work, body: (throttle: Throttle) => Promise<T>): Promise<T> {
  const { plan, state, options, run, save, watched } = work;
  const { source, target, place } = options;
  const changed = (): void => void save().catch(() => undefined);
  const request = { ...plan, source, target, place, changed, baselineMs: state.load?.baselineMs ?? null };
  const throttle = await openThrottle(request, run);
  watched.throttle = throttle;
  try {
    await save();
    return await body(throttle);
  } finally {
    throttle.end();
    await work.sides.projector.close();
    await work.settled();
  }
}

/** Copies the ranges that are not complete. @returns the number of points written */
export async function copyRanges(work: Work, throttle: Throttle): Promise<number> {
  const { plan, state, options, sides, run, save } = work;
  if (state.phase !== 'copying') return 0;
  run.log?.('info', 'copying');
  const request = {
    ...sides,
    state,
    leftOut: plan.leftOut,
    componentBytes: componentBytesOf(plan.targetSpec, plan.compactName),
    points: plan.points,
    concurrency: options.concurrency ?? COPY_CONCURRENCY,
    batchSize: run.batchSize,
    saveIntervalMs: options.saveIntervalMs ?? SAVE_INTERVAL_MS,
    save,
    throttle,
  };
  const copied = await copyPoints({ ...request, rangeDone: () => tell(work, 'range-done') }, run);
  await enter(work, 'finishing');
  return copied;
}

/**
 * Repairs the target if necessary, restores its settings and waits for its index.
 * @returns the points repaired
 */
async function completeTarget(work: Work, { throttle, inService }: Late): Promise<number> {
  const { plan, state, sides, run } = work;
  const { target } = sides;
  let copied = 0;
  if (state.phase === 'repairing' && inService === undefined) {
    run.log?.('info', 'repairing what differed');
    await target.create(plan.targetSpec, { resume: true });
    copied = await repairPoints(plan, sides, { ...run, throttle });
    await enter(work, 'finishing');
  }
  if (state.phase === 'finishing') {
    run.log?.('info', 'restoring settings and waiting for the index');
    await target.finishBulkLoad(plan.targetSpec, run);
    await enter(work, 'verifying');
  }
  return copied;
}

async function verifyTarget(work: Work, { throttle, inService }: Late): Promise<VerifyReport> {
  const { plan, state, sides, run } = work;
  const proxy = proxyControlOf(state);
  if (proxy !== null) run.log?.('info', 'waiting for writes that clients made during the copy');
  await proxy?.copied(run);
  run.log?.('info', 'verifying every point');
  const verify = await verifyMigration(plan, sides, { ...run, throttle, writing: proxy !== null });
  if (verify.ok) {
    state.verifiedPoints = verify.points;
    await enter(work, 'verified');
    return verify;
  }
  state.verifiedPoints = null;
  await enter(work, 'repairing');
  await tell(work, 'verify-failed', { differences: verify.differenceCount });
  const { differences, differenceCount, extraPoints } = verify;
  const removed = extraPoints === 0 ? '' : ` and removes the ${extraPoints} points that only it has`;
  const remedy =
    inService === undefined
      ? `run the migration again: it copies what differs into ${plan.targetCollection} once more${removed}`
      : `${plan.targetCollection} is in service as "${inService}" and will not be changed, since clients may have written to it: migrate into another collection, or remove the alias and run this migration again, which copies what differs once more${removed}`;
  throw new TldrError(
    'VERIFY_FAILED',
    `the copy differs in ${differenceCount} places: ${differences.slice(0, 5).join('; ')}; ${remedy}`,
    { differences },
  );
}

async function enter({ state, save }: Work, phase: Phase): Promise<void> {
  state.phase = phase;
  await save();
}
