import type { Distance } from '../core/distance.js';
import {
  BUDGET_TLDR,
  COST,
  DIRECTIONS,
  DOT_LEARNING_RATE,
  FIRST_WEIGHTS_MAX,
  PERPLEXITY,
  QUERY_SCHEDULES,
  RATE_DIM,
  RATE_DIRECTIONS,
  RELEVANCE_FLINEAR,
  RELEVANCE_MLP,
  RELEVANCE_SCHEDULES,
  RELEVANCE_TLDR,
  RESIDUAL,
  SCHEDULES,
  TLDR_FLINEAR,
  TLDR_FROM_PCA_RATE,
  TLDR_MLP,
} from '../hyper-parameters/fit-of-candidates.js';
import { LABELLED_SHARES } from '../hyper-parameters/blend.js';
import { DEADLINE } from '../hyper-parameters/deadline.js';
import { REFIT } from '../hyper-parameters/choice-of-candidate.js';
import { directionsFor } from '../knn/build-knn-graph.js';
import { blendParts } from './blend-candidates.js';
import type { TimedTraining } from '../train/deadline.js';
import { defaultSettings, type LossName, type TrainSettings } from '../train/options.js';

/** A planned training: the candidate's name, its start, and settings that differ from the loss's defaults. */
export interface TrainingSchedule {
  readonly name: string;
  readonly settings: Partial<TrainSettings>;
  readonly init: Start;
  /** Whether queries are among the rows of the training. */
  readonly queries?: boolean;
  /** Whether it is measured while it is trained, and ends once it gains nothing. */
  readonly untilFlat?: boolean;
  /** What a deadline gives it time by; absent for explicit settings. */
  readonly timed?: TimedTraining;
}

/** Start of a linear encoder or of a residual encoder's linear part: PCA, random, or a linear candidate. */
export type Start = 'pca' | 'random' | 'neighbourhood-kl' | 'neighbourhood-kl-queries' | 'previous';

interface AutoPlan {
  readonly name: string;
  readonly share: number;
  readonly stepsMin: number;
  readonly stepsMax: number;
  readonly init: Start;
  readonly settings: Partial<TrainSettings> & { readonly loss: LossName };
  /**
   * Not trained if its share of the budget is too small for `stepsMin`. The others run `stepsMin` steps
   * anyway.
   */
  readonly optional?: boolean;
  readonly queries?: boolean;
  /** Whether the clock may end it before its share of the budget is used up, if it gains nothing more. */
  readonly untilFlat?: boolean;
}

/**
 * What the selection asks for: the neighbours of the full vectors, labels and judgements, or the neighbours while labels
 * or judgements are measured beside them.
 */
export type Aim = 'fidelity' | 'relevance' | 'fidelity-labelled';

const KL = { loss: 'neighbourhood-kl' } as const;
const RESIDUAL_KL = { ...KL, encoder: RESIDUAL.encoder, learningRate: RESIDUAL.learningRate };

