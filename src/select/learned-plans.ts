import type { Distance } from '../core/distance.js';
import { defaultSettings, type LossName, type TrainSettings } from '../train/train-options.js';

/** One training to be run: a candidate's name and how its settings differ from the loss's defaults. */
export interface LearnedPlan {
  readonly name: string;
  readonly rank: number;
  readonly settings: Partial<TrainSettings>;
  readonly init: Start;
}

/** Where a linear map or a residual encoder's linear part starts: PCA, chance, or the linear candidate. */
export type Start = 'pca' | 'random' | 'neighbourhood-kl';

const RANKS: Readonly<Record<string, number>> = {
  'neighbourhood-kl': 6,
  tldr: 7,
  'neighbourhood-kl-residual': 8,
};

/**
 * A share of the arithmetic speed of ordinary two-core machines that a whole step reaches, in operations per
 * second and thread. Steps are planned from it, not from the clock, so that the same seed gives the same weights.
 */
const NOMINAL_FLOPS = 40e9;
/** Element-wise passes over a batch's similarity matrices in one step, and what one value costs. */
const SOFTMAX_PASSES = 20;
const NOMINAL_ELEMENTS = 1e9;

const RESIDUAL_WIDTH = 1024;
const DOT_LEARNING_RATE = 0.003;

/** How a time budget is divided, and where more steps stop helping (docs/research.md). */
const AUTO: readonly {
  readonly name: string;
  readonly share: number;
  readonly stepsMin: number;
  readonly stepsMax: number;
  readonly init: Start;
  readonly settings: Partial<TrainSettings> & { readonly loss: LossName };
}[] = [
  {
    name: 'neighbourhood-kl',
    share: 0.2,
    stepsMin: 100,
    stepsMax: 500,
    init: 'pca',
    settings: { loss: 'neighbourhood-kl' },
  },
  {
    name: 'neighbourhood-kl-residual',
    share: 0.65,
    stepsMin: 200,
    stepsMax: 3000,
    init: 'neighbourhood-kl',
    settings: { loss: 'neighbourhood-kl', encoder: `residual-${RESIDUAL_WIDTH}`, learningRate: 0.003 },
  },
  {
    name: 'tldr',
    share: 0.15,
    stepsMin: 50,
    stepsMax: 400,
    init: 'pca',
    settings: {
      loss: 'barlow-twins',
      projector: 'mlp-1-512',
      optimizer: 'adam',
      learningRate: 0.001,
      batchSize: 512,
    },
  },
];

export interface BudgetFacts {
  readonly rows: number;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly threads: number;
  readonly budgetSeconds: number;
  /** Dot products of vectors of different lengths need a linear map without bias. */
  readonly linearOnly: boolean;
  /** Distance of the compact space that the maps are trained for. */
  readonly compactDistance: Distance;
  /** Recall@10 of uncentred PCA on the selection's queries. */
  readonly pcaRecall: number;
}

/** The learned candidates of `auto`, their steps cut to the time budget. */
export function plansForBudget(facts: BudgetFacts): LearnedPlan[] {
  const { budgetSeconds, linearOnly } = facts;
  const left = Math.max(budgetSeconds * 0.2, budgetSeconds - preparationSeconds(facts));
  return AUTO.filter(({ name }) => !linearOnly || name !== 'neighbourhood-kl-residual').map((auto) => {
    // Unscaled outputs take a smaller rate (docs/research.md).
    const rate =
      facts.compactDistance === 'dot' && auto.name === 'neighbourhood-kl'
        ? { learningRate: DOT_LEARNING_RATE }
        : {};
    const seconds = stepSeconds({ ...defaultSettings(auto.settings.loss), ...auto.settings }, facts);
    const affordable = Math.floor((left * auto.share) / seconds);
    const steps = Math.max(auto.stepsMin, Math.min(auto.stepsMax, affordable));
    return {
      name: auto.name,
      rank: RANKS[auto.name] ?? 9,
      init: auto.init,
      settings: {
        ...auto.settings,
        ...rate,
        perplexity: perplexityFor(facts.pcaRecall),
        steps,
        epochs: null,
      },
    };
  });
}

/**
 * How wide a neighbourhood the loss looks at: 5 where PCA finds about half of the nearest, up to 50 where it finds
 * four fifths. The closer the start, the less the nearest few leave to learn (docs/research.md).
 */
function perplexityFor(pcaRecall: number): number {
  const share = Math.min(1, Math.max(0, (pcaRecall - 0.55) / 0.25));
  return Math.round(5 * 10 ** share);
}

/** The one training asked for by explicit settings. */
export function explicitPlan(
  settings: Partial<TrainSettings>,
  init: 'pca' | 'random' | undefined,
): LearnedPlan {
  const { loss = 'neighbourhood-kl', encoder = 'linear' } = settings;
  const residual = encoder.startsWith('residual');
  const name = loss === 'barlow-twins' ? 'tldr' : residual ? 'neighbourhood-kl-residual' : 'neighbourhood-kl';
  const fromPca = loss === 'neighbourhood-kl' && (encoder === 'linear' || residual);
  return { name, rank: RANKS[name] ?? 9, settings, init: init ?? (fromPca ? 'pca' : 'random') };
}

/** Neighbours and PCA, nominally. */
function preparationSeconds({ rows, inputDim, threads }: BudgetFacts): number {
  const products = 2 * rows * rows * inputDim + 4 * rows * inputDim * inputDim;
  return products / (NOMINAL_FLOPS * threads) + 5;
}

/** Floating-point work of one step, forward and backward, at the nominal speed. */
function stepSeconds(settings: TrainSettings, facts: BudgetFacts): number {
  const { inputDim, outputDim, threads } = facts;
  const batch = Math.min(settings.batchSize, facts.rows);
  const kl = settings.loss === 'neighbourhood-kl';
  const rows = kl ? batch : 2 * batch;
  const width = Number(/-(\d+)$/.exec(settings.encoder)?.[1] ?? 0);
  const encoder = rows * (2 * inputDim * (width + outputDim) + 3 * width * outputDim);
  const projector = Number(/-(\d+)$/.exec(settings.projector)?.[1] ?? 0);
  const loss = kl
    ? batch * batch * (inputDim + 3 * outputDim)
    : 3 * (rows * projector * (outputDim + projector) + batch * projector * projector);
  const elements = kl ? SOFTMAX_PASSES * batch * batch : 0;
  return (2 * (encoder + loss)) / (NOMINAL_FLOPS * threads) + elements / (NOMINAL_ELEMENTS * threads);
}
