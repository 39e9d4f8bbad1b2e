import type { Distance } from '../core/distance.js';
import type { RunOptions } from '../core/run.js';
import {
  bootstrapInterval,
  mean,
  recallOf,
  searchCompact,
  type Benchmark,
  type NeighborRecall,
} from '../evaluate/neighbor-recall.js';
import { multiplyAdds, type Candidate } from './candidate.js';

/** Means closer than this (0.1 points) are a tie: the cheaper and simpler candidate wins it. */
const TIE_MARGIN = 0.001;

/** What selection maximises: one value per held-out query, larger is better. */
export type Objective = (found: Int32Array, recall: NeighborRecall) => Float64Array;

/** Recall@10 against the full space. */
export const FIDELITY: Objective = (_found, recall) => recall.perQuery;

/** One candidate under one compact distance, and how it did. */
export interface Judged {
  readonly candidate: Candidate;
  readonly compactDistance: Distance;
  readonly recall: NeighborRecall;
  /** The objective's value of each query. */
  readonly scores: Float64Array;
  /** First results of every query: rows of the benchmark's base. */
  readonly found: Int32Array;
}

export interface JudgeOptions extends RunOptions {
  readonly objective: Objective;
  readonly seed: number;
  readonly threads?: number;
}

/** Judges every candidate under each of its distances; kept is the best distance of each. */
export async function judgeAll(
  benchmark: Benchmark,
  candidates: readonly Candidate[],
  options: JudgeOptions,
): Promise<Judged[]> {
  const judged: Judged[] = [];
  for (const [i, candidate] of candidates.entries()) {
    const { network, distances } = candidate;
    const found = await searchCompact(
      benchmark,
      { network, distances },
      { ...options, onProgress: undefined },
    );
    const all = distances.map((distance) =>
      judgeOne(benchmark, { candidate, distance, found: found.get(distance) ?? new Int32Array(0) }, options),
    );
    const [first, ...others] = all;
    if (first === undefined) continue;
    // A distance other than the one a candidate was made for must be better by more than a tie.
    judged.push(
      others.reduce((best, one) => (mean(one.scores) > mean(best.scores) + TIE_MARGIN ? one : best), first),
    );
    options.onProgress?.({ step: 'judging', done: i + 1, total: candidates.length, unit: 'candidates' });
  }
  return judged;
}

function judgeOne(
  benchmark: Benchmark,
  { candidate, distance, found }: { candidate: Candidate; distance: Distance; found: Int32Array },
  { objective, seed }: JudgeOptions,
): Judged {
  const recall = recallOf(benchmark, found, seed);
  return { candidate, compactDistance: distance, recall, scores: objective(found, recall), found };
}

/** The best by its mean; among ties the one with fewer multiplications per vector, then the simpler. */
export function choose(judged: readonly Judged[]): Judged | undefined {
  const best = Math.max(...judged.map(({ scores }) => mean(scores)));
  const [winner] = judged
    .filter(({ scores }) => mean(scores) >= best - TIE_MARGIN)
    .sort(
      (a, b) =>
        multiplyAdds(a.candidate.network) - multiplyAdds(b.candidate.network) ||
        a.candidate.rank - b.candidate.rank,
    );
  return winner;
}

/** 95 % bootstrap interval of the mean difference a - b over the same queries. */
export function pairedInterval(a: Float64Array, b: Float64Array, seed: number): readonly [number, number] {
  return bootstrapInterval(
    a.map((value, i) => value - (b[i] ?? 0)),
    seed,
  );
}
