import { cpus } from 'node:os';
import { expectDefined } from '../core/errors.js';
import { shapeOf } from '../encoder/network.js';
import type { Distance } from '../core/distance.js';
import type { SampleFacts } from '../core/clean-and-split-sample.js';
import { bootstrapInterval, mean } from '../evaluate/ranking.js';
import type { TldrResult } from '../train/tldr.js';
import type { EngineReport } from '../train/engine/engine-report.js';
import type { LossName } from '../train/options.js';
import { multiplyAdds } from './candidate.js';
import type { RelevanceReport } from './measure-relevance.js';
import type { StoredReport } from './judge-stored.js';
import { pairedInterval, type Scored } from './score-candidates.js';
import type { TrainingSchedule } from './training-schedules.js';
import type { OldAndNew } from './warm-start.js';
import { VERSION } from '../encoder/package-version.js';

/** A candidate and its scores on the held-out queries. */
export interface CandidateReport {
  readonly name: string;
  readonly compactDistance: Distance;
  readonly recallAt10: number;
  readonly interval: readonly [number, number];
  readonly r10At30: number;
  readonly r10At100: number;
  /** Mean of the selection's objective: recall@10 for fidelity, otherwise a relevance metric. */
  readonly objective: number;
  /** The same figures on the confirmation queries, which had no part in the selection. */
  readonly confirmed: { readonly recallAt10: number; readonly objective: number };
  /** Recall@10 of queries from groups that nothing was fitted to; null if there are none. */
  readonly unseenRecallAt10: number | null;
  readonly seconds: number;
  readonly multiplyAdds: number;
}

/** How one learned candidate was trained, and by what. */
export interface LearnedReport extends EngineReport {
  readonly name: string;
  readonly loss: LossName;
  readonly steps: number;
  readonly secondsPerStep: number;
  readonly lastLoss: number | null;
  readonly tau: number | null;
  /**
   * Set if it ended before its time, since recall on the held-out queries no longer rose: the steps that were planned, and
   * what its last stretch gained (95 % interval).
   */
  readonly stopped: { readonly plannedSteps: number; readonly gain: readonly [number, number] } | null;
}

/** How the second fit of the chosen candidate went. */
export interface RefitReport {
  /** Rows of the second fit. */
  readonly rows: number;
  /** Queries of the second fit; 0 if the chosen candidate is not fitted to queries. */
  readonly fitQueries: number;
  /** Its training steps; 0 for a closed form. */
  readonly steps: number;
  readonly seconds: number;
  /** Queries that took no part in either fit, and the objective that both fits reach on them. */
  readonly queries: number;
  readonly before: number;
  readonly after: number;
  /** Whether the second fit is shipped. */
  readonly shipped: boolean;
}

/** How a time budget was kept that is a deadline. */
export interface TimeReport {
  readonly budgetSeconds: number;
  /** Seconds that the fit of all candidates took, with the choice and the second fit. */
  readonly seconds: number;
  /** Names of the candidates for which no time was left. */
  readonly leftOut: readonly string[];
  /** Distinct rows that were used. They are fewer than the sample has if more would have taken too long. */
  readonly sampleRows: number;
}

/** The scores of all candidates, and which was chosen. */
export interface TrainReport {
  readonly shipped: string;
  /** Name of the selection's objective. */
  readonly objective: string;
  readonly candidates: readonly CandidateReport[];
  /** The second fit of the shipped candidate, to all rows; null without one. Every other figure is of the first fit. */
  readonly refit: RefitReport | null;
  /** Why the first fit was not followed by a second one; null if it was, or if `refit` is false. */
  readonly notRefitted: string | null;
  /** 95 % interval of the shipped candidate's lead over the better PCA on the selection queries. */
  readonly leadOverPca: readonly [number, number] | null;
  /**
   * What the full vectors reach by the objective, and by how much the shipped candidate is ahead (95 % interval, same
   * queries); null for recall@10, of which they have 1 by definition.
   */
  readonly fullVectors: {
    readonly objective: number;
    readonly confirmed: number;
    readonly lead: readonly [number, number];
  } | null;
  /** What labels or judgements say that had no part in the choice; empty if there are none. */
  readonly relevance: readonly RelevanceReport[];
  /** How the shipped candidate fares as it will be stored; null if the form of storage was not given. */
  readonly stored: StoredReport | null;
  /** Distance of the shipped candidate to the best on the confirmation queries; 0 if it is the best. */
  readonly confirmedGap: number;
  /** Null if the seed alone, or settings of the caller's own, decided how long trainings were. */
  readonly time: TimeReport | null;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly trainRows: number;
  readonly heldOutQueries: number;
  readonly confirmQueries: number;
  /** Queries to which a candidate was fitted; they were not used for scoring. */
  readonly fitQueries: number;
  readonly sample: SampleFacts;
  readonly graph: { readonly method: string; readonly k: number; readonly recall: number } | null;
  readonly training: readonly LearnedReport[];
  /** The encoder that training went on from beside the new one; null without such an encoder. */
  readonly previous: readonly OldAndNew[] | null;
  readonly seed: number;
  readonly dataFingerprint: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly hardware: string;
}

