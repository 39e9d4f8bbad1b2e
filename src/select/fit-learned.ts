import type { PrincipalAxes } from '../baselines/pca.js';
import { pcaNetwork } from '../baselines/pca.js';
import type { Distance } from '../core/distance.js';
import { expectDefined, isTldrError, messageOf } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { QUERY_ROWS } from '../hyper-parameters/fit-of-candidates.js';
import { buildKnnGraph } from '../knn/build-knn-graph.js';
import type { KnnGraph } from '../knn/graph.js';
import { addQueryRows } from '../knn/query-rows.js';
import type { Deadline } from '../train/deadline.js';
import type { PreparedSample } from '../train/prepare-sample.js';
import { engineChoice } from '../train/engine/engine-report.js';
import { resolveSettings } from '../train/run-training.js';
import type { TimeLimit, TrainState } from '../train/state.js';
import { prepareInWorker, trainPrepared, type TldrResult, type TldrRun } from '../train/tldr.js';
import type { TldrOptions, TrainSettings } from '../train/options.js';
import type { Candidate, Geometry } from './candidate.js';
import type { TrainingSchedule, Start } from './training-schedules.js';
import type { Directions } from './principal-directions.js';
import type { TrainEncoderOptions } from './train-encoder-options.js';
import { isWorthMeasuring, trainUntilFlat, type Measure, type Measured } from './until-flat.js';
import type { Learned } from './train-report.js';
import { hiddenAlong, warmStartOf, type WarmStart } from './warm-start.js';

export interface LearnedFits {
  /**
   * `plan.init` is the start that was used. It differs from the planned one if that candidate was skipped.
   */
  readonly learned: readonly Learned[];
  readonly states: ReadonlyMap<string, TrainState>;
  /** Names of the candidates for which the deadline leaves no time. */
  readonly leftOut: readonly string[];
  /** False if the signal fired before the last training ended. */
  readonly finished: boolean;
}

interface LearnedRun {
  readonly plans: readonly TrainingSchedule[];
  readonly geometry: Geometry;
  readonly axes: PrincipalAxes;
  readonly directions: Directions;
  /** Distance of the compact space for which neighbourhood-kl is trained. */
  readonly compactDistance: Distance;
  /** Whether the user asked for this candidate by name or by settings, so that the run must not skip it. */
  readonly isAsked: (plan: TrainingSchedule) => boolean;
  /** The rows of x, then queries to fit to, for the plans with queries; x is a part of it. */
  readonly joined?: Matrix | null;
  /** The neighbours of x, if they are known. */
  readonly graph?: KnnGraph | undefined;
  /** All weights to start from, by the name of the plan: those of an earlier training of the same form. */
  readonly weights?: ReadonlyMap<string, readonly Float32Array[]>;
  /** Measures trainings that end once they gain nothing; without it they go on to their end. */
  readonly measure?: Measure;
  readonly deadline: Deadline;
  readonly options: Omit<TrainEncoderOptions, 'seed'> & { readonly seed: number };
}

/**
 * Runs the planned trainings one after the other on the same neighbour graph and the same prepared sample; x
 * lies in shared memory. If a training diverges, it is skipped with a warning, and trainings that should
 * start from its result start from PCA. If the deadline leaves no time for a training, it is tried again after the
 * others, in the time that is left then, and otherwise left out.
 * @throws INVALID_DATA when a training diverges that the user asked for
 */
