import type { Distance } from '../core/distance.js';
import { expectDefined, TldrError } from '../core/errors.js';
import {
  checkFinite,
  checkMagnitude,
  checkNotTiny,
  gatherRows,
  matrix,
  rowRange,
  type Matrix,
} from '../core/matrix.js';
import { sharedFloats, shareFloats } from '../core/worker-task.js';
import {
  cleanSample,
  movedGains,
  movedLabels,
  splitRows,
  type CleanSample,
  type SampleFacts,
} from '../core/clean-and-split-sample.js';
import { REFIT, SPLIT, UNSEEN } from '../hyper-parameters/choice-of-candidate.js';
import { hasRelevant, rankingQuality, type Relevance } from '../evaluate/relevance.js';
import { FOUND_K } from '../evaluate/neighbor-recall.js';
import { joinQueries } from '../knn/query-rows.js';
import { labelledPart, type RelevanceSets } from './measure-relevance.js';
import { FIDELITY, type Objective } from './score-candidates.js';
import type { TrainEncoderOptions } from './train-encoder-options.js';

/** A divided sample: rows for training and searching, and queries for selection and confirmation. */
export interface SplitSample {
  readonly train: Matrix;
  /** Queries for selection, then queries for confirmation. */
  readonly queries: Matrix;
  readonly selectionQueries: number;
  /** Rows of groups that nothing was fitted to, as rows to find and as queries; null if there are none. */
  readonly unseen: { readonly base: Matrix; readonly queries: Matrix } | null;
  /** What the chosen candidate is fitted to again; null if the first fit had everything. */
  readonly refit: RefitSample | null;
  /** Real queries for fitting a query-aware candidate, not used for scoring; null if there are none. */
  readonly fitQueries: Matrix | null;
  /** The rows of `train`, then of `fitQueries`, in the same memory as `train`; null if there are no such queries. */
  readonly joined: Matrix | null;
  readonly objective: Objective;
  readonly objectiveName: string;
  /** Labels or judgements that are measured beside the choice; null if there are none. */
  readonly beside: RelevanceSets | null;
  readonly facts: SampleFacts;
}

/** All rows of a sample but a few, or all rows and all queries but a few. */
export interface RefitSample {
  readonly x: Matrix;
  /** The rows or queries that are left out. They show whether the second fit is as good as the first one. */
  readonly kept: Matrix;
  readonly objective: Objective;
  /** x and then queries, if there are more queries than for the first fit; the first fit had all of x. */
  readonly joined?: Matrix;
}

/**
 * Returns the sample without zero rows and duplicates (`cleanSample`), checked for training.
 * @throws INVALID_DATA when there are too few rows, or a value is not finite, too large or too small
 */
export function cleanForTraining(x: Matrix, distance: Distance): CleanSample {
  if (distance !== 'cosine') checkMagnitude(x, (i) => `row ${i} of the sample`);
  const clean = cleanSample(x);
  const { rows } = clean.x;
  if (distance !== 'cosine' && rows > 0) checkNotTiny(clean.x, 'the sample');
  if (rows >= SPLIT.sampleRowsMin) return clean;
  throw new TldrError(
    'INVALID_DATA',
    `only ${rows} distinct vectors that are not zero: expected at least ${SPLIT.sampleRowsMin} to learn from`,
  );
}

/**
 * Splits a cleaned sample. Without real queries, a part of the rows is held out as queries. With real
 * queries, all rows are for training and searching, and a part of the queries may be for fitting.
 * @param sample labels and gains are about the rows of the original
 * @param unseen rows of the cleaned sample that no candidate is fitted to (`unseenRows`)
 * @throws INVALID_ARGUMENT for an unusable number of held-out rows, queries, labels or gains
 */
