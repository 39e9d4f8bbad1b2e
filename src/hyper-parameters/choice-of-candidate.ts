/**
 * Every number that decides which candidate is shipped: held-out rows, and when one candidate counts as better. Its
 * sources are named as in fit-of-candidates.ts.
 */

/** How a sample is split. Source: docs/benchmarks/research.md (held-out rows), or chosen. */
export const SPLIT = {
  // If a quarter of a small sample is held out, the encoders lose up to .8 points.
  heldOutShare: 0.15,
  // 1,000 queries give an interval of two points (docs/benchmarks/defaults.md). Chosen.
  heldOutMax: 1500,
  // Fewest held-out rows, or real queries, with which candidates are scored. Chosen.
  heldOutMin: 15,
  // Part of the scoring queries that confirms the choice and has no part in it. Chosen.
  confirmShare: 1 / 3,
  // Part of real queries that fits LeanVec-Sphering; larger if more than `heldOutMax` would be left. Chosen.
  fitShare: 1 / 3,
  // Fewer queries add nothing to the points: 50 need .9 of them (docs/benchmarks/query-encoder.md).
  fitMin: 30,
  // Fewest distinct rows with which training is possible. Chosen.
  sampleRowsMin: 100,
} as const;

/**
 * Groups of the sample that no encoder is fitted to: they stand for vectors of a kind that was not there yet.
 * Chosen, if a line names no other source.
 */
export const UNSEEN = {
  // Clusters of the sample, so that a group is about a fiftieth of it.
  groups: 50,
  // Rows that the clusters are found with, and rounds of k-means: groups need not be exact.
  fittedRowsMax: 5_000,
  iterations: 8,
  // Part of the sample that the groups hold together.
  share: 0.1,
  // With fewer rows, the groups would hold too few to judge by.
  rowsMin: 2_000,
  heldMin: 100,
  // Rows of the groups that are queries: at most this many, and at most half.
  queriesMax: 500,
  // The shipped candidate finds at most this much less than PCA in these groups.
  belowPcaMax: 0.005,
} as const;

/** Rotations of a compact space whose vectors are stored as codes. Chosen. */
export const ROTATIONS = {
  // Rotations of the chosen candidate that are compared with it as it is.
  tried: 4,
  // Rows that are searched, and queries, where a plan chooses a rotation.
  rowsMax: 5_000,
  queriesMax: 300,
} as const;

/** The second fit of the chosen candidate, to all rows. Chosen, if a line names no other source. */
export const REFIT = {
  // Its steps, as a share of those of the first training.
  stepsShare: 1 / 3,
  // Rows that are left out: at most this many of the confirmation queries. They guard against a worse fit.
  keptMax: 200,
  // It is shipped if it finds at most this much less of their neighbours than the first fit; after `from`, no less.
  lossMax: 0.005,
} as const;

/**
 * Another compact distance than the one that a candidate was fitted for must find at least this much more, by
 * more than chance. In held-out sources, dot products lost up to 5 points that they had won by a tenth of one
 * elsewhere. Source: docs/benchmarks/research.md.
 */
export const DISTANCE_MARGIN = 0.01;

/**
 * If two means differ by at most this (0.1 points), it is a tie and the cheaper one wins. Source:
 * docs/research.md.
 */
export const TIE_MARGIN = 0.001;

/** The summary of the sample that an encoder file carries. Chosen. */
export const SUMMARY = {
  // More centres tell unseen groups better; each is outputDim bytes of the file.
  centresMax: 1024,
  bytesMax: 2 ** 16,
  // Fewer rows per centre would make every centre a row of the sample.
  rowsPerCentre: 8,
  iterations: 4,
  rowsMax: 10_000,
  // Rows that say how far the sample's own kind lies. With fewer, the limit is a guess.
  heldOutShare: 0.1,
  heldOutMax: 2_000,
  heldOutMin: 20,
  // A vector is far if it lies farther than all but this share of the sample's own kind.
  farShare: 0.05,
} as const;

/** Labels that are measured beside the choice, and have no part in it. Chosen. */
export const MEASURED_LABELS = {
  // Labelled rows that are searched, and held-out rows that are their queries: the differences of 400 queries, on the
  // same queries, are good to about a point.
  rowsMax: 10_000,
  queriesMax: 1_000,
  // With fewer queries, a mean says nothing.
  queriesMin: 30,
  // Fields that were found to look like labels are reported if the first ten results of the full vectors agree with
  // them: 0 is chance, 1 full agreement. Page numbers and days of the week stay below.
  agreementDepth: 10,
  agreementMin: 0.1,
  guessedMax: 3,
  // Relevance is recommended from this lead over the shipped candidate, if it is also beyond chance.
  leadMin: 0.01,
} as const;