export async function fitLearned(x: Matrix, run: LearnedRun): Promise<LearnedFits> {
  const { plans, geometry, axes, directions, compactDistance, isAsked, weights, deadline, options } = run;
  const { measure } = run;
  const { dim, seed, threads, log } = options;
  const states = new Map<string, TrainState>(options.resume ?? []);
  const saving = savingStates(states, options);
  const material = await materialInTime(x, run);
  if (material === null)
    return { learned: [], states, leftOut: plans.map(({ name }) => name), finished: true };
  const { points, withQueries } = material;
  const learned: Learned[] = [];
  const leftOut = new Set<string>();
  const distance = geometry.fitDistance;
  const warm = options.from === undefined ? null : warmStartOf(options.from);
  const { shift } = points.prepared;
  const starts = { learned, axes, dim, distance, weights, warm, directions: directions.forTraining, shift };
  for (const { plan, later, isAgain } of inTurn(plans, leftOut)) {
    const settings = resolveSettings(plan.settings);
    const resume = states.get(plan.name);
    const limit = resume === undefined ? limitOf(plan, { later, isAgain }, run) : undefined;
    if (limit === null) {
      leftOut.add(plan.name);
      continue;
    }
    leftOut.delete(plan.name);
    const startedAtMs = performance.now();
    const { init, ...initial } = await startOf(plan, starts);
    const { prepared, graph } = plan.queries === true ? expectDefined(withQueries, 'the queries') : points;
    const tldrOptions = {
      ...settings,
      distance,
      seed,
      outputDim: dim,
      compactDistance,
      ...(threads === undefined ? {} : { threads }),
      ...engineChoice(options),
      ...initial,
      ...(directions.forTraining === undefined ? {} : { directions: directions.forTraining }),
    };
    const training = trainPlanned({ prepared, graph: narrowed(graph, settings.nNeighbors) }, tldrOptions, {
      plan,
      resume,
      limit,
      measure,
      saving,
      options,
    });
    const trained = await training.catch((error: unknown) => {
      if (isAsked(plan) || !isTldrError(error, 'INVALID_DATA')) throw error;
      log?.('warn', `${plan.name} is skipped: ${messageOf(error)}${startsInstead(plan, plans)}`);
      return null;
    });
    await saving.saved();
    if (trained === null) continue;
    const { result, apartSeconds } = trained;
    states.set(plan.name, result.state);
    await options.onState?.(states);
    if (!result.finished) return { learned, states, leftOut: [...leftOut], finished: false };
    learned.push({ plan: { ...plan, init }, loss: settings.loss, result });
    const { totalSteps: steps, secondsPerStep } = result;
    sayStopped(plan, result, options);
    const seconds = secondsSince(startedAtMs) - apartSeconds;
    if (resume === undefined) deadline.trained(plan.timed, { steps, secondsPerStep, seconds });
  }
  return { learned, states, leftOut: [...leftOut], finished: true };
}

interface Turn {
  readonly later: readonly TrainingSchedule[];
  /** Whether there was no time for it before. */
  readonly isAgain: boolean;
}

/** All trainings, each with those after it; then those that were left out so far, the longest one first. */
function* inTurn(
  plans: readonly TrainingSchedule[],
  leftOut: ReadonlySet<string>,
): Generator<Turn & { readonly plan: TrainingSchedule }> {
  for (const [i, plan] of plans.entries()) yield { plan, later: plans.slice(i + 1), isAgain: false };
  const again = plans.flatMap((plan) =>
    plan.timed !== undefined && leftOut.has(plan.name) ? [{ plan, share: plan.timed.share }] : [],
  );
  for (const { plan } of again.sort((a, b) => b.share - a.share)) yield { plan, later: [], isAgain: true };
}

const secondsSince = (startedAtMs: number): number => (performance.now() - startedAtMs) / 1000;

/** The time of a training: undefined if its steps end it, null if there is none left for it. */
function limitOf(
  plan: TrainingSchedule,
  { later, isAgain }: Turn,
  { deadline, isAsked, measure }: LearnedRun,
): TimeLimit | undefined | null {
  const { timed } = plan;
  if (!deadline.isSet || timed === undefined) return undefined;
  const others = later.flatMap((one) => (one.timed === undefined ? [] : [one.timed]));
  const rest = isAgain ? deadline.secondsAgain(timed) : deadline.secondsFor(timed, others);
  const seconds = isAsked(plan) ? deadline.secondsAtLeast(timed, others) : rest;
  if (seconds === null) return null;
  const isMeasured =
    plan.untilFlat === true && measure !== undefined && isWorthMeasuring(timed, seconds, deadline);
  const steady = isMeasured ? { steady: { measured: 0 } } : {};
  return { seconds, spentSeconds: 0, sampleRows: deadline.sampleRows, ...steady };
}

