import type { Distance } from '../core/distance.js';
import { Encoder, type EncoderMetadata, type EncoderNetwork } from '../encoder/model.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { BUDGET_SECONDS } from '../hyper-parameters/fit-of-candidates.js';
import { dataFingerprint } from '../core/clean-and-split-sample.js';
import { createBenchmark } from '../evaluate/neighbor-recall.js';
import { checkEngine } from '../train/engine/check-engine.js';
import type { TrainState } from '../train/state.js';
import { geometryOf, type Candidate, type Geometry } from './candidate.js';
import { BLENDS, canBlend, fitBlends } from './blend-candidates.js';
import { fitClosedForms } from './fit-closed-forms.js';
import { fitLearned, learnedCandidate } from './fit-learned.js';
import {
  choose,
  scoreCandidates,
  scoreFullVectors,
  withoutOverfitted,
  type Benchmarks,
  type Scored,
  type ScoreOptions,
} from './score-candidates.js';
import { withSampleSummary } from './summarize-sample.js';
import { measureRelevance } from './measure-relevance.js';
import { improveRotation, scoreStored } from './judge-stored.js';
import {
  oldAndNew,
  PREVIOUS,
  previousCandidates,
  warmPlans,
  warmStartOf,
  withoutWorse,
} from './warm-start.js';
import { unseenRows } from './unseen-groups.js';
import type { Deadline } from '../train/deadline.js';
import { cleanForTraining, splitSample, type SplitSample } from './split-sample.js';
import type { Directions } from './principal-directions.js';
import { explicitPlan, plansForBudget, type Aim, type TrainingSchedule } from './training-schedules.js';
import {
  checkShip,
  checkTrainOptions,
  EXPLICIT,
  isExplicit,
  type TrainEncoderOptions,
} from './train-encoder-options.js';
import { deadlineOf, keepTime, sampleInTime, sayLeftOut, scoreInTime, timeReport } from './time-budget.js';
import { checkTrainMemory } from './train-memory.js';
import { refitWinner } from './refit.js';
import { measureBy } from './until-flat.js';
import { trainReport, type Learned, type ReportParts, type TrainReport } from './train-report.js';
import { CREATED_BY } from '../encoder/package-version.js';

/** The result of a training. If it was stopped, `encoder` is null and `states` can resume it. */
export interface TrainEncoderResult {
  readonly encoder: Encoder | null;
  readonly report: TrainReport | null;
  readonly states: ReadonlyMap<string, TrainState>;
  /**
   * All candidates by name, as they were measured. `encoder` is the best of them, fitted again to all rows if
   * `report.refit` says so.
   */
  readonly candidates: ReadonlyMap<string, Encoder>;
  /** Data for the charts of the HTML report. */
  readonly details: TrainDetails | null;
}

/** Figures of a training for charts. */
export interface TrainDetails {
  /** recall@10 of each selection query, by candidate. */
  readonly perQuery: ReadonlyMap<string, Float64Array>;
  /** Loss per step, by learned candidate. */
  readonly losses: ReadonlyMap<string, readonly number[]>;
}

/**
 * Trains an encoder for x (n x D). It fits candidates, scores all of them on held-out queries and returns the
 * best:
 *
 * - PCA in its forms, a prefix, a random projection,
 * - LeanVec-Sphering, if there are queries to fit it to,
 * - learned encoders within a time budget.
 *
 * @throws INVALID_DATA when there are too few rows, or a row is not finite
 * @throws INVALID_ARGUMENT for options out of range, or a sample that needs too much memory
 * @throws UNSUPPORTED when the engine or its device cannot be used
 * @example
 * ```ts
 * import { matrix, trainEncoder } from 'qdrant-tldr';
 *
 * const x = matrix(300, 16, Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i * i)));
 * const { encoder } = await trainEncoder(x, { dim: 4, distance: 'cosine', seed: 1, steps: 20 });
 * await encoder?.save('enc4.onnx');
 * ```
 */