/** The learned candidates, in the order of their trainings. */
const AUTO: Readonly<Record<Exclude<Aim, 'fidelity-labelled'>, readonly AutoPlan[]>> = {
  fidelity: [
    { name: 'neighbourhood-kl', ...SCHEDULES.linear, init: 'pca', settings: KL },
    {
      name: 'neighbourhood-kl-residual',
      ...SCHEDULES.residual,
      init: 'neighbourhood-kl',
      settings: RESIDUAL_KL,
      untilFlat: true,
    },
    {
      name: 'tldr',
      ...SCHEDULES.tldr,
      init: 'pca',
      settings: { ...BUDGET_TLDR, learningRate: TLDR_FROM_PCA_RATE },
    },
    {
      name: 'tldr-flinear',
      ...SCHEDULES.tldrLayered,
      init: 'random',
      settings: { ...BUDGET_TLDR, encoder: TLDR_FLINEAR },
      optional: true,
    },
    {
      name: 'tldr-mlp',
      ...SCHEDULES.tldrLayered,
      init: 'random',
      settings: { ...BUDGET_TLDR, encoder: TLDR_MLP },
      optional: true,
    },
  ],
  relevance: [
    { name: 'neighbourhood-kl', ...RELEVANCE_SCHEDULES.linear, init: 'pca', settings: KL },
    {
      name: 'neighbourhood-kl-residual',
      ...RELEVANCE_SCHEDULES.residual,
      init: 'neighbourhood-kl',
      settings: RESIDUAL_KL,
    },
    {
      name: 'tldr',
      ...RELEVANCE_SCHEDULES.tldr,
      init: 'pca',
      settings: { ...RELEVANCE_TLDR, learningRate: TLDR_FROM_PCA_RATE },
    },
    {
      name: 'tldr-flinear',
      ...RELEVANCE_SCHEDULES.tldrFlinear,
      init: 'random',
      settings: { ...RELEVANCE_TLDR, encoder: RELEVANCE_FLINEAR },
      optional: true,
    },
    {
      name: 'tldr-mlp',
      ...RELEVANCE_SCHEDULES.tldrMlp,
      init: 'random',
      settings: { ...RELEVANCE_TLDR, encoder: RELEVANCE_MLP },
      optional: true,
    },
  ],
};

/** The candidates that have queries among their rows, trained after the others. */
const WITH_QUERIES: readonly AutoPlan[] = [
  {
    name: 'neighbourhood-kl-queries',
    ...QUERY_SCHEDULES.linear,
    init: 'neighbourhood-kl',
    settings: KL,
    queries: true,
  },
  {
    name: 'neighbourhood-kl-residual-queries',
    ...QUERY_SCHEDULES.residual,
    init: 'neighbourhood-kl-queries',
    settings: RESIDUAL_KL,
    queries: true,
  },
];

/** Names of all candidates that are trained. */
export const LEARNED: readonly string[] = [...AUTO.fidelity, ...WITH_QUERIES].map(({ name }) => name);

const LABELLED: Readonly<Record<string, number>> = {
  tldr: LABELLED_SHARES.tldr,
  'tldr-flinear': LABELLED_SHARES.tldrFlinear,
  'tldr-mlp': LABELLED_SHARES.tldrMlp,
};

function plansFor({ aim, fitQueries }: Pick<BudgetFacts, 'aim' | 'fitQueries'>): readonly AutoPlan[] {
  const plans =
    aim === 'fidelity-labelled'
      ? AUTO.fidelity.map((plan) => ({ ...plan, share: LABELLED[plan.name] ?? plan.share }))
      : AUTO[aim];
  if (fitQueries === 0) return plans;
  const { relevanceResidual } = QUERY_SCHEDULES;
  const queried = WITH_QUERIES.map((plan) =>
    aim === 'relevance' && plan.settings.encoder !== undefined ? { ...plan, ...relevanceResidual } : plan,
  );
  const rest = queried.reduce((left, { share }) => left - share, 1);
  return [...plans.map((plan) => ({ ...plan, share: plan.share * rest })), ...queried];
}

/** The inputs that decide which trainings fit into a time budget. */
export interface BudgetFacts {
  readonly aim: Aim;
  readonly rows: number;
  readonly inputDim: number;
  /** Number of directions that training uses (`Directions.forTraining`); null for the rows themselves. */
  readonly directions: number | null;
  readonly outputDim: number;
  readonly threads: number;
  readonly budgetSeconds: number;
  /** Whether the clock ends each training. All of them are then planned, with as many steps as are of use. */
  readonly byClock: boolean;
  /** Only linear encoders: dot products of vectors of different lengths need a linear map without bias. */
  readonly linearOnly: boolean;
  /** Rows of the second fit of the chosen candidate; null without a second fit. */
  readonly refitRows: number | null;
  /** Distance of the compact space for which candidates are trained. */
  readonly compactDistance: Distance;
  /** Recall@10 of uncentred PCA on the selection's queries. */
  readonly pcaRecall: number;
  /** Queries that candidates are fitted to; 0 without such queries. */
  readonly fitQueries: number;
}

