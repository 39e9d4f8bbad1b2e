import { expectDefined } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import type { RunOptions } from '../core/run-options.js';
import { TIE_MARGIN } from '../hyper-parameters/training.js';
import {
  FOUND_K,
  recallOf,
  searchCompact,
  type Benchmark,
  type NeighborRecall,
} from '../evaluate/neighbor-recall.js';
import { bootstrapInterval, mean } from '../evaluate/ranking.js';
import { multiplyAdds, type Candidate } from './candidate.js';

/** The objective of the selection: one value for each held-out query, larger is better. */
export type Objective = (found: Int32Array, recall: NeighborRecall, firstQuery: number) => Float64Array;

/** Recall@10 against the full space. */
export const FIDELITY: Objective = (_found, recall) => recall.perQuery;

/** A candidate under one compact distance, with its scores. */
export interface Scored {
  readonly candidate: Candidate;
  readonly compactDistance: Distance;
  readonly recall: NeighborRecall;
  /** The objective's value of each query. */
  readonly scores: Float64Array;
  /** First results of every query: rows of the benchmark's base. */
  readonly found: Int32Array;
}

export interface ScoreOptions extends RunOptions {
  readonly objective: Objective;
  /** Number of the benchmark's queries that choose a candidate; the others confirm the choice. */
  readonly selectionQueries: number;
  readonly seed: number;
  readonly threads?: number;
}

/**
 * Scores on both parts of the queries: the first chooses a candidate, the second only confirms the choice.
 */
export interface Judgement {
  readonly selection: readonly Scored[];
  /** The same candidates in the same order, each under the distance chosen for it. */
  readonly confirmation: readonly Scored[];
}

/**
 * Scores every candidate under each of its distances and keeps the best distance of each candidate.
 * @param benchmark its first queries are for selection, the others for confirmation
 */
export async function scoreCandidates(
  benchmark: Benchmark,
  candidates: readonly Candidate[],
  options: ScoreOptions,
): Promise<Judgement> {
  // Without the last normalisation, one projection serves all distances; cosine search normalises by itself.
  const unscaled = candidates.map(({ network, queryNetwork, distances }) => ({
    network: { ...network, normalizeOutput: false },
    queryNetwork: queryNetwork && { ...queryNetwork, normalizeOutput: false },
    distances,
  }));
  const results = await searchCompact(benchmark, unscaled, options);
  const selection: Scored[] = [];
  const confirmation: Scored[] = [];
  candidates.forEach((candidate, i) => {
    const all = candidate.distances.map((compactDistance, j) => {
      const found = expectDefined(results[i]?.[j], `the search result of ${candidate.name}`);
      return judgeParts(benchmark, { candidate, compactDistance, found }, options);
    });
    const [first, ...others] = all;
    if (first === undefined) return;
    // Another distance than the one for which the candidate was fitted must win by more than a tie.
    const best = others.reduce(
      (kept, one) => (mean(one[0].scores) > mean(kept[0].scores) + TIE_MARGIN ? one : kept),
      first,
    );
    selection.push(best[0]);
    confirmation.push(best[1]);
  });
  return { selection, confirmation };
}

function judgeParts(
  { truth, queries }: Benchmark,
  { candidate, compactDistance, found }: Pick<Scored, 'candidate' | 'compactDistance' | 'found'>,
  { objective, seed, selectionQueries }: ScoreOptions,
): [Scored, Scored] {
  const part = (from: number, to: number): Scored => {
    const k = truth.length / queries.rows;
    const mine = found.subarray(from * FOUND_K, to * FOUND_K);
    const recall = recallOf({ truth: truth.subarray(from * k, to * k) }, mine, seed);
    return { candidate, compactDistance, recall, scores: objective(mine, recall, from), found: mine };
  };
  return [part(0, selectionQueries), part(selectionQueries, queries.rows)];
}

/**
 * Chooses the candidate with the best mean. If candidates tie, the one with fewer multiplications per vector
 * wins. If these are equal, a candidate without a separate network for queries wins, and then the one with
 * the higher mean.
 */
export function choose(judged: readonly Scored[]): Scored | undefined {
  const best = Math.max(...judged.map(({ scores }) => mean(scores)));
  const [winner] = judged
    .filter(({ scores }) => mean(scores) >= best - TIE_MARGIN)
    .sort(
      (a, b) =>
        multiplyAdds(a.candidate.network) - multiplyAdds(b.candidate.network) ||
        mapsOf(a.candidate) - mapsOf(b.candidate) ||
        mean(b.scores) - mean(a.scores),
    );
  return winner;
}

const mapsOf = ({ queryNetwork }: Candidate): number => (queryNetwork === undefined ? 1 : 2);

/** 95 % bootstrap interval of the mean difference a - b, where a and b are values of the same queries. */
export function pairedInterval(a: Float64Array, b: Float64Array, seed: number): readonly [number, number] {
  return bootstrapInterval(
    a.map((value, i) => value - expectDefined(b[i], 'the value of a query')),
    seed,
  );
}
