import { allNames } from '../../store/facets.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { proxyControlOf, type JournalStatus } from '../dual-write/proxy-control.js';
import { readMigrationState, type StartedMigration } from '../state/with-lock.js';
import { factsOf } from '../plan/migration-events.js';
import { copiedPoints, type CutOver, type MigrationState } from '../state/migration-state.js';
import type { LoadSeen } from '../throttle/throttle.js';
import type { StateLocation } from '../state/location.js';
import { shareOf, sharesOf, wholeState, workingOn } from '../state/shares.js';
import type { ThrottleSettings } from '../throttle/settings.js';

/** Status of one of several workers. */
export interface WorkerStatus {
  /** Index and number of workers, such as `2/4`. */
  readonly worker: string;
  readonly runner: string | null;
  readonly copied: number;
  readonly rangesDone: number;
  readonly rangesTotal: number;
  readonly load: LoadSeen | null;
}

/** Status of a migration: its stored state, and live data of the stores, the runs and the proxy. */
export interface MigrationStatus {
  readonly source: string;
  readonly target: string;
  readonly endpoint: string;
  readonly layout: MigrationState['layout'];
  readonly encoder: string;
  readonly encoderFile: string | null;
  readonly phase: MigrationState['phase'];
  readonly paused: boolean;
  /** The run that works on it now, for people; null if none does. */
  readonly runner: string | null;
  /** Throttle settings, and the load that the run sees (null without a run). */
  readonly tuning: ThrottleSettings;
  readonly load: LoadSeen | null;
  /** Status of the workers that copy together. Empty if one run copies everything. */
  readonly workers: readonly WorkerStatus[];
  readonly copied: number;
  readonly rangesDone: number;
  readonly rangesTotal: number;
  readonly verifiedPoints: number | null;
  readonly cutOver: CutOver | null;
  readonly completed: boolean;
  /** Status of the proxy that mirrors the writes; null without a journal. */
  readonly journal: JournalStatus | null;
  /** Live counts; null if the collection does not exist, or an alias hides it. */
  readonly sourcePoints: number | null;
  readonly targetPoints: number | null;
  /** Names by which clients reach the target. */
  readonly targetAliases: readonly string[];
  readonly next: NextStep;
}

/**
 * What to do next with a migration: a key for programs. `wait`: for the run that works on it now.
 * `finish-switch`: a cut-over or rollback was interrupted. `none`: the migration is complete.
 */
export type NextStep =
  | 'start-proxy'
  | 'wait'
  | 'resume'
  | 'none'
  | 'finish-switch'
  | 'complete'
  | 'cut-over-catch-up'
  | 'cut-over'
  | 'cut-over-by-proxy';

/**
 * Returns the status of a migration without disturbing its runs.
 * @throws NOT_FOUND when there is no migration state
 * @throws MISMATCH when the state belongs to other servers
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { migrationStatus, stateFile } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * const { phase, next } = await migrationStatus(migration);
 * console.log(phase, next);
 * await store.close();
 * ```
 */
export async function migrationStatus(migration: StartedMigration): Promise<MigrationStatus> {
  const { source, target, place } = migration;
  const main = await readMigrationState(migration);
  const state = await wholeState(main, place);
  const { copied, rangesDone, rangesTotal } = factsOf(state);
  const aliases = await allNames(target);
  const [paused, runner] = [await place.isPaused(), await workingOn(place)];
  const journal = (await proxyControlOf(state)?.status()) ?? null;
  const { phase, layout, encoderFile, verifiedPoints, cutOver, completed } = state;
  return {
    source: state.sourceCollection,
    target: state.targetCollection,
    endpoint: state.targetEndpoint,
    encoder: state.encoderFingerprint,
    layout,
    encoderFile,
    phase,
    paused,
    runner,
    verifiedPoints,
    cutOver,
    completed,
    journal,
    tuning: await place.readTuning(),
    load: runner === null ? null : (state.load ?? null),
    workers: await workersOf(main, place),
    copied: Number(copied),
    rangesDone: Number(rangesDone),
    rangesTotal: Number(rangesTotal),
    sourcePoints: await countOf(source, state.sourceCollection),
    targetPoints: await countOf(target, state.targetCollection),
    targetAliases: [...aliases].flatMap(([alias, to]) => (to === state.targetCollection ? [alias] : [])),
    next: nextStep(state, { paused, runner, journal }),
  };
}

async function workersOf(state: MigrationState, place: StateLocation): Promise<WorkerStatus[]> {
  const workers: WorkerStatus[] = [];
  for (const share of sharesOf(state)) {
    const part = place.share(share);
    const [own, runner] = [(await part.read()) ?? shareOf(state, share), await part.holder()];
    workers.push({
      worker: `${share.index}/${share.of}`,
      runner,
      copied: copiedPoints(own),
      rangesDone: own.ranges.filter(({ complete }) => complete).length,
      rangesTotal: own.ranges.length,
      load: runner === null ? null : (own.load ?? null),
    });
  }
  return workers;
}

async function countOf(store: CopyTarget, collection: string): Promise<number | null> {
  const there = (await store.listCollections()).includes(collection);
  return there && !(await allNames(store)).has(collection) ? await store.count(collection) : null;
}

function nextStep(
  { phase, cutOver, completed }: MigrationState,
  { paused, runner, journal }: Pick<MigrationStatus, 'paused' | 'runner' | 'journal'>,
): NextStep {
  if (journal?.living === false && !completed) return 'start-proxy';
  if (runner !== null) return 'wait';
  if (paused) return 'resume';
  if (completed) return 'none';
  if (cutOver?.state === 'begun') return 'finish-switch';
  if (cutOver?.state === 'done') return 'complete';
  if (phase === 'following') return 'cut-over-catch-up';
  if (phase !== 'verified') return 'resume';
  return journal === null ? 'cut-over' : 'cut-over-by-proxy';
}
