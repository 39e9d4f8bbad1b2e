import { expectDefined, TldrError } from '../core/errors.js';
import { gatherRows, type Matrix } from '../core/matrix.js';
import { sharedFloats } from '../core/worker-task.js';
import type { RunOptions } from '../core/run-options.js';
import { MEASURED_LABELS, TIE_MARGIN } from '../hyper-parameters/choice-of-candidate.js';
import { FOUND_K, searchCompact } from '../evaluate/neighbor-recall.js';
import { mean } from '../evaluate/ranking.js';
import { rankingQuality, type Relevance } from '../evaluate/relevance.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import type { Distance } from '../core/distance.js';
import { choose, pairedInterval, type Scored } from './score-candidates.js';

/** Labels that are measured beside the choice, and have no part in it. */
export interface LabelField {
  /** What the report calls them, for example the payload field. */
  readonly name: string;
  /** A label for each row of x, below 0 for none. */
  readonly labels: Int32Array;
  /**
   * True if the labels were only found to look like labels. They are then reported if the full vectors agree with them
   * more than by chance, and among the three that they agree with most.
   */
  readonly guessed?: boolean;
}

/** Labels or judgements of the rows and queries of a split sample. */
export interface MeasuredRelevance {
  readonly name: string;
  readonly guessed: boolean;
  readonly relevance: Relevance;
}

/** Labels or judgements beside the choice, and the rows and queries of a split sample that they are about. */
export interface RelevanceSets {
  /** Rows of the training part that are searched; null for all. */
  readonly baseRows: Int32Array | null;
  /** Rows of the scoring queries; null for all. */
  readonly queryRows: Int32Array | null;
  readonly sets: readonly MeasuredRelevance[];
}

/** What one candidate reaches by labels or judgements. */
export interface MeasuredCandidate {
  readonly name: string;
  /** Mean of the measure. */
  readonly value: number;
  /** 95 % interval of its lead over the full vectors, on the same queries. */
  readonly lead: readonly [number, number];
  readonly recallAt10: number;
  /** No other candidate is better both by recall@10 and by this measure. */
  readonly onFront: boolean;
}

/** What the candidates and the full vectors reach by labels, or by judged queries. */
export interface RelevanceReport {
  /** The field of the labels, or what else was given. */
  readonly name: string;
  /** Labels say which rows belong together. Judgements say which answers to a query are right. */
  readonly kind: Relevance['kind'];
  readonly measure: 'mAP@100' | 'nDCG@10';
  /** Number of different labels; null for judgements. */
  readonly labels: number | null;
  /** Rows that were searched, and queries with a relevant row among them. */
  readonly rows: number;
  readonly queries: number;
  readonly fullVectors: number;
  readonly candidates: readonly MeasuredCandidate[];
  /** The candidate that this measure would choose. */
  readonly best: string;
  /** The TLDR candidate that is best by this measure; null if none was trained. */
  readonly bestTldr: string | null;
  /** 95 % interval of the lead of `best` over the shipped candidate, on the same queries. */
  readonly leadOverShipped: readonly [number, number];
}

/**
 * Returns the labelled rows of a split sample: rows to find, and held-out rows as queries. Null if too few rows have
 * labels.
 * @param fields labels by rows of the cleaned sample
 */
export function labelledPart(
  fields: readonly LabelField[],
  { train, heldOut }: { readonly train: Int32Array; readonly heldOut: Int32Array },
): RelevanceSets | null {
  const isLabelled = (i: number): boolean => fields.some(({ labels }) => (labels[i] ?? -1) >= 0);
  const labelled = (rows: Int32Array, most: number): Int32Array => {
    const places = Int32Array.from(rows.keys());
    return places.filter((at) => isLabelled(expectDefined(rows[at], 'a row'))).subarray(0, most);
  };
  const baseRows = labelled(train, MEASURED_LABELS.rowsMax);
  const queryRows = labelled(heldOut, MEASURED_LABELS.queriesMax);
  if (queryRows.length < MEASURED_LABELS.queriesMin || baseRows.length === 0) return null;
  const pick = (labels: Int32Array, rows: Int32Array, places: Int32Array): Int32Array =>
    places.map((at) => expectDefined(labels[expectDefined(rows[at], 'a row')], 'the label of a row'));
  return {
    baseRows,
    queryRows,
    sets: fields.map(({ name, labels, guessed = false }) => ({
      name,
      guessed,
      relevance: {
        kind: 'labels',
        base: pick(labels, train, baseRows),
        queries: pick(labels, heldOut, queryRows),
      },
    })),
  };
}

/**
 * Measures the candidates and the full vectors by labels or judgements that have no part in the choice. Sets of guessed
 * labels that the full vectors know nothing about are left out.
 */