export function splitSample(
  { x: clean, rowOf, facts }: CleanSample,
  options: TrainEncoderOptions,
  unseen: Int32Array | null = null,
): SplitSample {
  const { seed = 0, queries, labels } = options;
  if (labels !== undefined && labels.length !== rowOf.length) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `labels: got ${labels.length}, expected ${rowOf.length}, one per row`,
    );
  }
  for (const { name, labels: ofField } of options.labelFields ?? []) {
    if (ofField.length !== rowOf.length)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `labelFields: "${name}" has ${ofField.length} labels, expected ${rowOf.length}, one per row`,
      );
  }
  if (queries !== undefined) return withQueries(clean, queries, { rowOf, facts, options });
  // Labels that are only measured must not decide which rows are held out.
  const known =
    labels === undefined || options.objective !== 'relevance'
      ? null
      : movedLabels(labels, { rowOf, rows: clean.rows });
  const apart = new Set(unseen);
  const { train, heldOut } = without(
    apart,
    splitByLabels(known, splitRows(clean.rows, heldOutRows(clean.rows, options.heldOut), seed)),
  );
  const parts = splitRows(heldOut.length, Math.round(heldOut.length * SPLIT.confirmShare), seed + 1);
  const order = [...parts.train, ...parts.heldOut].map((i) => expectDefined(heldOut[i], 'a held-out row'));
  const relevance = known === null ? null : labelsOf(known, { train, order });
  const refit = refitSample(clean, { train, apart, order, labels: known, options });
  return {
    train: matrix(train.length, clean.cols, refit.x.data.subarray(0, train.length * clean.cols)),
    refit,
    queries: gatherRows(clean, order),
    selectionQueries: parts.train.length,
    unseen: apart.size === 0 ? null : unseenPart(clean, { apart, train, seed }),
    fitQueries: null,
    joined: null,
    beside: labelsBeside(options, { rowOf, rows: clean.rows, train, heldOut: Int32Array.from(order) }),
    facts,
    ...objectiveOf(options, { relevance, selectionQueries: parts.train.length }),
  };
}

/** The labels that have no part in the choice; those that choose are among them if agreement with neighbours chooses. */
function labelsBeside(
  { objective = 'fidelity', labels, labelFields = [] }: TrainEncoderOptions,
  parts: { rowOf: Int32Array; rows: number; train: Int32Array; heldOut: Int32Array },
): RelevanceSets | null {
  const given = labels === undefined || objective === 'relevance' ? [] : [{ name: 'labels', labels }];
  const fields = [...given, ...labelFields].map((field) => ({
    ...field,
    labels: movedLabels(field.labels, parts),
  }));
  return labelledPart(fields, parts);
}

/** Judgements of the queries, if agreement with neighbours chooses. */
function judgementsBeside(
  relevance: Relevance | null,
  { objective = 'fidelity' }: TrainEncoderOptions,
): RelevanceSets | null {
  if (relevance === null || objective === 'relevance' || !hasRelevant(relevance)) return null;
  const sets = [{ name: 'judged queries', guessed: false, relevance }];
  return { baseRows: null, queryRows: null, sets };
}

type Split = ReturnType<typeof splitRows>;

function without(apart: ReadonlySet<number>, { train, heldOut }: Split): Split {
  if (apart.size === 0) return { train, heldOut };
  return { train: train.filter((i) => !apart.has(i)), heldOut: heldOut.filter((i) => !apart.has(i)) };
}

/** Queries from the groups that nothing is fitted to. They are searched among those groups and the fitted rows. */
function unseenPart(
  clean: Matrix,
  { apart, train, seed }: { apart: ReadonlySet<number>; train: Int32Array; seed: number },
): SplitSample['unseen'] {
  const rows = Int32Array.from(apart);
  const queries = splitRows(rows.length, Math.min(UNSEEN.queriesMax, Math.floor(rows.length / 2)), seed + 2);
  const pick = (part: Int32Array): Int32Array => part.map((i) => expectDefined(rows[i], 'an unseen row'));
  const base = [...train, ...pick(queries.train)];
  return {
    base: gatherRows(clean, base, sharedFloats(base.length * clean.cols)),
    queries: gatherRows(clean, pick(queries.heldOut)),
  };
}