/** Runs one training: at a stretch, or in pieces if it is measured in between. */
async function trainPlanned(
  { prepared, graph }: Material,
  tldrOptions: TldrOptions,
  run: {
    readonly plan: TrainingSchedule;
    readonly resume: TrainState | undefined;
    readonly limit: TimeLimit | undefined;
    readonly measure: Measure | undefined;
    readonly saving: SavedStates;
    readonly options: LearnedRun['options'];
  },
): Promise<Measured> {
  const { plan, resume, limit, measure, saving, options } = run;
  const { signal, log, onProgress, seed } = options;
  const train = (piece: Pick<TldrRun, 'resume' | 'pauseAt'>): Promise<TldrResult> =>
    trainPrepared(prepared, graph, tldrOptions, {
      ...piece,
      limit,
      signal,
      log,
      onProgress: (progress) => onProgress?.({ ...progress, step: `training ${plan.name}` }),
      onState: (state) => saving.save(plan.name, state),
    });
  const { steady } = resume?.limit ?? limit ?? {};
  if (steady === undefined || measure === undefined)
    return { result: await train({ resume }), apartSeconds: 0 };
  return trainUntilFlat({
    train,
    measure,
    resume,
    totalSteps: expectDefined(plan.settings.steps, 'the steps of a planned training'),
    seed,
    save: async (state) => {
      saving.save(plan.name, state);
      await saving.saved();
    },
  });
}

/** Says that a training ended before its time, since it gained nothing more. */
function sayStopped(
  { name }: TrainingSchedule,
  { state, totalSteps }: TldrResult,
  { log }: RunOptions,
): void {
  const stop = state.limit?.steady?.stop;
  if (stop === undefined) return;
  const [steps, planned] = [totalSteps, stop.plannedSteps].map((count) => count.toLocaleString('en-US'));
  log?.(
    'info',
    `${name} stopped at step ${steps} of ${planned}: recall of the held-out queries no longer rises`,
  );
}

interface SavedStates {
  readonly save: (name: string, state: TrainState) => void;
  readonly saved: () => Promise<void>;
}

/** Saves the states of a training that runs, one after the other. */
function savingStates(
  states: Map<string, TrainState>,
  { onState }: Pick<TrainEncoderOptions, 'onState'>,
): SavedStates {
  let pending = Promise.resolve();
  return {
    save: (name, state) => {
      states.set(name, state);
      pending = pending.then(() => onState?.(states));
      // `saved` throws it.
      pending.catch(() => undefined);
    },
    saved: () => pending,
  };
}

/** What all trainings read; null if the deadline leaves no time for trainings. */
async function materialInTime(x: Matrix, run: LearnedRun): Promise<TrainingMaterial | null> {
  const { plans, deadline, isAsked, options } = run;
  const isNeeded = plans.some((plan) => isAsked(plan) || plan.timed === undefined);
  const limit = isNeeded ? undefined : deadline.signalForTrainings();
  const signal = AbortSignal.any([options.signal, limit].filter((one) => one !== undefined));
  const limited = { ...run, options: { ...options, signal } };
  try {
    return await deadline.measure('graph', () => materialOf(x, limited));
  } catch (error) {
    if (limit?.aborted === true && options.signal?.aborted !== true && isTldrError(error, 'ABORTED'))
      return null;
    throw error;
  }
}

/** A prepared sample and the neighbours of its rows. */
interface Material {
  readonly prepared: PreparedSample;
  readonly graph: KnnGraph;
}

/** The rows of x, and the same with queries if a training has queries among its rows. */
interface TrainingMaterial {
  readonly points: Material;
  readonly withQueries: Material | null;
}

