import { expectDefined } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import { rotateOutput } from '../encoder/rotation.js';
import { createBenchmark } from '../evaluate/neighbor-recall.js';
import { mean } from '../evaluate/ranking.js';
import { REFIT } from '../hyper-parameters/choice-of-candidate.js';
import { DEADLINE } from '../hyper-parameters/deadline.js';
import type { Deadline } from '../train/deadline.js';
import { resolveSettings } from '../train/run-training.js';
import type { TrainState } from '../train/state.js';
import { blendParts, BLENDS, fitBlends } from './blend-candidates.js';
import type { Candidate, Geometry } from './candidate.js';
import { fitClosedForms, type ClosedForms } from './fit-closed-forms.js';
import { fitLearned, learnedCandidate } from './fit-learned.js';
import { scoreCandidates, type Scored } from './score-candidates.js';
import type { RefitSample } from './split-sample.js';
import type { TrainEncoderOptions } from './train-encoder-options.js';
import type { Learned, RefitReport } from './train-report.js';
import type { TrainingSchedule } from './training-schedules.js';
import { PREVIOUS } from './warm-start.js';

/** What the second fit needs of the first one. */
export interface FirstFit {
  readonly winner: Scored;
  readonly learned: readonly Learned[];
  readonly states: ReadonlyMap<string, TrainState>;
  readonly closed: ClosedForms;
  readonly geometry: Geometry;
  /** Distance of the compact space for which learned candidates were trained. */
  readonly compactDistance: Distance;
  readonly deadline: Deadline;
  readonly options: TrainEncoderOptions & { readonly seed: number };
}

/** The shipped candidate, or null if the signal fired before it was finished. */
export interface Refitted {
  readonly candidate: Candidate | null;
  readonly report: RefitReport | null;
  /** Why there was no second fit; null if there was one, or none was asked for. */
  readonly reason: string | null;
  readonly states: ReadonlyMap<string, TrainState>;
}

/** Candidates that do not depend on the rows. */
const WITHOUT_ROWS: readonly string[] = ['prefix', 'random-projection'];

/** The name of a second training, among the states of a checkpoint too. */
const refitName = (name: string): string => `${name}, all rows`;

/**
 * Fits the chosen candidate again, to all rows but a few. A learned candidate is trained further from its weights, and
 * so are both parts of a blend; a closed form is computed anew. The few rows show whether this fit is as good as the
 * first one; otherwise the first one is kept.
 */