/** The training rows, then the others. The last confirmation queries are left out. */
function refitSample(
  clean: Matrix,
  parts: {
    readonly train: Int32Array;
    readonly apart: ReadonlySet<number>;
    readonly order: readonly number[];
    readonly labels: Int32Array | null;
    readonly options: TrainEncoderOptions;
  },
): RefitSample {
  const { train, apart, order, labels, options } = parts;
  const keptRows = keptRowsOf(order.length);
  const kept = order.slice(order.length - keptRows);
  const rows = Int32Array.from([
    ...train,
    ...[...apart].filter((i) => i >= 0),
    ...order.slice(0, order.length - keptRows),
  ]);
  const relevance =
    labels === null || options.objective !== 'relevance'
      ? null
      : labelsOf(labels, { train: rows, order: kept });
  return {
    // In shared memory, so that worker threads need no copy of their own.
    x: gatherRows(clean, rows, sharedFloats(rows.length * clean.cols)),
    kept: gatherRows(clean, kept),
    objective: relevance === null ? FIDELITY : byRelevance(relevance),
  };
}

function heldOutRows(rows: number, wanted: number | undefined): number {
  const held = wanted ?? Math.min(SPLIT.heldOutMax, Math.floor(rows * SPLIT.heldOutShare));
  if (held >= SPLIT.heldOutMin && held <= rows / 2) return held;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `heldOut: got ${held}, expected ${SPLIT.heldOutMin} to ${Math.floor(rows / 2)}`,
  );
}

function withQueries(
  clean: Matrix,
  queries: Matrix,
  { rowOf, facts, options }: { rowOf: Int32Array; facts: SampleFacts; options: TrainEncoderOptions },
): SplitSample {
  const { seed = 0, gains } = options;
  if (queries.cols !== clean.cols || queries.rows < SPLIT.heldOutMin) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `queries of ${queries.rows} x ${queries.cols}: expected at least ${SPLIT.heldOutMin} of ${clean.cols} dimensions`,
    );
  }
  const name = (i: number): string => `row ${i} of the queries`;
  checkFinite(queries, name);
  if ((options.distance ?? 'cosine') !== 'cosine') checkMagnitude(queries, name);
  if (gains !== undefined && gains.length !== queries.rows) {
    throw new TldrError('INVALID_ARGUMENT', `gains of ${gains.length} queries, expected ${queries.rows}`);
  }
  const { train: judging, heldOut: fitting } = splitRows(queries.rows, fitCount(queries.rows, options), seed);
  const parts = splitRows(judging.length, Math.round(judging.length * SPLIT.confirmShare), seed + 1);
  const order = [...parts.train, ...parts.heldOut].map((i) => expectDefined(judging[i], 'a query'));
  const relevance: Relevance | null =
    gains === undefined
      ? null
      : {
          kind: 'qrels',
          gains: order.map((q) => movedGains(expectDefined(gains[q], 'the gains of a query'), rowOf)),
        };
  const asked = gatherRows(queries, order);
  return {
    ...queriesToFit(clean, { fitting: gatherRows(queries, fitting), asked, relevance, options }),
    queries: asked,
    selectionQueries: parts.train.length,
    beside: judgementsBeside(relevance, options),
    unseen: null,
    facts,
    ...objectiveOf(options, { relevance, selectionQueries: parts.train.length }),
  };
}

/**
 * The rows to train on, joined with the queries to fit to. The second fit takes the judging queries in, except at most
 * `REFIT.keptMax` of those that confirmed.
 */
function queriesToFit(
  clean: Matrix,
  parts: {
    readonly fitting: Matrix;
    readonly asked: Matrix;
    readonly relevance: Relevance | null;
    readonly options: TrainEncoderOptions;
  },
): Pick<SplitSample, 'train' | 'fitQueries' | 'joined' | 'refit'> {
  const { fitting, asked, relevance, options } = parts;
  if (fitting.rows === 0)
    return {
      train: { ...clean, data: shareFloats(clean.data) },
      fitQueries: null,
      joined: null,
      refit: null,
    };
  const first = asked.rows - keptRowsOf(asked.rows);
  const [joined, again] = joinQueries(clean, fitting, rowRange(asked, 0, first));
  const train = rowRange(joined, 0, clean.rows);
  const judged =
    relevance?.kind !== 'qrels' || options.objective !== 'relevance'
      ? FIDELITY
      : byRelevance({ ...relevance, gains: relevance.gains.slice(first) });
  const kept = rowRange(asked, first, asked.rows);
  return { train, fitQueries: fitting, joined, refit: { x: train, kept, objective: judged, joined: again } };
}

