/** How a plan keeps its budget where the clock decides. All chosen. */
export const PLAN_DEADLINE = {
  // Default budget of a whole plan, in seconds.
  seconds: 360,
  // Part of the budget for the trainings of all sizes.
  trainingShare: 0.55,
  // A size is left out if it would have less than this part of the time that the fastest one took.
  sizeShareMin: 0.8,
  // Rotations are tried, and the loss among unseen points is measured, as long as this part of the budget is left.
  rotationShareMin: 0.35,
  // Part of the time left for measuring in which the sample is written. Indexing takes several times as long.
  fillShareMax: 0.08,
  pointsMin: 500,
  // Part of the time left after writing for the indexes, where they are built one by one.
  indexShareMax: 0.7,
  // Part of the time left after indexing for the searches; the others show the trend.
  searchShare: 0.65,
  queriesMin: 20,
} as const;