export async function measureRelevance(
  split: { readonly train: Matrix; readonly queries: Matrix; readonly beside: RelevanceSets | null },
  options: {
    readonly judged: readonly Scored[];
    readonly winner: Scored;
    readonly distance: Distance;
    readonly seed: number;
    readonly threads?: number;
  } & RunOptions,
): Promise<readonly RelevanceReport[]> {
  if (split.beside === null) return [];
  const { baseRows, queryRows, sets } = split.beside;
  const { judged, winner, distance, seed, ...run } = options;
  const base = rowsOf(split.train, baseRows);
  const queries = rowsOf(split.queries, queryRows);
  const { threads, signal } = run;
  const search = { signal, k: FOUND_K, distance, ...(threads === undefined ? {} : { threads }) };
  const full = await exactTopK(base, queries, search);
  const kept = knownToVectors(sets, full);
  if (kept.length === 0) return [];
  const compact = await searchCompact(
    { base, queries },
    judged.map(({ candidate: { network, queryNetwork }, compactDistance }) => ({
      network: { ...network, normalizeOutput: false },
      queryNetwork: queryNetwork && { ...queryNetwork, normalizeOutput: false },
      distances: [compactDistance],
    })),
    run,
  );
  const lists = compact.map((found, i) =>
    expectDefined(found[0], `the search result of ${judged[i]?.candidate.name}`),
  );
  return kept.flatMap((set) => {
    const ofFull = valuesOf(full, set.relevance);
    if (ofFull.length === 0) return [];
    const scored = lists.map((found, i) => ({
      ...expectDefined(judged[i], 'a scored candidate'),
      scores: valuesOf(found, set.relevance),
    }));
    const shipped = expectDefined(scored[judged.indexOf(winner)], 'the shipped candidate');
    return [reportOf(set, { ofFull, scored, shipped, rows: base.rows, seed })];
  });
}

/** The rows in memory that worker threads share, or the matrix itself for all of its rows. */
function rowsOf(x: Matrix, rows: Int32Array | null): Matrix {
  return rows === null ? x : gatherRows(x, rows, sharedFloats(rows.length * x.cols));
}

/** Average precision by labels, nDCG by judgements, of each query with a relevant row. */
function valuesOf(found: Int32Array, relevance: Relevance): Float64Array {
  const { perQuery } = rankingQuality(found, FOUND_K, relevance);
  const values = relevance.kind === 'labels' ? perQuery.averagePrecision : perQuery.ndcg;
  return values.filter((value) => !Number.isNaN(value));
}

function reportOf(
  { name, relevance }: MeasuredRelevance,
  {
    ofFull,
    scored,
    shipped,
    rows,
    seed,
  }: {
    readonly ofFull: Float64Array;
    readonly scored: readonly Scored[];
    readonly shipped: Scored;
    readonly rows: number;
    readonly seed: number;
  },
): RelevanceReport {
  const best = choose(scored);
  if (best === undefined) throw new TldrError('INTERNAL', 'no candidate was measured');
  const tldr = scored
    .filter(({ candidate }) => candidate.name.startsWith('tldr'))
    .sort((a, b) => mean(b.scores) - mean(a.scores))[0];
  const points = scored.map((one) => ({ x: one.recall.recallAt10, y: mean(one.scores) }));
  return {
    name,
    kind: relevance.kind,
    measure: relevance.kind === 'labels' ? 'mAP@100' : 'nDCG@10',
    labels: relevance.kind === 'labels' ? new Set(relevance.base.filter((label) => label >= 0)).size : null,
    rows,
    queries: ofFull.length,
    fullVectors: mean(ofFull),
    candidates: scored.map(({ candidate, recall, scores }, i) => ({
      name: candidate.name,
      value: mean(scores),
      lead: pairedInterval(scores, ofFull, seed),
      recallAt10: recall.recallAt10,
      onFront: isOnFront(points, i),
    })),
    best: best.candidate.name,
    bestTldr: tldr?.candidate.name ?? null,
    leadOverShipped: pairedInterval(best.scores, shipped.scores, seed),
  };
}

/** Whether no other point is better in one direction and, up to a tie, at least as good in the other. */
export function isOnFront(
  points: readonly { readonly x: number; readonly y: number }[],
  at: number,
): boolean {
  const { x, y } = expectDefined(points[at], 'a point');
  return points.every(
    (other) =>
      (other.x <= x + TIE_MARGIN && other.y <= y + TIE_MARGIN) ||
      other.x < x - TIE_MARGIN ||
      other.y < y - TIE_MARGIN,
  );
}

/**
 * The sets that were asked for, and those guessed labels that the full vectors' first ten results agree with more than
 * by chance: at most three, the best first. Page numbers and counters, which repeat as well, are left out so.
 */
function knownToVectors(sets: readonly MeasuredRelevance[], full: Int32Array): readonly MeasuredRelevance[] {
  const guessed = sets
    .flatMap((set) =>
      set.guessed && set.relevance.kind === 'labels' ? [{ set, relevance: set.relevance }] : [],
    )
    .map(({ set, relevance }) => ({ set, known: agreementAboveChance(relevance, full) }))
    .filter(({ known }) => known >= MEASURED_LABELS.agreementMin)
    .sort((a, b) => b.known - a.known)
    .slice(0, MEASURED_LABELS.guessedMax);
  return [...sets.filter((set) => !set.guessed), ...guessed.map(({ set }) => set)];
}

/** Agreement of the first ten results with the query's label: 0 as by chance, 1 if all agree (as Cohen's kappa). */
function agreementAboveChance(
  { base, queries }: Extract<Relevance, { readonly kind: 'labels' }>,
  full: Int32Array,
): number {
  const counts = new Map<number, number>();
  for (const label of base) if (label >= 0) counts.set(label, (counts.get(label) ?? 0) + 1);
  let [seen, expected, places] = [0, 0, 0];
  queries.forEach((label, q) => {
    const ofLabel = counts.get(label);
    if (label < 0 || ofLabel === undefined) return;
    for (const row of full.subarray(q * FOUND_K, q * FOUND_K + MEASURED_LABELS.agreementDepth)) {
      if (row < 0) continue;
      places++;
      expected += ofLabel / base.length;
      if (base[row] === label) seen++;
    }
  });
  return places === 0 || expected >= places ? 0 : (seen - expected) / (places - expected);
}