/** Number of the confirming rows that take no part in the second fit either. */
function keptRowsOf(judging: number): number {
  return Math.min(REFIT.keptMax, Math.round(judging * SPLIT.confirmShare));
}

/** Number of real queries for fitting; 0 for distances that are not inner products. */
function fitCount(queries: number, { distance = 'cosine' }: TrainEncoderOptions): number {
  if (distance === 'euclid' || distance === 'manhattan') return 0;
  const count = Math.max(Math.floor(queries * SPLIT.fitShare), queries - SPLIT.heldOutMax);
  return count < SPLIT.fitMin ? 0 : count;
}

/**
 * Changes a split so that labelled rows are held out before other rows, since a query without a label cannot
 * be scored. At most half of the labelled rows are held out, because the other half must be found. If every
 * row has a label, the split stays as it is.
 */
function splitByLabels(
  labels: Int32Array | null,
  split: { readonly train: Int32Array; readonly heldOut: Int32Array },
): { train: Int32Array; heldOut: Int32Array } {
  const { train, heldOut } = split;
  if (labels?.some((label) => label < 0) !== true) return split;
  const order = [...heldOut, ...train];
  const isLabelled = (i: number): boolean => expectDefined(labels[i], 'the label of a row') >= 0;
  const labelled = order.filter(isLabelled);
  const others = order.filter((i) => !isLabelled(i));
  const first = Math.min(heldOut.length, Math.ceil(labelled.length / 2));
  const rest = heldOut.length - first;
  return {
    train: Int32Array.from([...labelled.slice(first), ...others.slice(rest)]),
    heldOut: Int32Array.from([...labelled.slice(0, first), ...others.slice(0, rest)]),
  };
}

function labelsOf(
  labels: Int32Array,
  { train, order }: { train: Int32Array; order: readonly number[] },
): Relevance {
  const pick = (rows: Iterable<number>): Int32Array =>
    Int32Array.from(rows, (i) => expectDefined(labels[i], 'the label of a row'));
  return { kind: 'labels', base: pick(train), queries: pick(order) };
}

function objectiveOf(
  { objective = 'fidelity' }: TrainEncoderOptions,
  { relevance, selectionQueries }: { relevance: Relevance | null; selectionQueries: number },
): Pick<SplitSample, 'objective' | 'objectiveName'> {
  if (objective === 'fidelity') return { objective: FIDELITY, objectiveName: 'recall@10' };
  if (relevance === null) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'objective relevance needs labels, or queries with judgements of what is relevant',
    );
  }
  const byLabel = relevance.kind === 'labels';
  checkJudged(relevance, selectionQueries);
  return {
    objectiveName: byLabel ? 'mAP@100' : 'nDCG@10',
    objective: byRelevance(relevance),
  };
}

function byRelevance(relevance: Relevance): Objective {
  const byLabel = relevance.kind === 'labels';
  return (found, _recall, first) => {
    const count = found.length / FOUND_K;
    const part: Relevance =
      relevance.kind === 'labels'
        ? { ...relevance, queries: relevance.queries.subarray(first, first + count) }
        : { kind: 'qrels', gains: relevance.gains.slice(first, first + count) };
    const { perQuery } = rankingQuality(found, FOUND_K, part);
    // Queries without a relevant row say nothing about any candidate.
    return (byLabel ? perQuery.averagePrecision : perQuery.ndcg).filter((value) => !Number.isNaN(value));
  };
}

/** @throws INVALID_DATA when no query of a part has a relevant row */
function checkJudged(relevance: Relevance, selectionQueries: number): void {
  const known = relevance.kind === 'labels' ? new Set(relevance.base.filter((label) => label >= 0)) : null;
  const judged =
    relevance.kind === 'labels'
      ? Array.from(relevance.queries, (label) => known?.has(label) === true)
      : relevance.gains.map((gains) => [...gains.values()].some((gain) => gain > 0));
  const count = (part: readonly boolean[]): number => part.filter(Boolean).length;
  const parts = [count(judged.slice(0, selectionQueries)), count(judged.slice(selectionQueries))];
  if (parts.includes(0)) {
    throw new TldrError(
      'INVALID_DATA',
      `relevance: ${parts.join(' and ')} queries for selection and for confirmation have a relevant row, expected at least 1 of each: give more labels or judgements`,
    );
  }
}