/** The planned trainings, and the candidates that are not trained. */
export interface BudgetedPlans {
  readonly plans: readonly TrainingSchedule[];
  /** Names of candidates for which the budget is too small. */
  readonly leftOut: readonly string[];
  /** Names of candidates whose weights would take too much memory. */
  readonly tooWide: readonly string[];
}

/** Width of an architecture's hidden layers; 0 for an architecture without hidden layers. */
function widthOf(architecture: string): number {
  return Number(/-(\d+)$/.exec(architecture)?.[1] ?? 0);
}

/** Number of columns of an encoder's first layer after folding. */
function firstWidth(encoder: string, outputDim: number): number {
  const width = widthOf(encoder);
  if (encoder.startsWith('residual')) return width + 2 * outputDim;
  return Math.max(width, outputDim);
}

/** Bytes of the weights in an encoder's first layer. */
export function firstLayerBytes(encoder: string, dims: { inputDim: number; outputDim: number }): number {
  return 4 * dims.inputDim * firstWidth(encoder, dims.outputDim);
}

/** Plans the learned candidates, with as many steps as the time budget allows. */
export function plansForBudget(facts: BudgetFacts): BudgetedPlans {
  const { linearOnly, byClock } = facts;
  const left = trainingSeconds(facts);
  const plans: TrainingSchedule[] = [];
  const leftOut: string[] = [];
  const tooWide: string[] = [];
  for (const plan of plansFor(facts)) {
    const { name, share, stepsMin, stepsMax, init, optional = false, settings, queries } = plan;
    const { untilFlat = false } = plan;
    const { encoder = 'linear' } = settings;
    if (linearOnly && encoder !== 'linear') continue;
    if (encoder !== 'linear' && firstLayerBytes(encoder, facts) > 4 * FIRST_WEIGHTS_MAX) {
      tooWide.push(name);
      continue;
    }
    const defaults = { ...defaultSettings(settings.loss), ...settings };
    const seconds = stepSeconds(defaults, facts);
    const affordable = Math.floor((left * share) / seconds);
    if (optional && affordable < stepsMin && !byClock) {
      leftOut.push(name);
      continue;
    }
    const steps = byClock ? stepsMax : Math.max(stepsMin, Math.min(stepsMax, affordable));
    const timed = { share, stepSeconds: seconds, stepsMin: optional ? stepsMin : DEADLINE.stepsMin };
    const perplexity = perplexityFor(facts.pcaRecall);
    // For the dot product, outputs have no fixed length, so training needs another rate.
    const dot =
      facts.compactDistance === 'dot' && settings.loss === 'neighbourhood-kl' && encoder === 'linear';
    const rate = dot ? DOT_LEARNING_RATE : defaults.learningRate;
    const learningRate = rate * rateShare(encoder, facts);
    const planned = { ...settings, learningRate, perplexity, steps, epochs: null };
    plans.push({
      name,
      init,
      settings: planned,
      timed,
      ...(queries === undefined ? {} : { queries }),
      ...(byClock && untilFlat ? { untilFlat } : {}),
    });
  }
  return { plans, leftOut, tooWide };
}

/** Factor on the learning rate: below 1 for many dimensions (docs/research.md). */
function rateShare(encoder: string, { inputDim, directions }: BudgetFacts): number {
  const residual = encoder.startsWith('residual');
  return Math.min(1, residual && directions !== null ? RATE_DIRECTIONS / directions : RATE_DIM / inputDim);
}

/** The perplexity, which sets the width of the loss's neighbourhood: wider if PCA finds more of it. */
export function perplexityFor(pcaRecall: number): number {
  const { narrow, ratio, recallNarrow, recallRange } = PERPLEXITY;
  const share = Math.min(1, Math.max(0, (pcaRecall - recallNarrow) / recallRange));
  return Math.round(narrow * ratio ** share);
}

