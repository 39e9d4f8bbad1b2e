/**
 * Every number that decides how candidates are fitted, with its reason and its source; those of the choice between
 * them are in choice-of-candidate.ts. The numbers that decide nothing about the encoder stay where they are used: limits of
 * memory, sizes of blocks, and bounds of rounding errors.
 *
 * Sources:
 *
 * - TLDR: Kalantidis, Lassance, Almazán, Larlus, "TLDR: Twin Learning for Dimensionality Reduction", 2022,
 *   and its public implementation ("TLDR's code").
 * - Barlow Twins: Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy
 *   Reduction", 2021.
 * - A page of docs: our own measurement. The page names the command that repeats it.
 * - "Chosen": nobody measured it for this product. It is a convention, or a bound that is rarely reached.
 */

// TLDR as published

/** The peak learning rate for `PAIRS_PER_RATE` pairs; it grows with the batch. Source: Barlow Twins, 2.2. */
export const PUBLISHED_RATE = 0.2;
/** The batch size that `PUBLISHED_RATE` is for. Source: Barlow Twins, 2.2. */
export const PAIRS_PER_RATE = 256;
/** Epochs in which the rate rises: a full rate from the start diverges. Source: Barlow Twins, 2.2. */
export const PUBLISHED_WARM_UP_EPOCHS = 10;

const PUBLISHED_BATCH = 1024;
const PUBLISHED_EPOCHS = 100;

/** TLDR's reference settings, for comparison. Here they lose to PCA (docs/benchmarks/tldr.md). */
export const PUBLISHED_TLDR = {
  loss: 'barlow-twins',
  encoder: 'linear',
  // A wide projector keeps the loss from merely whitening. Source: TLDR's code.
  projector: 'mlp-1-2048',
  optimizer: 'lars',
  learningRate: (PUBLISHED_RATE * PUBLISHED_BATCH) / PAIRS_PER_RATE,
  warmUpShare: PUBLISHED_WARM_UP_EPOCHS / PUBLISHED_EPOCHS,
  // The rate falls along a cosine by a factor of 1,000. Source: Barlow Twins, 2.2.
  learningRateFloor: 0.001,
  // Source: TLDR's code.
  epochs: PUBLISHED_EPOCHS,
  steps: null,
  // Source: TLDR's code.
  batchSize: PUBLISHED_BATCH,
  // TLDR found the result to depend little on k; so did we (docs/benchmarks/tldr.md). Source: TLDR's code.
  nNeighbors: 5,
  // The loss compares pairs. Source: TLDR.
  neighborsPerAnchor: 1,
  // Weight of decorrelation. Source: TLDR's code (Barlow Twins has .005).
  lambda: 3.9e-3,
  // Keeps the loss, and so the step, at the size that the published rate is for. Source: TLDR's code.
  lossScale: 1 / 32,
  // Not used by this loss.
  perplexity: 5,
} as const;

/** LARS. Source: TLDR's code. */
export const LARS = {
  // The usual momentum. Source: You, Gitman, Ginsburg 2017.
  momentum: 0.9,
  // The share of a layer's norm that a step may change. Source: You, Gitman, Ginsburg 2017.
  eta: 0.001,
  // Nearly none: the encoder is small for the sample. Source: TLDR's code (Barlow Twins has 1.5e-6).
  weightDecay: 1e-6,
} as const;

// Neighbourhood-KL

/** The defaults of neighbourhood-kl. Source, if a line names no other: docs/benchmarks/defaults.md. */
export const NEIGHBORHOOD_KL = {
  loss: 'neighbourhood-kl',
  // The loss compares encoded rows directly.
  projector: 'none',
  optimizer: 'adam',
  // .003 gives the same recall.
  learningRate: 0.01,
  // A short rise: Adam's first steps have no mean of the gradients yet. Chosen.
  warmUpShare: 0.05,
  epochs: null,
  // 1,500 steps gain nothing over 500.
  steps: 500,
  // Half the batch loses .002, twice the batch is within .003 (docs/benchmarks/research.md).
  batchSize: 1280,
  // The setting that matters most: 100 instead of 10 neighbours gain two points.
  nNeighbors: 100,
  // 20 and 30 per anchor lose up to .005, whole neighbourhoods 3 points (docs/benchmarks/research.md).
  neighborsPerAnchor: 10,
  // Best if PCA finds about half of the neighbours. For the planned trainings see `PERPLEXITY`.
  perplexity: 5,
} as const;