export async function refitWinner(sample: RefitSample | null, first: FirstFit): Promise<Refitted> {
  const { winner, states, options } = first;
  const { candidate } = winner;
  const needed = secondsNeeded(first);
  keepTimeOfTheEnd(first.deadline);
  const reason = reasonAgainst(sample, first) ?? (hasTime(first, needed) ? null : NO_TIME);
  if (options.refit === false || sample === null || reason !== null)
    return { candidate, report: null, reason: options.refit === false ? null : reason, states };
  const startedAtMs = performance.now();
  const again = await fitAgain(sample, first);
  if (!again.finished) return { candidate: null, report: null, reason: null, states: again.states };
  if (again.candidate === null) {
    const why = again.leftOut ? NO_TIME : 'its training on all rows diverged';
    return { candidate, report: null, reason: why, states: again.states };
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  const fitQueries = sample.joined === undefined ? 0 : sample.joined.rows - sample.x.rows;
  const second = secondFit(again.candidate, candidate, {
    refitRows: sample.x.rows,
    refitSteps: again.steps,
    ...(fitQueries === 0 ? {} : { refitQueries: fitQueries }),
  });
  const [before, after] = await scoresOf(sample, [candidate, second], first);
  // After `from`, nothing that finds less is shipped.
  const shipped = after >= before - (options.from === undefined ? REFIT.lossMax : 0);
  if (!shipped)
    options.log?.(
      'warn',
      `${candidate.name} is shipped as it was first fitted: fitted to all ${fitQueries === 0 ? 'rows' : 'queries'}, it finds less`,
    );
  const report = {
    rows: sample.x.rows,
    fitQueries,
    steps: again.steps,
    seconds,
    queries: sample.kept.rows,
    before,
    after,
    shipped,
  };
  return { candidate: shipped ? second : candidate, report, reason: null, states: again.states };
}

const NO_TIME = 'too little of the time budget was left';

/** Returns the time of a good part of the second fit, in seconds. */
function secondsNeeded(first: FirstFit): number {
  const { deadline } = first;
  const trainings = trainingsOf(first);
  if (trainings.length === 0) return deadline.took('closed forms');
  const seconds = trainings.reduce((sum, { result }) => sum + result.secondsPerStep * result.totalSteps, 0);
  const graphSeconds = deadline.secondFit.graph * deadline.took('graph');
  return graphSeconds + seconds * REFIT.stepsShare * DEADLINE.secondFitShareMin;
}

/** Of the time that was kept for the end, only that of the report and of two more scores is needed from here on. */
function keepTimeOfTheEnd(deadline: Deadline): void {
  if (!deadline.isSet) return;
  deadline.secondFit = { training: 0, graph: 0 };
  deadline.afterwards = DEADLINE.endShare * deadline.budgetSeconds;
  deadline.scores = { count: 2, secondsMax: Number.POSITIVE_INFINITY };
}

/** Whether so many seconds are left before the deadline; asked for no longer once a second fit has begun. */
function hasTime(first: FirstFit, neededSeconds: number): boolean {
  const { deadline, options } = first;
  if (!deadline.isSet || options.refit === false || isGoingOn(first)) return true;
  return neededSeconds < deadline.leftSeconds - deadline.keptSeconds;
}

/** Whether an interrupted run began the second fit. */
function isGoingOn({ states, learned }: FirstFit): boolean {
  return learned.some(({ plan: { name } }) => states.has(refitName(name)));
}

/** The trainings that the winner came from; none for a closed form. */
function trainingsOf({ winner, learned }: FirstFit): readonly Learned[] {
  const { name } = winner.candidate;
  const parts = BLENDS.includes(name) ? blendParts(learned.map(({ plan }) => plan.name)) : [name];
  return learned.filter(({ plan }) => parts?.includes(plan.name) === true);
}

function reasonAgainst(sample: RefitSample | null, { winner, learned }: FirstFit): string | null {
  const { name } = winner.candidate;
  if (name === PREVIOUS) return 'the encoder that training went on from is saved unchanged';
  const fitsQueries = learned.some(({ plan }) => plan.name === name && plan.queries === true);
  if (sample === null || (sample.joined !== undefined && !fitsQueries))
    return 'its first fit had all rows already';
  return WITHOUT_ROWS.includes(name) ? `${name} does not depend on the rows` : null;
}

/** The fields and the rotation of the first fit, with the weights of the second one. */
function secondFit(
  { network }: Candidate,
  first: Candidate,
  again: Readonly<Record<string, number>>,
): Candidate {
  const { rotation } = first.hyperParameters;
  return {
    ...first,
    network: typeof rotation === 'number' ? rotateOutput(network, rotation) : network,
    hyperParameters: { ...first.hyperParameters, ...again },
  };
}

interface Again {
  /** Null if a training diverged, or was stopped. */
  readonly candidate: Candidate | null;
  readonly states: ReadonlyMap<string, TrainState>;
  readonly steps: number;
  readonly finished: boolean;
  /** Whether the deadline left no time for it. */
  readonly leftOut: boolean;
}

async function fitAgain(sample: RefitSample, first: FirstFit): Promise<Again> {
  const { winner, states, geometry, options } = first;
  const { name } = winner.candidate;
  const trainings = trainingsOf(first);
  if (trainings.length > 0) return trainFurther(sample, trainings, first);
  const { candidates } = await fitClosedForms(sample.x, { ...options, geometry, fitQueries: null }, options);
  return { candidate: named(candidates, name), states, steps: 0, finished: true, leftOut: false };
}

/** The weights of the first trainings are the start, with the directions that their hidden layers read along. */
async function trainFurther(
  { x, joined }: RefitSample,
  trainings: readonly Learned[],
  first: FirstFit,
): Promise<Again> {
  const { winner, closed, options } = first;
  const { learned, states, finished, ...others } = await fitLearned(x, {
    ...first,
    plans: trainings.map(secondPlan),
    axes: closed.axes,
    directions: closed.directions,
    joined: joined ?? null,
    // The same rows have the same neighbours.
    graph:
      joined === undefined
        ? undefined
        : first.learned.find(({ plan }) => plan.queries !== true)?.result.graph,
    isAsked: () => false,
    weights: new Map(
      trainings.map(({ plan, result }) => [refitName(plan.name), result.state.parameters] as const),
    ),
    options: { ...options, resume: first.states },
  });
  const steps = learned.reduce((sum, { result }) => sum + result.totalSteps, 0);
  const leftOut = others.leftOut.length > 0;
  if (!finished || learned.length < trainings.length)
    return { candidate: null, states, steps, finished, leftOut };
  const fitted = learned.map((one, i) => {
    const { plan } = expectDefined(trainings[i], 'the first training');
    return learnedCandidate({ ...one, plan }, first);
  });
  const { name } = winner.candidate;
  const blends = BLENDS.includes(name) ? await fitBlends(x, fitted, options) : [];
  return { candidate: named([...fitted, ...blends], name), states, steps, finished, leftOut };
}

function secondPlan({ plan, result }: Learned): TrainingSchedule {
  const steps = Math.round(result.totalSteps * REFIT.stepsShare);
  const settings = { ...resolveSettings(plan.settings), steps, epochs: null };
  return { ...plan, name: refitName(plan.name), settings };
}

function named(candidates: readonly Candidate[], name: string): Candidate {
  return expectDefined(
    candidates.find((candidate) => candidate.name === name),
    `${name} of all rows`,
  );
}

/** What both fits reach on the rows that neither of them saw, found among all others. */
async function scoresOf(
  { x, kept, objective }: RefitSample,
  fits: readonly Candidate[],
  { winner, options }: FirstFit,
): Promise<readonly [number, number]> {
  const distance = options.distance ?? 'cosine';
  const benchmark = await createBenchmark({ base: x, queries: kept, distance }, options);
  const distances = [winner.compactDistance];
  const { selection } = await scoreCandidates(
    { benchmark, unseen: null },
    fits.map((fit) => ({ ...fit, distances })),
    { ...options, objective, selectionQueries: kept.rows, onProgress: undefined },
  );
  const [before, after] = selection.map(({ scores, recall }) =>
    // No label of these rows may be among the others.
    scores.length === 0 ? recall.recallAt10 : mean(scores),
  );
  return [expectDefined(before, 'the score before'), expectDefined(after, 'the score after')];
}