/** Plans the single training that explicit settings ask for. */
export function explicitPlan(
  settings: Partial<TrainSettings>,
  init: 'pca' | 'random' | undefined,
): TrainingSchedule {
  const { loss = 'neighbourhood-kl', encoder = 'linear' } = settings;
  const residual = encoder.startsWith('residual');
  const name = loss === 'barlow-twins' ? 'tldr' : residual ? 'neighbourhood-kl-residual' : 'neighbourhood-kl';
  const fromPca = loss === 'neighbourhood-kl' && (encoder === 'linear' || residual);
  return { name, settings, init: init ?? (fromPca ? 'pca' : 'random') };
}

/** The part of the budget for the steps of the first trainings. */
function trainingSeconds(facts: BudgetFacts): number {
  const { budgetSeconds, refitRows, fitQueries, inputDim, threads } = facts;
  // The second fit to more queries has the rows, and so the graph, of the first one.
  const again =
    refitRows === null || fitQueries > 0 ? 0 : graphSeconds({ rows: refitRows, inputDim, threads });
  const left = Math.max(
    budgetSeconds * COST.trainingShareMin,
    budgetSeconds - preparationSeconds(facts) - again,
  );
  if (refitRows === null) return left;
  return left / (1 + REFIT.stepsShare * longestShare(facts));
}

/** Share of the longest training that can be fitted again: of one candidate, or of both parts of a blend. */
function longestShare(facts: BudgetFacts): number {
  const plans = plansFor(facts);
  const parts = facts.aim === 'fidelity' ? null : blendParts(plans.map(({ name }) => name));
  const ofBlend = plans.filter(({ name }) => parts?.includes(name) === true);
  return Math.max(
    ...plans.map(({ share }) => share),
    ofBlend.reduce((sum, { share }) => sum + share, 0),
  );
}

/** Estimated time of the neighbour graph, in seconds at the nominal speed. */
function graphSeconds({
  rows,
  inputDim,
  threads,
}: Pick<BudgetFacts, 'rows' | 'inputDim' | 'threads'>): number {
  const compared = directionsFor(rows, inputDim) ?? inputDim;
  return (2 * rows * rows * compared) / (COST.flopsPerThread * threads);
}

/** Estimated time of the neighbour graph and of PCA, in seconds at the nominal speed. */
export function preparationSeconds(
  facts: Pick<BudgetFacts, 'rows' | 'inputDim' | 'threads'> & { readonly graphs?: number },
): number {
  const { rows, inputDim, threads, graphs = 1 } = facts;
  const moments = (4 * rows * inputDim * inputDim) / (COST.flopsPerThread * threads);
  const eigen = COST.eigenSeconds * Math.min(1, inputDim / DIRECTIONS.most) ** 3;
  return graphs * graphSeconds(facts) + moments + eigen + COST.startSeconds;
}

/** Estimated time of a step, forward and backward, in seconds at the nominal speed. */
function stepSeconds(settings: TrainSettings, facts: BudgetFacts): number {
  const { inputDim, outputDim, threads } = facts;
  const directions = facts.directions ?? inputDim;
  const batch = Math.min(settings.batchSize, facts.rows);
  const kl = settings.loss === 'neighbourhood-kl';
  const rows = kl ? batch : 2 * batch;
  const width = widthOf(settings.encoder);
  const read = settings.encoder.startsWith('residual') ? directions : inputDim;
  const encoder = rows * (2 * (read * width + inputDim * outputDim) + 3 * width * outputDim);
  const projector = widthOf(settings.projector);
  const loss = kl
    ? batch * batch * (directions + 3 * outputDim)
    : 3 * (rows * projector * (outputDim + projector) + batch * projector * projector);
  const elements = kl ? COST.softmaxPasses * batch * batch : 0;
  return (
    (2 * (encoder + loss)) / (COST.flopsPerThread * threads) + elements / (COST.elementsPerThread * threads)
  );
}
