import type { PrincipalAxes } from '../baselines/pca.js';
import { pcaNetwork } from '../baselines/pca.js';
import type { Distance } from '../core/distance.js';
import { expectDefined, isTldrError, messageOf } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { QUERY_ROWS } from '../hyper-parameters/fit-of-candidates.js';
import { buildKnnGraph } from '../knn/build-knn-graph.js';
import type { KnnGraph } from '../knn/graph.js';
import { addQueryRows } from '../knn/query-rows.js';
import { resolveSettings } from '../train/run-training.js';
import type { PreparedSample } from '../train/prepare-sample.js';
import type { TrainState } from '../train/state.js';
import { prepareInWorker, trainPrepared } from '../train/tldr.js';
import type { TldrOptions, TrainSettings } from '../train/options.js';
import type { Candidate, Geometry } from './candidate.js';
import type { TrainingSchedule, Start } from './training-schedules.js';
import type { Directions } from './principal-directions.js';
import type { TrainEncoderOptions } from './train-encoder-options.js';
import type { Learned } from './train-report.js';
import { hiddenAlong, warmStartOf, type WarmStart } from './warm-start.js';

export interface LearnedFits {
  /**
   * `plan.init` is the start that was used. It differs from the planned one if that candidate was skipped.
   */
  readonly learned: readonly Learned[];
  readonly states: ReadonlyMap<string, TrainState>;
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
  readonly options: Omit<TrainEncoderOptions, 'seed'> & { readonly seed: number };
}

/**
 * Runs the planned trainings one after the other on the same neighbour graph and the same prepared sample; x
 * lies in shared memory. If a training diverges, it is skipped with a warning, and trainings that should
 * start from its result start from PCA.
 * @throws INVALID_DATA when a training diverges that the user asked for
 */
export async function fitLearned(x: Matrix, run: LearnedRun): Promise<LearnedFits> {
  const { plans, geometry, axes, directions, compactDistance, isAsked, weights, options } = run;
  const { dim, seed, engine, threads, signal, log, onProgress, resume, onState } = options;
  const distance = geometry.fitDistance;
  const states = new Map<string, TrainState>(resume ?? []);
  const learned: Learned[] = [];
  const resolved = plans.map((plan) => ({
    plan,
    settings: resolveSettings(plan.settings),
  }));
  const shared = { distance, seed, ...(threads === undefined ? {} : { threads }) };
  const { points, withQueries } = await materialOf(x, resolved, run);
  const { shift } = points.prepared;
  const warm = options.from === undefined ? null : warmStartOf(options.from);
  const starts = { learned, axes, dim, distance, weights, warm, directions: directions.forTraining, shift };
  for (const { plan, settings } of resolved) {
    const { init, ...initial } = await startOf(plan, starts);
    const { prepared, graph } = plan.queries === true ? expectDefined(withQueries, 'the queries') : points;
    const training = trainPrepared(
      prepared,
      narrowed(graph, settings.nNeighbors),
      {
        ...settings,
        ...shared,
        outputDim: dim,
        compactDistance,
        ...(engine === undefined ? {} : { engine }),
        ...initial,
        ...(directions.forTraining === undefined ? {} : { directions: directions.forTraining }),
      },
      {
        resume: states.get(plan.name),
        signal,
        log,
        onProgress: (progress) => onProgress?.({ ...progress, step: `training ${plan.name}` }),
      },
    );
    const result = await training.catch((error: unknown) => {
      if (isAsked(plan) || !isTldrError(error, 'INVALID_DATA')) throw error;
      log?.('warn', `${plan.name} is skipped: ${messageOf(error)}${startsInstead(plan, plans)}`);
      return null;
    });
    if (result === null) continue;
    states.set(plan.name, result.state);
    await onState?.(states);
    if (!result.finished) return { learned, states, finished: false };
    learned.push({ plan: { ...plan, init }, loss: settings.loss, result });
  }
  return { learned, states, finished: true };
}

/** A prepared sample and the neighbours of its rows. */
interface Material {
  readonly prepared: PreparedSample;
  readonly graph: KnnGraph;
}

/** What all trainings read: the rows of x, and the same with queries if a training has queries among its rows. */
async function materialOf(
  x: Matrix,
  resolved: readonly { readonly plan: TrainingSchedule; readonly settings: TrainSettings }[],
  { geometry, directions, joined = null, graph: known, options }: LearnedRun,
): Promise<{ readonly points: Material; readonly withQueries: Material | null }> {
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