/**
 * The perplexity of planned trainings. It grows from `narrow` to `narrow * ratio` with the recall of PCA: the
 * better the start, the less there is to learn from the nearest few. Source: docs/benchmarks/research.md.
 */
export const PERPLEXITY = {
  // Best at 384 -> 24, where PCA finds about half: .757 against .732 with 50.
  narrow: 5,
  // 50 is best at 512 -> 64, where PCA finds about four fifths: .843 against .831 with 5.
  ratio: 10,
  // Up to this recall@10 of PCA, `narrow`.
  recallNarrow: 0.55,
  // From `recallNarrow` plus this, the widest.
  recallRange: 0.25,
} as const;

/**
 * How the softmax temperature is found for a perplexity. Hinton and Roweis 2002 set the width of a
 * neighbourhood by its perplexity, van der Maaten and Hinton 2008 find it by bisection. The numbers are
 * chosen: they cost less than one training step.
 */
export const TEMPERATURE = {
  // Rows whose mean entropy is measured.
  anchors: 128,
  // Rows that they are compared with: somewhat more than a batch.
  candidates: 2048,
  // Each step halves an interval of 16 in the logarithm, so 24 leave an error of 1e-6.
  bisectionSteps: 24,
  // No distribution over several rows is narrower than this in a useful way.
  perplexityMin: 1.5,
  // If all similarities are equal, the interval must not be empty.
  spreadMin: 1e-12,
  // The interval in which the temperature is sought, as shares of the spread of the similarities.
  lowest: 1e-5,
  highest: 1e2,
} as const;

/** Adam. Source, if a line names no other: the defaults of Kingma and Ba 2015. */
export const ADAM = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  // Decoupled decay of the hidden layer only, which otherwise learns the sample by heart: .831 against .827
  // (docs/benchmarks/research.md).
  hiddenDecay: 1,
} as const;

/** The rate of the linear encoder for the dot product, whose outputs have no fixed length. Chosen. */
export const DOT_LEARNING_RATE = 0.003;

/**
 * Rates are for up to this many dimensions. Beyond it, they fall in proportion: the entries of an orthonormal
 * start shrink, and Adam's steps do not. Source: docs/benchmarks/research.md (beyond 1,536 dimensions).
 */
export const RATE_DIM = 1536;
/** The same limit for a hidden layer that reads directions. Source: docs/benchmarks/research.md. */
export const RATE_DIRECTIONS = 256;

// The residual encoder

/** The hidden layer beside the linear map. Source: docs/benchmarks/research.md. */
export const RESIDUAL = {
  // 1,024 units: 512 and 2,048 find .8376 and .8393 against .8412 at 512 -> 64.
  encoder: 'residual-1024',
  // Twice the rate loses .004 (512 -> 64), half of it up to .009 (384 -> 48).
  learningRate: 0.003,
  // First weights, as a share of unit activations. With unit activations the layer stays random (.704 against
  // .735).
  hiddenScale: 0.2,
} as const;

// TLDR within a time budget

/** TLDR as a candidate. Source: docs/benchmarks/tldr.md. */
export const BUDGET_TLDR = {
  loss: 'barlow-twins',
  // A projector of 2,048 units costs 12 times as much and gains .02.
  projector: 'mlp-1-512',
  // Adam finds more than LARS from random weights (.373 against .359) and from PCA (.570 against .550).
  optimizer: 'adam',
  // From random weights.
  learningRate: 0.001,
  // More steps in the same time than with 1,024. Chosen.
  batchSize: 512,
} as const;
/** The rate of TLDR from PCA: .570 against .532 with .001. Source: docs/benchmarks/tldr.md. */
export const TLDR_FROM_PCA_RATE = 0.0001;
/** The hidden width is that of the projector. Chosen; both encoders are TLDR's. */
export const TLDR_FLINEAR = 'flinear-1-512';
export const TLDR_MLP = 'mlp-1-512';

/** TLDR as a candidate for relevance, where it is ahead of the full vectors. Source: docs/relevance.md. */
export const RELEVANCE_TLDR = {
  ...BUDGET_TLDR,
  // Twice as wide as for fidelity: .498 against .490 with 768 (mAP@100, 384 -> 48).
  projector: 'mlp-1-1024',
} as const;
/** As wide as the projector. Chosen. */
export const RELEVANCE_FLINEAR = 'flinear-1-1024';
/** As wide as the projector. Chosen. */
export const RELEVANCE_MLP = 'mlp-1-1024';

// The time budget