export async function trainEncoder(x: Matrix, options: TrainEncoderOptions): Promise<TrainEncoderResult> {
  const { distance = 'cosine', seed = 0, ship = 'best', from } = options;
  await checkTraining(x, options);
  const deadline = deadlineOf(options);
  const split = await divided(x, { ...options, deadline, distance, seed });
  const { train } = split;
  const geometry = geometryOf(train, distance, options.compactDistance);
  const closed = await deadline.measure('closed forms', () =>
    fitClosedForms(train, { ...options, ...split, seed, geometry }, options),
  );
  const benchmarks = await createBenchmarks(split, { ...options, distance });
  const judgeOptions = { ...options, ...split, seed, ship };
  const start = await deadline.measure('scores', () =>
    judgeStart(benchmarks, closed.candidates, judgeOptions),
  );
  const { compactDistance } = start;
  const { plans, blends } = planLearned(options, { geometry, start, directions: closed.directions }, split);
  const others = [...closed.candidates, ...previousCandidates(from)];
  checkShip(ship, [...namesOf(plans), ...blends, ...namesOf(others)]);
  keepTime(deadline, split, { ...options, candidates: others.length + plans.length + blends.length });
  const { learned, states, finished, leftOut } = await fitLearned(train, {
    plans,
    geometry,
    ...closed,
    compactDistance,
    joined: split.joined,
    isAsked: ({ name }) => isExplicit(options) || name === ship,
    measure: measureBy(benchmarks, { ...judgeOptions, compactDistance, deadline }),
    deadline,
    options: { ...options, seed },
  });
  if (!finished) return stoppedWith(states);
  sayLeftOut(options, leftOut);
  const trained = learned.map((one) => learnedCandidate(one, { geometry, compactDistance }));
  const fitted = [...(await withBlends(train, trained, { ...options, blends })), ...others];
  checkShip(ship, namesOf(fitted));
  const { unscored, ...judgement } = await judgeFitted(benchmarks, fitted, { ...judgeOptions, deadline });
  const { judged, confirmed, winner } = judgement;
  const first = { winner, learned, states, closed, geometry, compactDistance, deadline };
  const refitted = await refitWinner(split.refit, { ...first, options: { ...options, seed } });
  if (refitted.candidate === null) return stoppedWith(refitted.states);
  const fingerprint = dataFingerprint(train);
  const report = trainReport({
    ...judgement,
    refit: refitted.report,
    notRefitted: refitted.reason,
    full: await fullVectors(options, benchmarks, judgeOptions),
    relevance: await measureRelevance(split, { ...options, judged, winner, distance, seed }),
    objectiveName: split.objectiveName,
    learned,
    inputDim: x.cols,
    trainRows: train.rows,
    time: timeReport(deadline, [...leftOut, ...unscored]),
    fitQueries: split.fitQueries?.rows ?? 0,
    facts: split.facts,
    previous: oldAndNew(from, plans[0]?.name, { ...split, judged, confirmed, asked: options.queries }),
    fingerprint,
    seed,
  });
  const record = { distance, seed, fingerprint, source: options.source ?? '' };
  const candidates = new Map(judged.map((one) => [one.candidate.name, encoderOf(one, record)]));
  const encoder = encoderOf({ ...winner, candidate: refitted.candidate }, record);
  return {
    encoder: await shippedEncoder(encoder, { x, isPrevious: winner.candidate.name === PREVIOUS }, options),
    report,
    states: refitted.states,
    candidates,
    details: detailsOf(judged, learned),
  };
}

async function checkTraining({ rows, cols }: Matrix, options: TrainEncoderOptions): Promise<void> {
  checkTrainOptions(options, cols);
  checkTrainMemory({ rows, inputDim: cols, outputDim: options.dim });
  await checkEngine(options, options);
}

/** The sample, cleaned and divided, with as many rows as there is time for. */
async function divided(
  x: Matrix,
  options: TrainEncoderOptions & {
    readonly deadline: Deadline;
    readonly distance: Distance;
    readonly seed: number;
  },
): Promise<SplitSample> {
  const clean = await sampleInTime(cleanForTraining(x, options.distance), options);
  return splitSample(clean, options, isJudgedByRows(options) ? await unseenRows(clean.x, options) : null);
}