/** A training that reached its last step. */
export interface Learned {
  readonly plan: TrainingSchedule;
  readonly loss: LossName;
  readonly result: TldrResult;
}

export interface ReportParts {
  readonly judged: readonly Scored[];
  /** The same candidates, in the same order, scored on the confirmation queries. */
  readonly confirmed: readonly Scored[];
  readonly winner: Scored;
  readonly refit: RefitReport | null;
  readonly notRefitted: string | null;
  /** The objective's values of the full vectors, for selection and confirmation; null for recall@10. */
  readonly full: readonly [Float64Array, Float64Array] | null;
  readonly relevance: readonly RelevanceReport[];
  /** How the winner fares as it will be stored; null if the form of storage was not given. */
  readonly stored: StoredReport | null;
  readonly objectiveName: string;
  readonly learned: readonly Learned[];
  readonly time: TimeReport | null;
  readonly inputDim: number;
  readonly trainRows: number;
  readonly fitQueries: number;
  readonly facts: SampleFacts;
  readonly previous: readonly OldAndNew[] | null;
  readonly fingerprint: string;
  readonly seed: number;
}

/** Creates the report of a training as plain data. */
export function trainReport(parts: ReportParts): TrainReport {
  const { judged, confirmed, winner, learned, facts, fingerprint, seed, inputDim, trainRows } = parts;
  const candidates = judged.map((one, i) =>
    candidateReport(one, expectDefined(confirmed[i], `the confirmation of ${one.candidate.name}`), seed),
  );
  const shipped = expectDefined(confirmed[judged.indexOf(winner)], 'the confirmation of the winner');
  const bestConfirmed = Math.max(...confirmed.map(({ scores }) => mean(scores)));
  const pca = judged
    .filter(({ candidate }) => candidate.name === 'pca' || candidate.name === 'pca-uncentred')
    .sort((a, b) => mean(b.scores) - mean(a.scores))[0];
  const graph = learned[0]?.result.graph;
  return {
    shipped: winner.candidate.name,
    objective: parts.objectiveName,
    candidates,
    refit: parts.refit,
    notRefitted: parts.notRefitted,
    leadOverPca: pca === undefined || pca === winner ? null : pairedInterval(winner.scores, pca.scores, seed),
    fullVectors: fullVectorsOf(parts),
    relevance: parts.relevance,
    stored: parts.stored,
    confirmedGap: bestConfirmed - mean(shipped.scores),
    time: parts.time,
    inputDim,
    outputDim: shapeOf(winner.candidate.network).outputDim,
    trainRows,
    heldOutQueries: winner.scores.length,
    confirmQueries: shipped.scores.length,
    fitQueries: parts.fitQueries,
    sample: facts,
    graph: graph === undefined ? null : { method: graph.method, k: graph.k, recall: graph.recall },
    training: learned.map(learnedReport),
    previous: parts.previous,
    seed,
    dataFingerprint: fingerprint,
    versions: { node: process.versions.node, 'qdrant-tldr': VERSION },
    hardware: `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores`,
  };
}

function fullVectorsOf({ full, winner, seed }: ReportParts): TrainReport['fullVectors'] {
  if (full === null) return null;
  const [selection, confirmation] = full;
  return {
    objective: mean(selection),
    confirmed: mean(confirmation),
    lead: pairedInterval(winner.scores, selection, seed),
  };
}

function candidateReport(one: Scored, confirmed: Scored, seed: number): CandidateReport {
  const { candidate, recall, scores, compactDistance, unseen } = one;
  return {
    name: candidate.name,
    compactDistance,
    recallAt10: recall.recallAt10,
    interval: bootstrapInterval(recall.perQuery, seed),
    r10At30: recall.r10At30,
    r10At100: recall.r10At100,
    objective: mean(scores),
    confirmed: {
      recallAt10: confirmed.recall.recallAt10,
      objective: mean(confirmed.scores),
    },
    unseenRecallAt10: unseen === null ? null : mean(unseen),
    seconds: candidate.seconds,
    multiplyAdds: multiplyAdds(candidate.network),
  };
}

function learnedReport({ plan, loss, result }: Learned): LearnedReport {
  const stop = result.state.limit?.steady?.stop;
  return {
    name: plan.name,
    loss,
    ...result.engine,
    steps: result.totalSteps,
    secondsPerStep: result.secondsPerStep,
    lastLoss: result.state.lossHistory.at(-1) ?? null,
    tau: result.tau,
    stopped: stop === undefined ? null : { plannedSteps: stop.plannedSteps, gain: stop.gain },
  };
}

/** Whether an interval of differences contains 0, so that neither of the two is clearly better. */
export function isWithinNoise([low, high]: readonly [number, number]): boolean {
  return low <= 0 && high >= 0;
}