async function materialOf(
  x: Matrix,
  { plans, geometry, directions, joined = null, graph: known, options }: LearnedRun,
): Promise<TrainingMaterial> {
  const resolved = plans.map((plan) => ({ plan, settings: resolveSettings(plan.settings) }));
  const { seed, threads, neighbours, signal, log, onProgress } = options;
  const distance = geometry.fitDistance;
  const shared = { distance, ...(threads === undefined ? {} : { threads }), signal };
  const k = Math.max(...resolved.map(({ settings }) => settings.nNeighbors));
  const graph =
    known !== undefined && known.k >= k
      ? known
      : await buildKnnGraph(x, {
          ...shared,
          seed,
          k,
          directions: directions.forNeighbors,
          method: neighbours ?? 'auto',
          log,
          onProgress,
        });
  const compares = resolved.some(({ settings }) => settings.loss === 'neighbourhood-kl');
  const all = joined !== null && resolved.some(({ plan }) => plan.queries) ? joined : x;
  const { withQueries, ...prepared } = await prepareInWorker(
    all,
    {
      distance,
      threads,
      directions: compares ? directions.forTraining : undefined,
      queryRows: all.rows - x.rows,
    },
    { signal },
  );
  const points = { prepared, graph };
  if (withQueries === undefined) return { points, withQueries: null };
  return { points, withQueries: { prepared: withQueries, graph: await addQueryRows(graph, all, shared) } };
}

/** The part of the warning that names the trainings that should have started from the skipped candidate. */
function startsInstead({ name }: TrainingSchedule, plans: readonly TrainingSchedule[]): string {
  const dependents = plans.filter(({ init }) => init === name).map((plan) => plan.name);
  if (dependents.length === 0) return '';
  return `. Trained from PCA instead of ${name}: ${dependents.join(', ')}`;
}

/** The start that a training really gets, and its initial weights; none for a random start. */
async function startOf(
  plan: TrainingSchedule,
  from: {
    readonly learned: readonly Learned[];
    readonly axes: PrincipalAxes;
    readonly dim: number;
    readonly distance: Distance;
    readonly weights: LearnedRun['weights'];
    readonly warm: WarmStart | string | null;
    readonly directions: Matrix | undefined;
    /** What is subtracted from each row. */
    readonly shift: Float64Array | null;
  },
): Promise<
  { readonly init: Start } & Pick<TldrOptions, 'initialWeight' | 'initialHidden' | 'initialParameters'>
> {
  const { learned, axes, dim, distance, weights, warm, directions, shift } = from;
  const { init } = plan;
  const initialParameters = weights?.get(plan.name);
  if (initialParameters !== undefined) return { init, initialParameters };
  if (init === 'random') return { init };
  if (init === 'previous' && warm !== null && typeof warm !== 'string') {
    const initialHidden = await hiddenAlong(warm, { directions, shift });
    return { init, initialWeight: warm.weight, ...(initialHidden === undefined ? {} : { initialHidden }) };
  }
  const linear = learned.find(({ plan: { name } }) => name === init);
  const network = linear?.result.network ?? pcaNetwork(axes, { dim, distance });
  const initialWeight = network.layers[0]?.weight;
  return {
    init: linear === undefined ? 'pca' : init,
    ...(initialWeight === undefined ? {} : { initialWeight }),
  };
}

/** Returns the result of a training as a candidate. */
export function learnedCandidate(
  { plan, loss, result }: Learned,
  { geometry, compactDistance }: Pick<LearnedRun, 'geometry' | 'compactDistance'>,
): Candidate {
  const settings = resolveSettings(plan.settings);
  return {
    name: plan.name,
    network: result.network,
    // Barlow Twins does not train for a particular distance, so all are tried.
    distances: loss === 'barlow-twins' ? geometry.compactDistances : [compactDistance],
    hyperParameters: {
      ...plainSettings(settings),
      steps: result.totalSteps,
      init: plan.init,
      ...queriesOf(result.graph),
    },
    seconds: result.secondsPerStep * result.totalSteps,
  };
}

function queriesOf({ queryRows }: KnnGraph): Record<string, number> {
  return queryRows === undefined ? {} : { queries: queryRows, anchorShare: QUERY_ROWS.anchorShare };
}

function plainSettings(settings: TrainSettings): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      typeof value === 'string' || typeof value === 'number' ? [[name, value] as const] : [],
    ),
  );
}

/** The graph of the first k neighbours of each row. */
function narrowed(graph: KnnGraph, k: number): KnnGraph {
  if (k >= graph.k) return graph;
  const neighbors = new Int32Array(graph.rows * k);
  for (let i = 0; i < graph.rows; i++) {
    neighbors.set(graph.neighbors.subarray(i * graph.k, i * graph.k + k), i * k);
  }
  return { ...graph, k, neighbors };
}
