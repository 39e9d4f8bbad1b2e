import { measurableStorage } from '../store/facets.js';
import { expectDefined, TldrError } from '../core/errors.js';
import { rowRange, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';
import type { SearchRequest } from '../store/search.js';
import type { CompactBeside } from '../store/beside/scratch-store.js';
import type { VectorBytes } from '../store/storage.js';
import { PLAN_DEADLINE } from '../hyper-parameters/plan-deadline.js';
import type { Deadline } from '../train/deadline.js';
import { firstQueries, measureSearches, timeSearches, type MeasuredSearches } from './measure-searches.js';
import { ndcgOf, randomHalves, rankedLists, recallAtTen, recallPerDoubling } from './recall-and-ndcg.js';
import { mean, percentile } from '../evaluate/ranking.js';
import { bytesAt, type SizingRow, type PointBytes } from './sizing-row.js';
import { doublingsOf, recallWithInterval, type FitGap, type RecallEvidence } from './extrapolate-recall.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import type { PlanOptions, PlanSetup } from './prepare-plan.js';
import {
  columnsOf,
  configsOf,
  FULL_VECTOR,
  queryOf,
  rankingRequest,
  searchRequestOf,
  variantData,
  type PlanConfig,
  type PlanEncoders,
  type Variant,
  type VariantData,
} from './variants.js';

const TOP = 10;
/** A random half of the points keeps about half of a ranking, so three times the needed length is enough. */
const RANKING_FACTOR = 3;
const TRUTH_DEPTH = 50;
const WRITE_BYTES = 8 * 1024 ** 2;
/** Steps of progress: the temporary collection is filled and indexed from the first one's begin to the second one's. */
export const FILL_STEP = 'filling the scratch collection';
export const MEASURE_STEP = 'measuring';

/** Points to search, and queries that are not among them; both have D columns. */
export interface PlanSample {
  readonly base: Matrix;
  readonly queries: Matrix;
}

/** The encoders of a plan, and what they find less among points that they were not fitted to. */
export interface MeasuredEncoders {
  readonly encoders: PlanEncoders;
  /** The fit gap of a size with an oversampling; null if it was not measured. */
  readonly fitGapOf: (dim: number, oversampling: number) => FitGap | null;
}

/** What a plan measured. */
export interface MeasuredPlan {
  readonly rows: SizingRow[];
  /** Points in the temporary collection, and queries that were sent: fewer than there are if the deadline came first. */
  readonly points: number;
  readonly queries: number;
  /** Labels of configurations that no time was left to index. */
  readonly leftOut: readonly string[];
}

/** Fills the temporary collection and measures every row of the plan in it. The caller removes it. */
export async function measurePlan(
  options: PlanOptions,
  setup: PlanSetup,
  {
    sample,
    encoders,
    fitGapOf,
    deadline,
  }: MeasuredEncoders & { readonly sample: PlanSample; readonly deadline: Deadline },
): Promise<MeasuredPlan> {
  const { scratchStore: store, scratchName, oversamplings, seed, threads, signal, onProgress } = options;
  const { vector } = setup;
  const run = { signal, onProgress };
  const { queries } = sample;
  const data = variantData(setup.variants, sample, encoders);
  const filled = await fillScratch(options, setup, { data, deadline });
  const base = rowRange(sample.base, 0, filled.points);
  const [variants, leftOut] = divided(setup.variants, filled.leftOut);
  const kept = { ...setup, variants };
  const depth = Math.min(TRUTH_DEPTH, base.rows);
  const truth = rankedLists(
    await exactTopK(base, queries, { k: depth, distance: vector.distance, threads, signal }),
    depth,
  );
  const bytes = new Map(
    (await measurableStorage(store).measure(scratchName, { signal })).map((one) => [one.name, one] as const),
  );
  const configs = variants.flatMap((variant) => configsOf(variant, oversamplings));
  const full = dataOf(data, FULL_VECTOR);
  const request = (config: PlanConfig, q: number): SearchRequest =>
    searchRequestOf(config, {
      full: queryOf(full, q),
      own: queryOf(dataOf(data, config.variant.scratch.name), q),
    });
  const work = { configs, request, queries: queries.rows, seed, step: MEASURE_STEP };
  const doublings = doublingsOf(setup.points, base.rows);
  const share = doublings === 0 ? 1 : PLAN_DEADLINE.searchShare;
  const searched = await measureSearches(
    store,
    scratchName,
    { ...work, ...endsWithin(deadline, share) },
    run,
  );
  const sent = expectDefined(searched[0], 'a configuration').found.length;
  const sampled = { base, queries: rowRange(queries, 0, sent) };
  const trends = await measureTrends(options, kept, { data, truth, sample: sampled, doublings, deadline });
  const measured = searched.map((one) => firstQueries(one, trends.queries));
  const timed = {
    configs,
    request,
    queries: sent,
    isOver: () => deadline.isSet && deadline.leftSeconds <= 0,
  };
  const serverMs = await timeSearches(store, scratchName, timed, run);
  const { beside = null } = store;
  const rows = measured.map((searches) => {
    const perDoubling = trends.of(searches.of);
    const recall = Float64Array.from(searches.found, (found, q) =>
      recallAtTen(expectDefined(truth[q], 'the neighbours of a query'), found),
    );
    const { variant, oversampling } = searches.of;
    const fitGap = variant.kind === 'compact' ? fitGapOf(variant.scratch.dim, oversampling) : null;
    const evidence = { recall, perDoubling, doublings, fitGap };
    return rowOf(searches, { setup: kept, truth, evidence, bytes, rows: base.rows, seed, beside, serverMs });
  });
  const labels = [...new Set(leftOut.map((variant) => labelOf(variant, beside)))];
  return { rows, points: base.rows, queries: trends.queries, leftOut: labels };
}

/** Divides variants into those that can be searched, and those whose names are left out. */
function divided(
  variants: readonly Variant[],
  leftOut: readonly string[],
): readonly [readonly Variant[], readonly Variant[]] {
  const isOut = ({ scratch }: Variant): boolean => leftOut.includes(scratch.name);
  return [variants.filter((variant) => !isOut(variant)), variants.filter(isOut)];
}

/** Ends searches when a share of the time that is left now is used up. */
function endsWithin(
  deadline: Deadline,
  share: number,
): { readonly isOver: () => boolean; readonly queriesMin: number } {
  const end = (1 - share) * deadline.leftSeconds;
  const isOver = (): boolean => deadline.isSet && deadline.leftSeconds < end;
  return { isOver, queriesMin: PLAN_DEADLINE.queriesMin };
}

/** Writes the sample, or as many of its points as there is time for, and builds the indexes that there is time for. */
async function fillScratch(
  { scratchStore: store, scratchName, scratchMetadata, signal, log, onProgress }: PlanOptions,
  { spec, vector, variants }: PlanSetup,
  { data, deadline }: { readonly data: ReadonlyMap<string, VariantData>; readonly deadline: Deadline },
): Promise<{ readonly points: number; readonly leftOut: readonly string[] }> {
  const scratch = measurableStorage(store).scratch(spec, {
    name: scratchName,
    vectorName: vector.name,
    vectors: variants.map((variant) => variant.scratch),
    metadata: scratchMetadata,
  });
  throwIfAborted(signal);
  await store.create(scratch);
  log?.('info', `filling the scratch collection ${scratchName}`);
  const rows = dataOf(data, FULL_VECTOR).base.rows;
  const pointBytes = [...data.values()].reduce((sum, { base }) => sum + base.cols * 4, 0);
  const batch = Math.max(1, Math.floor(WRITE_BYTES / pointBytes));
  const until = deadline.leftSeconds * (1 - PLAN_DEADLINE.fillShareMax);
  let end = 0;
  for (let start = 0; start < rows; start = end) {
    throwIfAborted(signal);
    if (deadline.isSet && deadline.leftSeconds < until && start >= PLAN_DEADLINE.pointsMin) break;
    end = Math.min(rows, start + batch);
    const ids = Array.from({ length: end - start }, (_, i) => BigInt(start + i));
    const rest = ids.map(() => store.codec.pack('{}'));
    await store.upsert(scratchName, { ids, vectors: columnsOf(data, start, end), extra: rest });
    onProgress?.({ step: FILL_STEP, done: end, total: rows, unit: 'points' });
  }
  if (deadline.isSet && store.finishWithin !== undefined) {
    const seconds = Math.max(0, deadline.leftSeconds * PLAN_DEADLINE.indexShareMax);
    const leftOut = await store.finishWithin(scratch, { seconds, signal, onProgress });
    return { points: end, leftOut };
  }
  await store.finishBulkLoad(scratch, { signal, onProgress });
  return { points: end, leftOut: [] };
}

/** The trend of each row, and the number of queries that it was measured with. */
interface Trends {
  readonly queries: number;
  /** Returns the change of each query's recall when the points double. */
  readonly of: (config: PlanConfig) => Float64Array;
}

/** Measures, for each row, the change of each query's recall when the points double. */
async function measureTrends(
  options: PlanOptions,
  setup: PlanSetup,
  {
    data,
    truth,
    sample,
    doublings,
    deadline,
  }: {
    data: ReadonlyMap<string, VariantData>;
    truth: readonly number[][];
    sample: PlanSample;
    doublings: number;
    deadline: Deadline;
  },
): Promise<Trends> {
  const { scratchStore: store, scratchName, oversamplings, seed, signal, onProgress } = options;
  const count = sample.queries.rows;
  const variants = setup.variants.filter((variant) => configsOf(variant, oversamplings).length > 0);
  if (doublings === 0) return { queries: count, of: () => new Float64Array(count) };
  const limit = Math.min(sample.base.rows, TOP * RANKING_FACTOR * Math.max(...oversamplings));
  const request = (variant: Variant, q: number): SearchRequest =>
    rankingRequest(variant, queryOf(dataOf(data, variant.scratch.name), q), limit);
  const work = { configs: variants, request, queries: count, seed, step: 'measuring the trend' };
  const limited = { ...work, ...endsWithin(deadline, 1) };
  const rankings = await measureSearches(store, scratchName, limited, { signal, onProgress });
  const halves = randomHalves(sample.base.rows, seed);
  const queries = expectDefined(rankings[0], 'a ranking').found.length;
  const of = ({ variant, oversampling }: PlanConfig): Float64Array => {
    const ranked = expectDefined(
      rankings.find((one) => one.of === variant),
      `the rankings of ${variant.scratch.name}`,
    ).found;
    const depth = TOP * oversampling;
    return Float64Array.from(ranked, (found, q) =>
      recallPerDoubling(expectDefined(truth[q], 'the neighbours of a query'), found, { depth, halves }),
    );
  };
  return { queries, of };
}

function rowOf(
  searches: MeasuredSearches<PlanConfig>,
  run: {
    readonly setup: PlanSetup;
    readonly truth: readonly (readonly number[])[];
    readonly evidence: RecallEvidence;
    readonly bytes: ReadonlyMap<string, VectorBytes>;
    readonly rows: number;
    readonly seed: number;
    readonly beside: CompactBeside | null;
    readonly serverMs: (config: PlanConfig) => number | null;
  },
): SizingRow {
  const { setup, truth, evidence, seed, beside } = run;
  const { variant, oversampling } = searches.of;
  const { scratch, kind, datatype, hnswM } = variant;
  const compact = kind === 'compact';
  const layout = compact ? (oversampling > 1 ? 'two-stage' : 'compact') : null;
  const parts = [pointBytes(variant, run)];
  const full = setup.variants.find((one) => one.scratch.name === FULL_VECTOR);
  const keepsFull = layout === 'two-stage' || beside !== null;
  if (keepsFull && full !== undefined) parts.push(pointBytes(full, run, !isIndexed(variant, setup)));
  const ndcg = searches.found.map((found, q) =>
    ndcgOf(expectDefined(truth[q], 'the neighbours of a query'), found),
  );
  const onSample = recallWithInterval({ ...evidence, doublings: 0, fitGap: null }, seed);
  const expected = recallWithInterval(evidence, seed);
  return {
    label: labelOf(variant, beside),
    kind: kind === 'rescoring' ? 'full' : kind,
    dim: scratch.dim,
    datatype,
    hnswM,
    oversampling,
    layout,
    sampleRecallAt10: onSample.recall,
    sampleInterval: onSample.interval,
    recallAt10: expected.recall,
    interval: expected.interval,
    ndcgAt10: mean(ndcg),
    latencyMsP50: percentile(searches.latencyMs, 50),
    latencyMsP95: percentile(searches.latencyMs, 95),
    serverMsP50: run.serverMs(searches.of),
    prefix: scratch.prefix ?? null,
    deployable: !(compact && (datatype === 'uint8' || (datatype === 'turbo4' && layout !== 'two-stage'))),
    evidence,
    ...bytesAt(parts, { measuredAt: run.rows, points: setup.points }),
  };
}

/** Names a configuration in the store's own words. */
function labelOf({ scratch, kind, datatype, hnswM }: Variant, beside: CompactBeside | null): string {
  const { dim, prefix } = scratch;
  const words = datatype === 'as configured' ? datatype : (beside?.names[datatype] ?? datatype);
  const size = prefix === undefined ? String(dim) : `first ${prefix} of ${dim}`;
  const links = scratch.hnswM === undefined && !(beside !== null && kind === 'compact') ? '' : `, m ${hnswM}`;
  return `${size} ${words}${kind === 'current' ? ' (current)' : ''}${links}`;
}

function isIndexed({ scratch: { storage } }: Variant, { current }: PlanSetup): boolean {
  return (storage === 'source' ? current : storage).indexed;
}

/**
 * Bytes of a point: vectors by their documented size, codes and index as the store measured them.
 * @param isRead whether every search reads all of the vectors, for want of an index
 */
function pointBytes(
  { scratch, componentBytes, quantized }: Variant,
  run: {
    readonly setup: PlanSetup;
    readonly bytes: ReadonlyMap<string, VectorBytes>;
    readonly rows: number;
    readonly beside: CompactBeside | null;
  },
  isRead = false,
): PointBytes {
  const { setup, bytes, rows, beside } = run;
  const measured = bytes.get(scratch.name);
  if (measured === undefined)
    throw new TldrError('UNAVAILABLE', `the scratch collection has no sizes for "${scratch.name}"`);
  if (beside !== null)
    return {
      vectorBytes: measured.vectorBytes / rows,
      vectorInMemory: isRead,
      codeBytes: 0,
      codeBookBytes: 0,
      codesInMemory: false,
      indexBytes: measured.indexBytes / rows,
      indexGrowthBytes: measured.indexGrowthBytes,
      indexInMemory: true,
    };
  if (quantized && measured.codeBytes === 0)
    throw new TldrError(
      'UNSUPPORTED',
      `found no codes of "${scratch.name}" in what the server wrote: this version may store them in files with other names. Leave out its kind of codes`,
    );
  const { current } = setup;
  const storage = scratch.storage === 'source' ? current : scratch.storage;
  return {
    vectorBytes: scratch.dim * componentBytes,
    vectorInMemory: !storage.onDisk,
    codeBytes: measured.codeBytes / rows,
    codeBookBytes: measured.codeBookBytes,
    codesInMemory: scratch.storage !== 'source' || current.codesInMemory,
    indexBytes: measured.indexBytes / rows,
    indexGrowthBytes: measured.indexGrowthBytes,
    indexInMemory: current.indexInMemory,
  };
}

function dataOf(data: ReadonlyMap<string, VariantData>, name: string): VariantData {
  const found = data.get(name);
  if (found === undefined) throw new TldrError('INTERNAL', `no data for "${name}"`);
  return found;
}