/**
 * Default budget of the learned candidates of `train`, in seconds: the shipped encoder was then the best in
 * all cases. Source: docs/benchmarks/research.md (how far the shipped candidate is below the best).
 */
export const BUDGET_SECONDS = 120;
/** Default budget of `plan` for all sizes together, in seconds: it trains four. Chosen. */
export const PLAN_BUDGET_SECONDS = 240;
/** Default sample of `train`: more rows help learned encoders, not PCA (docs/benchmarks/research.md). */
export const SAMPLE_POINTS = 50_000;

/**
 * Shares of the budget and bounds of the steps, by candidate. `stepsMax` is where more steps stop to help, or
 * a bound for very large budgets.
 */
export const SCHEDULES = {
  linear: {
    // The linear map is done after 150 steps (docs/research.md, steps).
    share: 0.1,
    stepsMin: 100,
    // 1,500 steps gain nothing over 500 (docs/benchmarks/defaults.md).
    stepsMax: 500,
  },
  residual: {
    // It gains most from more steps (docs/benchmarks/research.md, steps of the residual encoder).
    share: 0.78,
    // 200 steps gain 2.4 of the 4.4 points that 1,500 gain.
    stepsMin: 200,
    // Twice the longest run that was measured. Chosen.
    stepsMax: 3000,
  },
  tldr: {
    // It does not pass PCA (docs/benchmarks/tldr.md), but it is another kind of encoder, for labels. Chosen.
    share: 0.05,
    stepsMin: 50,
    stepsMax: 400,
  },
  // TLDR's other two encoders. Chosen.
  tldrLayered: { share: 0.035, stepsMin: 50, stepsMax: 400 },
} as const;

/**
 * The same for relevance: TLDR gets the time that neighbourhood-KL gets for fidelity. Source: docs/relevance.md, if a
 * line names no other.
 */
export const RELEVANCE_SCHEDULES = {
  linear: SCHEDULES.linear,
  // It finds single right answers nearly as well as the linear map does.
  residual: { share: 0.15, stepsMin: 100, stepsMax: 1000 },
  // From PCA it is best at single right answers. 900 steps gain nothing over 300.
  tldr: { share: 0.2, stepsMin: 50, stepsMax: 400 },
  tldrFlinear: { share: 0.1, stepsMin: 50, stepsMax: 400 },
  // It gathers labels best.
  tldrMlp: { share: 0.45, stepsMin: 50, stepsMax: 400 },
} as const;

/** Queries among the rows of a training (`--queries`). Source, if a line names no other: docs/benchmarks/query-encoder.md. */
export const QUERY_ROWS = {
  // Part of a batch's anchors that are queries. Half of them finds the same (.755 at 512 -> 64).
  anchorShare: 0.9,
  // Most queries. They are held beside the sample, and their neighbours are found by comparing all pairs. Chosen.
  rowsMax: 10_000,
} as const;

/**
 * Shares of the budget of the candidates that are fitted to queries; the others share the rest. Half of the time is for
 * what queries of another kind gain from, half for the case that they are like the points. Chosen.
 */
export const QUERY_SCHEDULES = {
  linear: { ...SCHEDULES.linear, share: 0.1 },
  residual: { ...SCHEDULES.residual, share: 0.4 },
  // TLDR keeps most of the time.
  relevanceResidual: { ...SCHEDULES.residual, share: 0.1 },
} as const;

/**
 * The cost model that turns seconds into steps. It takes the place of a clock, so that the same seed gives
 * the same weights on every machine.
 */
export const COST = {
  // Operations per second and thread: 100 Gflop/s on two threads, which cloud machines reach
  // (docs/research.md, steps).
  flopsPerThread: 50e9,
  // Element-wise passes over the similarity matrices of a batch, forward and backward. Chosen, with the next,
  // to fit timed steps.
  softmaxPasses: 16,
  // Values per second and thread of such a pass.
  elementsPerThread: 1.25e9,
  // The eigensolver for `DIRECTIONS.most` directions, in seconds. Chosen to fit timed runs.
  eigenSeconds: 4,
  // Start of workers and engines, in seconds. Chosen to fit timed runs.
  startSeconds: 5,
  // At least this share of the budget is for steps, however long the preparation takes. Chosen.
  trainingShareMin: 0.2,
} as const;

/**
 * Most weights in a candidate's first layer, because training and scoring hold several copies. Up to 4,096
 * dimensions, no candidate reaches it. Chosen.
 */
export const FIRST_WEIGHTS_MAX = 40e6;

// Principal directions and the neighbour graph