/** What the full vectors reach; null for recall@10, of which they have 1. */
async function fullVectors(
  { objective }: TrainEncoderOptions,
  { benchmark }: Benchmarks,
  options: ScoreOptions,
): Promise<ReportParts['full']> {
  return objective === 'relevance' ? scoreFullVectors(benchmark, options) : null;
}

/** Scores the candidates, chooses one, and rotates its compact space if it will be stored as codes. */
async function judgeFitted(
  benchmarks: Benchmarks,
  fitted: readonly Candidate[],
  { ship, deadline, ...options }: ScoreOptions & { readonly ship: string; readonly deadline: Deadline },
): Promise<
  Pick<ReportParts, 'judged' | 'confirmed' | 'winner' | 'stored'> & { readonly unscored: readonly string[] }
> {
  const { judgement: scored, unscored } = await scoreInTime(fitted, {
    score: (candidates) => scoreStored(benchmarks, candidates, options),
    ship,
    deadline,
    log: options.log,
  });
  const judged = scored.selection;
  const chosen = choose(
    ship === 'best'
      ? withoutWorse(withoutOverfitted(judged), judged)
      : judged.filter(({ candidate }) => candidate.name === ship),
  );
  if (chosen === undefined) throw new TldrError('INTERNAL', 'no candidate was judged');
  const { judgement, winner, stored } = await improveRotation(
    benchmarks,
    { judgement: scored, winner: chosen, fitted },
    options,
  );
  return { judged: judgement.selection, confirmed: judgement.confirmation, winner, stored, unscored };
}

const namesOf = (named: readonly { readonly name: string }[]): readonly string[] =>
  named.map(({ name }) => name);

function stoppedWith(states: TrainEncoderResult['states']): TrainEncoderResult {
  return { encoder: null, report: null, states, candidates: new Map(), details: null };
}

function aimOf({ objective = 'fidelity' }: TrainEncoderOptions, { beside }: SplitSample): Aim {
  return objective === 'fidelity' && beside !== null ? 'fidelity-labelled' : objective;
}

/**
 * The encoder that is saved, with a summary of its sample. The encoder of `from`, if it wins, stays what it is: it was
 * fitted to another sample than this one. If it was rotated, its summary does not belong to it any more.
 */
async function shippedEncoder(
  encoder: Encoder,
  { x, isPrevious }: { readonly x: Matrix; readonly isPrevious: boolean },
  { from, seed = 0, ...options }: TrainEncoderOptions,
): Promise<Encoder> {
  if (!isPrevious || from === undefined) return withSampleSummary(encoder, x, { ...options, seed });
  return encoder.fingerprint === from.fingerprint ? from : encoder;
}

function detailsOf(judged: readonly Scored[], learned: readonly Learned[]): TrainEncoderResult['details'] {
  return {
    perQuery: new Map(judged.map(({ candidate, recall }) => [candidate.name, recall.perQuery])),
    losses: new Map(learned.map(({ plan, result }) => [plan.name, result.state.lossHistory])),
  };
}

/** The benchmark of the choice, and the one of the groups that nothing is fitted to. */
async function createBenchmarks(
  { train, queries, unseen }: SplitSample,
  { distance, ...options }: TrainEncoderOptions & { readonly distance: Distance },
): Promise<Benchmarks> {
  return {
    benchmark: await createBenchmark({ base: train, queries, distance }, options),
    unseen: unseen === null ? null : await createBenchmark({ ...unseen, distance }, options),
  };
}

/** Whether held-out rows are the queries, and agreement with the full vectors is the aim. */
function isJudgedByRows({ queries, objective = 'fidelity' }: TrainEncoderOptions): boolean {
  return queries === undefined && objective === 'fidelity';
}

/**
 * The score of uncentred PCA, where learned candidates start, and the compact distance they are trained for.
 */
interface Start {
  readonly compactDistance: Distance;
  readonly pcaRecall: number;
}

