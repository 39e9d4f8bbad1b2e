/** How a time budget is kept where the clock decides. Chosen, if a line names no source. */
export const DEADLINE = {
  // Default budget: what trainings planned for two minutes took for a full sample. Source: docs/benchmarks/training.md.
  seconds: 240,
  // Start and end of a training (worker thread, engine, folded weights), in seconds, until one has been measured.
  startSeconds: 0.5,
  // A training that would have fewer steps than this is left out.
  stepsMin: 10,
  // Until steps were timed, no training is left out for a speed below this part of the nominal one: the load of other
  // programs can make one measurement many times too slow. Chosen.
  guessedSlownessMax: 8,
  // All that is not training may take this part of the budget; otherwise fewer rows are used.
  preparationShareMax: 1 / 2,
  // Starts of threads count as at most this part of that.
  startsShareMax: 1 / 2,
  // Worker threads that are started one after the other beside the trainings.
  threadStarts: 36,
  // Searches of all held-out queries: of 8 closed forms by three distances, of the others by one.
  searches: 32,
  // Time for each query and row of such a search, at the nominal speed.
  secondsPerPair: 1.3e-8,
  // Time to clean and to copy a value of the sample, at the nominal speed.
  secondsPerValue: 5e-7,
  // Fewest rows that a budget reduces a sample to: too few for unseen groups, whose clusters take many threads.
  rowsMin: 1_500,
  // Each reduction keeps this part of the rows.
  rowsFactor: Math.SQRT1_2,
  // Columns of the product that measures the speed, and its time at the nominal speed. A shorter one tells nothing on
  // a busy machine.
  measuredColumns: 1_024,
  measuredSeconds: 0.1,
  // Scores of all candidates keep at most this part of what is left before the trainings. Chosen.
  scoresShareMax: 1 / 4,
  // Part of the budget that is kept for the report and the file.
  endShare: 0.02,
  // The second fit is left out if it could have less than this part of its steps.
  secondFitShareMin: 0.25,
} as const;

/**
 * When a training by the clock stops before its time is up. Source, if a line names no other: docs/benchmarks/research.md
 * (when a training stops).
 */
export const CONVERGENCE = {
  // Parts of the schedule after which it is measured. Each stretch is as long as all before it.
  measuredAt: [1 / 8, 1 / 4, 1 / 2],
  // The last part of the schedule, in which the rate falls. After a stop it is as long beside the steps before it.
  decayShare: 1 / 3,
  // No stop before this many steps: in the first ones the full rate costs about what the training gains.
  stepsMin: 300,
  // A training is measured only if all measurements together take at most this part of its time. Chosen.
  measuringShareMax: 0.05,
  // The interval of a stretch must lie below this gain: too few queries tell nothing. At the peak rate, the gain also
  // looks smaller than it is in the end.
  gainMax: 0.0075,
} as const;
