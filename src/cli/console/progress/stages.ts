/** A part of a command's work, for the line that says how far the whole command is. */
export interface CommandStage {
  /** The names of the steps that belong to it, as `Progress` gives them. */
  readonly steps: RegExp;
  /** Its usual share of the command's time, in any unit. */
  readonly weight: number;
}

/** The stages of a command, in their order. */
export interface CommandStages {
  readonly stages: readonly CommandStage[];
  /** Expected time of all stages together; null if only the work itself shows how long it takes. */
  readonly seconds: number | null;
  /** Present if the command runs as a step of another one: the line then counts the steps of that one. */
  readonly within?: {
    /** From 1. */
    readonly step: number;
    readonly of: number;
    /** Expected time of the steps after this one; null if nothing tells. */
    readonly secondsAfter: number | null;
  };
}

const READ: CommandStage = { steps: /^(sampling|reading( labels)?|looking for labels)$/, weight: 1 };
const AXES: CommandStage = { steps: /axes$/, weight: 2 };
const NEIGHBOURS: CommandStage = {
  steps: /^(exact neighbours|neighbour graph|judging|searching .*)$/,
  weight: 8,
};
const TRAINING: CommandStage = { steps: /^training/, weight: 40 };
const CHOICE: CommandStage = { steps: /^(exact neighbours|judging|projecting.*|searching .*)$/, weight: 6 };

/** Training takes its budget, and about a tenth more to read and to choose. */
const TRAIN_SECONDS_PER_BUDGET = 1.1;

/** Returns the stages of `train`. @param budgetSeconds null if settings decide how long it takes */
export function trainStages(budgetSeconds: number | null): CommandStages {
  return {
    stages: [READ, AXES, NEIGHBOURS, TRAINING, CHOICE],
    seconds: budgetSeconds === null ? null : budgetSeconds * TRAIN_SECONDS_PER_BUDGET,
  };
}

/** Returns the stages of `plan`, which trains several encoders one after the other. */
export function planStages(): CommandStages {
  return {
    stages: [
      READ,
      {
        steps: /^(training|.* axes$|exact neighbours|neighbour graph|judging|projecting|searching )/,
        weight: 40,
      },
      { steps: /^filling the scratch collection$/, weight: 4 },
      { steps: /^indexing$/, weight: 4 },
      { steps: /^measuring/, weight: 12 },
    ],
    seconds: null,
  };
}

/** The stages of a copy that is verified. */
export const COPY_STAGES: CommandStages = {
  stages: [
    { steps: /^(copying|repairing)$/, weight: 4 },
    { steps: /^(indexing|waiting for the proxy)$/, weight: 1 },
    { steps: /^(verifying|repairing)$/, weight: 3 },
  ],
  seconds: null,
};

/** The stages of a comparison of two collections. */
export const COMPARISON_STAGES: CommandStages = {
  stages: [
    READ,
    { steps: /^(reading for exact search|exact search)$/, weight: 3 },
    { steps: /^searching/, weight: 8 },
  ],
  seconds: null,
};