/** Directions in place of all dimensions. Source, if a line names no other: docs/research.md. */
export const DIRECTIONS = {
  // Along 128 to 192 directions, rows find about .96 of their 100 nearest; fewer find less.
  fewest: 192,
  // More directions cost more time than they save, because ml-matrix's eigensolver runs in JavaScript.
  // Chosen.
  most: 512,
  // Training uses as many as hold this share of the variance about the mean. Fewer lose.
  varianceShare: 0.96,
  // If `most` directions hold less than this, training uses the rows themselves. Chosen.
  varianceShareMin: 0.9,
  // Iterations of the eigensolver. Directions only need to hold the variance, so they may be approximate.
  // Chosen.
  iterations: 4,
} as const;

/** Which method finds the neighbours. The choice is for speed; exact search is preferred. */
export const NEIGHBORS = {
  // Most multiplications (n^2 D) for comparing all pairs natively: ten to twenty seconds on two cores.
  // Chosen.
  productsMax: 1e12,
  // Manhattan distances have no native product: all pairs of this many rows take about as long. Chosen.
  manhattanExactRowsMax: 10_000,
  // With more rows, even the fewest directions take minutes, and an HNSW index is faster. Chosen.
  reducedRowsMax: 200_000,
  // Below this measured recall an exact search replaces the graph. With .94, TLDR loses less than a point
  // (docs/benchmarks/tldr.md, approximate neighbours).
  recallMin: 0.9,
  // Rows by which that recall is measured. Chosen.
  recallQueries: 200,
} as const;

/** The HNSW index (Malkov and Yashunin 2018) for more rows than exact search can compare. */
export const HNSW = {
  // Links per node: within the range of 5 to 48 that the paper recommends. Chosen.
  m: 16,
  // Length of the list while building. Chosen: each run measures the recall that it gives.
  efConstruction: 100,
  // The search list must be longer than the k that it returns. Chosen.
  efSearchMin: 64,
  efSearchPerNeighbor: 1.5,
  // Each shard is searched for all rows, so more shards cost more searches. Chosen.
  shardsMax: 4,
  // An index over fewer rows gains nothing from a split. Chosen.
  shardRowsMin: 2_000,
} as const;

// Closed forms

/**
 * Exponents of tempered PCA, between PCA (0) and whitening (1). At small sizes they find more than PCA (.6214
 * against .6141 at 1536 -> 32). Source: docs/benchmarks/quality.md.
 */
export const TEMPERING_EXPONENTS = [0.25, 0.5] as const;
/** Eigenvalues are raised to this share of the largest, so that tempering does not amplify noise. Chosen. */
export const EIGENVALUE_FLOOR = 1e-6;

/**
 * Weight of the points' moment in LeanVec-Sphering (Tepper et al. 2024): it counts as that many queries per
 * dimension. Source: docs/benchmarks/query-encoder.md.
 */
export const SPHERING_PRIORS = {
  // The best shares of 50 to 584 queries are near D / (D + queries).
  near: 1,
  // For queries that lie much further away from the points.
  far: 0.1,
} as const;
/** Smallest ridge, as a share of the diagonal's mean: some directions have no variance. Chosen. */
export const SPHERING_RIDGE_MIN = 1e-6;

/** The eigensolver: block subspace iteration (Saad 2011; Halko, Martinsson, Tropp 2011). Chosen. */
export const EIGENSOLVER = {
  // Up to this size, ml-matrix's full decomposition is fast enough.
  fullSizeMax: 300,
  // Columns beyond the requested ones, which speed up convergence. Halko et al. recommend 5 to 10 at least.
  oversampling: 16,
  iterationsMax: 80,
  // The iteration ends when the captured variance grows by less than this share.
  tolerance: 1e-7,
} as const;

/**
 * The basis of the rows of vectors with very many dimensions. Chosen: recall of PCA on real vectors is the
 * same along it.
 */
export const WIDE_ROWS = {
  // Up to this D, the second moment is held as D x D, which takes about 20 D^2 bytes.
  denseDimMax: 4096,
  // Columns of the basis: `DIRECTIONS.most`, and 16 more for exactness.
  columns: 528,
  // Columns beyond the requested axes; more of them make the axes more exact.
  oversampling: 16,
  iterationsMax: 6,
  tolerance: 1e-5,
} as const;

/** Training that goes on from an encoder: a part of the usual steps, at a part of the usual rate. Chosen. */
export const WARM_START = { stepsShare: 0.25, stepsMin: 50, rateShare: 0.5 } as const;