async function judgeStart(
  benchmarks: Benchmarks,
  closed: readonly Candidate[],
  judgeOptions: ScoreOptions,
): Promise<Start> {
  const pca = closed.filter(({ name }) => name === 'pca-uncentred');
  const { selection } = await scoreCandidates(benchmarks, pca, {
    ...judgeOptions,
    storedAs: undefined,
    onProgress: undefined,
  });
  const [judged] = selection;
  if (judged === undefined) throw new TldrError('INTERNAL', 'PCA was not judged');
  return { compactDistance: judged.compactDistance, pcaRecall: judged.recall.recallAt10 };
}

/** The trainings, and the names of the blends of their results. */
interface Planned {
  readonly plans: readonly TrainingSchedule[];
  readonly blends: readonly string[];
}

interface PlanInputs {
  readonly geometry: Geometry;
  readonly start: Start;
  readonly directions: Directions;
}

/** The trained candidates, and their blends if any are planned. */
async function withBlends(
  train: Matrix,
  trained: readonly Candidate[],
  { blends, ...options }: TrainEncoderOptions & Pick<Planned, 'blends'>,
): Promise<readonly Candidate[]> {
  return blends.length === 0 ? trained : [...trained, ...(await fitBlends(train, trained, options))];
}

function planLearned(options: TrainEncoderOptions, inputs: PlanInputs, split: SplitSample): Planned {
  const aim = aimOf(options, split);
  const plans = planTrainings(options, { ...inputs, aim }, split);
  // A point between fidelity and relevance is worth its time where relevance is measured.
  return { plans, blends: aim !== 'fidelity' && canBlend(namesOf(plans)) ? BLENDS : [] };
}

function planTrainings(
  options: TrainEncoderOptions,
  { aim, geometry, start, directions }: PlanInputs & { readonly aim: Aim },
  { train, refit, fitQueries }: SplitSample,
): readonly TrainingSchedule[] {
  if (isExplicit(options)) {
    const given = EXPLICIT.filter((name) => options[name] !== undefined);
    const settings = Object.fromEntries(given.map((name) => [name, options[name]]));
    return [explicitPlan(settings, options.init)];
  }
  const byClock = options.deterministic === false && options.from === undefined;
  const { plans, leftOut, tooWide } = plansForBudget({
    aim,
    byClock,
    rows: train.rows,
    inputDim: train.cols,
    directions: directions.forTraining?.cols ?? null,
    outputDim: options.dim,
    threads: options.threads ?? 2,
    budgetSeconds: options.budgetSeconds ?? BUDGET_SECONDS,
    linearOnly: geometry.fitDistance === 'dot' || options.linearOnly === true,
    refitRows: options.refit === false ? null : (refit?.x.rows ?? null),
    fitQueries: fitQueries?.rows ?? 0,
    ...start,
  });
  sayLeftOut(options, leftOut);
  if (tooWide.length > 0) {
    options.log?.(
      'info',
      `with ${train.cols.toLocaleString('en-US')} dimensions the weights of ${tooWide.join(' and ')} take too much memory: not trained`,
    );
  }
  const warm = options.from === undefined ? null : warmStartOf(options.from);
  if (typeof warm === 'string')
    options.log?.('warn', `this encoder cannot be trained further, since ${warm}: trained as usual`);
  else if (warm !== null) return warmPlans(plans, warm);
  return plans;
}

function encoderOf(
  { candidate, compactDistance, recall }: Scored,
  record: { distance: Distance; seed: number; fingerprint: string; source: string },
): Encoder {
  const { distance, seed, fingerprint, source } = record;
  const unit = compactDistance === 'cosine';
  const network: EncoderNetwork = { ...candidate.network, normalizeOutput: unit };
  const { queryNetwork } = candidate;
  const metadata: EncoderMetadata = {
    method: candidate.method ?? candidate.name,
    distance,
    // For unit vectors, the dot product is the cosine, so a dot-product collection keeps its distance.
    compactDistance: unit && distance === 'dot' ? 'dot' : compactDistance,
    source,
    seed,
    dataFingerprint: fingerprint,
    hyperParameters: candidate.hyperParameters,
    metrics: { 'recall@10': recall.recallAt10, 'R10@30': recall.r10At30, 'R10@100': recall.r10At100 },
    createdBy: CREATED_BY,
  };
  return new Encoder(network, metadata, queryNetwork && { ...queryNetwork, normalizeOutput: unit });
}
