import { expectDefined, TldrError } from '../../core/errors.js';
import { throwIfAborted, type RunOptions } from '../../core/run-options.js';
import type {
  InPlaceDifferences,
  InPlaceName,
  InPlaceRequest,
  InPlaceState,
  InPlaceTarget,
  InPlaceWork,
} from '../../store/in-place-target.js';
import { retune, UNTHROTTLED, type ThrottleSettings } from '../throttle/settings.js';
import { Rests } from './rests.js';

const FIRST_ROWS = 100;
const ROWS_MAX = 2_000;
/** Clients that write to the same rows wait for a batch, so it is short. */
const BATCH_MS = 100;
/** Repairs before a run gives up. */
const REPAIRS_MAX = 2;

/** How a migration in place runs. */
export interface InPlaceRunOptions extends RunOptions {
  /** Settings to change; without them, those that the migration has. */
  readonly throttle?: Partial<ThrottleSettings> | undefined;
  readonly lockWaitMs: number;
}

/** What a run did. */
export interface InPlaceReport {
  readonly state: InPlaceState;
  /** Points that this run looked at. */
  readonly filled: number;
  readonly seconds: number;
  /** The comparison of all points; null if this run made none. */
  readonly verified: InPlaceDifferences | null;
}

/** Begins a migration in place, or continues it, until it is verified. @throws as `InPlaceMigrations.begin` */
export async function startInPlace(
  store: InPlaceTarget,
  request: InPlaceRequest,
  options: InPlaceRunOptions,
): Promise<InPlaceReport> {
  return finished(store, await store.inPlace.begin(request, options), options);
}

/** Continues a migration in place, and repairs what a comparison found. @throws NOT_FOUND without one */
export async function resumeInPlace(
  store: InPlaceTarget,
  name: InPlaceName,
  options: InPlaceRunOptions,
): Promise<InPlaceReport> {
  const work = await store.inPlace.resume(name, options);
  const before = async (): Promise<void> => {
    await work.setPaused(false);
    const { warnings, problems, phase } = await work.state();
    if (problems.length > 0) throw new TldrError('MISMATCH', problems.join('; '));
    const isInUse = phase === 'ready' || phase === 'cut-over' || phase === 'complete';
    if (isInUse && warnings.length > 0) await work.beginRepair();
  };
  return finished(store, work, { ...options, before });
}

/** Runs to the end, and lets other processes work on the migration afterwards, also after an error. */
async function finished(
  store: InPlaceTarget,
  work: InPlaceWork,
  { before, ...options }: InPlaceRunOptions & { readonly before?: () => Promise<void> },
): Promise<InPlaceReport> {
  try {
    await before?.();
    if (options.throttle !== undefined) await retuneInPlace(store, await work.state(), options.throttle);
    return await runPhases(store, work, options);
  } finally {
    await work.release();
  }
}

/** Changes throttle settings, also of a process that works on the migration now. @throws INVALID_ARGUMENT, NOT_FOUND */
export async function retuneInPlace(
  store: InPlaceTarget,
  name: InPlaceName,
  changes: Partial<ThrottleSettings>,
): Promise<ThrottleSettings> {
  const place = {
    readTuning: async () => (await store.inPlace.find(name))?.throttle ?? UNTHROTTLED,
    writeTuning: (settings: ThrottleSettings) => store.inPlace.setThrottle(name, settings),
  };
  return retune(place, changes);
}

/** Goes from phase to phase. The state in the database says which is next, so that any run can continue. */
async function runPhases(
  store: InPlaceTarget,
  work: InPlaceWork,
  options: InPlaceRunOptions,
): Promise<InPlaceReport> {
  const begunAtMs = performance.now();
  let [filled, repairs, failures] = [0, 0, 0];
  let verified: InPlaceDifferences | null = null;
  for (;;) {
    throwIfAborted(options.signal);
    const state = await work.state();
    if (state.problems.length > 0) throw new TldrError('MISMATCH', state.problems.join('; '));
    if (state.paused) throw new TldrError('ABORTED', 'the migration was paused', { hint: 'resume-paused' });
    switch (state.phase) {
      case 'installing':
        await work.install(options);
        break;
      case 'repairing':
        if (state.filled === 0) {
          if (repairs++ === REPAIRS_MAX) throw stillDiffering(verified);
          await work.beginRepair();
        }
        filled += await fill(store, work, { ...options, state });
        break;
      case 'filling':
        filled += await fill(store, work, { ...options, state });
        break;
      case 'indexing':
        await work.buildIndex(options);
        break;
      case 'verifying':
        verified = await work.verify(options);
        if (state.layout === 'index-only' && verified.differing > 0) throw projectedDifferently(verified);
        // Nothing can be written again without full vectors.
        if (state.cutOver?.isFullColumnDropped === true && verified.lines.length > 0)
          throw new TldrError('VERIFY_FAILED', verified.lines.join('; '), { result: verified });
        if (verified.lines.length > 0 && failures++ === REPAIRS_MAX) throw stillDiffering(verified);
        break;
      case 'ready':
      case 'cut-over':
      case 'complete':
        return { state, filled, seconds: (performance.now() - begunAtMs) / 1000, verified };
    }
  }
}

/** Without stored compact vectors there is nothing to repair: the database computes other ones. */
function projectedDifferently(verified: InPlaceDifferences): TldrError {
  return new TldrError(
    'VERIFY_FAILED',
    `the encoder's function in the database does not agree with the encoder file, which building the index again would not change: roll back, remove this migration, and begin it again. If the function was there before the migration, first remove it with its weights. ${verified.lines.join('; ')}`,
    { result: verified },
  );
}

function stillDiffering(verified: InPlaceDifferences | null): TldrError {
  return new TldrError(
    'VERIFY_FAILED',
    `full and compact vectors differ again after a repair: ${expectDefined(verified, 'a comparison').lines.join('; ')}`,
    { result: verified },
  );
}

/** Fills or repairs to the end. Returns the number of points that were looked at. */
async function fill(
  store: InPlaceTarget,
  work: InPlaceWork,
  { state, ...run }: InPlaceRunOptions & { readonly state: InPlaceState },
): Promise<number> {
  const { collection, vectorName, phase, points } = state;
  const read = async (): Promise<ThrottleSettings> => (await work.throttle()) ?? UNTHROTTLED;
  const rests = await Rests.open(store, { collection, vectorName }, { read, ...run });
  let [rows, filled] = [FIRST_ROWS, 0];
  for (;;) {
    throwIfAborted(run.signal);
    const begunAtMs = performance.now();
    const done = await work.fillNext(rows);
    const tookMs = performance.now() - begunAtMs;
    filled += done.rows;
    run.onProgress?.({
      step: phase,
      done: state.filled + filled,
      total: Math.max(points ?? Number.POSITIVE_INFINITY, state.filled + filled),
      unit: 'points',
    });
    if (done.isOver) return filled;
    rows = tookMs > BATCH_MS ? Math.max(1, Math.floor(rows / 2)) : Math.min(ROWS_MAX, rows * 2);
    await rests.after(tookMs);
  }
}
