import { expectDefined } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import type { RunOptions } from '../core/run-options.js';
import { DISTANCE_MARGIN, TIE_MARGIN, UNSEEN } from '../hyper-parameters/choice-of-candidate.js';
import {
  FOUND_K,
  recallOf,
  searchCompact,
  type Benchmark,
  type NeighborRecall,
} from '../evaluate/neighbor-recall.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import { bootstrapInterval, mean } from '../evaluate/ranking.js';
import type { StorageKind } from '../store/collection.js';
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
  /** Recall@10 of each query from groups that nothing was fitted to; null if there are none. */
  readonly unseen: Float64Array | null;
}

/** What candidates are scored with. */
export interface Benchmarks {
  /** Its first queries are for selection, the others for confirmation. */
  readonly benchmark: Benchmark;
  /** Queries from groups that nothing was fitted to; null if there are none. */
  readonly unseen: Benchmark | null;
}

export interface ScoreOptions extends RunOptions {
  readonly objective: Objective;
  /** Number of the benchmark's queries that choose a candidate; the others confirm the choice. */
  readonly selectionQueries: number;
  readonly seed: number;
  readonly threads?: number;
  /** Form in which compact vectors will be stored; they are searched in that form. Default: float32. */
  readonly storedAs?: StorageKind | undefined;
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
 */
export async function scoreCandidates(
  { benchmark, unseen }: Benchmarks,
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
  const unseenResults = unseen === null ? null : await searchCompact(unseen, unscaled, options);
  const selection: Scored[] = [];
  const confirmation: Scored[] = [];
  candidates.forEach((candidate, i) => {
    const all = candidate.distances.map((compactDistance, j) => {
      const found = expectDefined(results[i]?.[j], `the search result of ${candidate.name}`);
      const foundUnseen = unseenResults?.[i]?.[j];
      const recallUnseen =
        unseen === null || foundUnseen === undefined
          ? null
          : recallOf(unseen, foundUnseen, options.seed).perQuery;
      return judgeParts(benchmark, { candidate, compactDistance, found, unseen: recallUnseen }, options);
    });
    const [first, ...others] = all;
    if (first === undefined) return;
    const best = others.reduce(
      (kept, one) => (isClearlyBetter(one[0], kept[0], options.seed) ? one : kept),
      first,
    );
    selection.push(best[0]);
    confirmation.push(best[1]);
  });
  return { selection, confirmation };
}

/**
 * Returns the objective's values of the full vectors, for selection and for confirmation: what a collection gives today.
 */
export async function scoreFullVectors(
  { base, queries, truth, distance }: Benchmark,
  { objective, seed, selectionQueries, threads, signal }: ScoreOptions,
): Promise<readonly [Float64Array, Float64Array]> {
  const run = { signal, ...(threads === undefined ? {} : { threads }) };
  const found = await exactTopK(base, queries, { ...run, k: FOUND_K, distance });
  const k = truth.length / queries.rows;
  const part = (from: number, to: number): Float64Array => {
    const mine = found.subarray(from * FOUND_K, to * FOUND_K);
    return objective(mine, recallOf({ truth: truth.subarray(from * k, to * k) }, mine, seed), from);
  };
  return [part(0, selectionQueries), part(selectionQueries, queries.rows)];
}

/**
 * Whether another distance than the one for which a candidate was fitted is worth taking: by more than a margin and
 * than chance, and not behind in groups that nothing was fitted to.
 */
function isClearlyBetter(other: Scored, own: Scored, seed: number): boolean {
  if (mean(other.scores) < mean(own.scores) + DISTANCE_MARGIN) return false;
  if (pairedInterval(other.scores, own.scores, seed)[0] <= 0) return false;
  return other.unseen === null || own.unseen === null || mean(other.unseen) >= mean(own.unseen);
}

function judgeParts(
  { truth, queries }: Benchmark,
  {
    candidate,
    compactDistance,
    found,
    unseen,
  }: Pick<Scored, 'candidate' | 'compactDistance' | 'found' | 'unseen'>,
  { objective, seed, selectionQueries }: ScoreOptions,
): [Scored, Scored] {
  const part = (from: number, to: number): Scored => {
    const k = truth.length / queries.rows;
    const mine = found.subarray(from * FOUND_K, to * FOUND_K);
    const recall = recallOf({ truth: truth.subarray(from * k, to * k) }, mine, seed);
    return { candidate, compactDistance, recall, scores: objective(mine, recall, from), found: mine, unseen };
  };
  return [part(0, selectionQueries), part(selectionQueries, queries.rows)];
}

/**
 * Leaves out candidates that find clearly less than PCA in groups that nothing was fitted to: what is shipped must also
 * serve vectors of a kind that was not there yet. PCA itself always stays.
 */
export function withoutOverfitted(judged: readonly Scored[]): readonly Scored[] {
  const recalls = judged.filter(({ candidate }) => isPca(candidate)).map(({ unseen }) => meanOrNone(unseen));
  const least = Math.max(...recalls) - UNSEEN.belowPcaMax;
  return judged.filter(
    ({ candidate, unseen }) => isPca(candidate) || unseen === null || mean(unseen) >= least,
  );
}

const isPca = ({ name }: Candidate): boolean => name === 'pca' || name === 'pca-uncentred';
const meanOrNone = (values: Float64Array | null): number => (values === null ? -Infinity : mean(values));

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
