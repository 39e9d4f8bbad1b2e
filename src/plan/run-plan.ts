import { measurableStorage } from '../store/facets.js';
import { checkPoints } from '../store/check-points.js';
import { lackingKinds } from '../store/copy-target.js';
import type { Encoder } from '../encoder/model.js';
import { expectDefined, messageOf, TldrError } from '../core/errors.js';
import { gatherRows, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';
import { cleanSample, movedGains, movedLabels, splitRows } from '../core/clean-and-split-sample.js';
import type { SizingRow } from './sizing-row.js';
import { measurePlan, type MeasuredPlan, type PlanSample } from './measure-configurations.js';
import { doublingsOf, type FitGap } from './extrapolate-recall.js';
import {
  createGapBenchmark,
  fitGapShare,
  keepRowsOut,
  measureFitGaps,
  pointsToTrain,
  type FittedRows,
} from './fit-gap.js';
import type { DrawnSample, PlanOptions, PlanSetup } from './prepare-plan.js';
import { PlanBudget } from './plan-budget.js';
import { SCRATCH_PREFIX } from './scratch-names.js';
import type { Variant } from './variants.js';
import { storableVariants } from './storable-variants.js';
import type { TrainEncoderOptions } from '../select/train-encoder-options.js';
import { encoderFor } from '../select/judge-stored.js';
import { trainEncoder } from '../select/train-encoder.js';

const QUERIES_SHARE_MAX = 0.2;

/** The encoder of one size and the candidates it won against. */
export interface PlanEncoder {
  readonly dim: number;
  readonly shipped: string;
  /** Name of the objective that chose it. */
  readonly objective: string;
  readonly candidates: readonly {
    readonly name: string;
    readonly recallAt10: number;
    readonly interval: readonly [number, number];
  }[];
  /** How much less it finds, without rescoring, among points that it was not fitted to; null if not measured. */
  readonly fitGap: FitGap | null;
}

/** The result of `runPlan`. */
export interface PlanResult {
  readonly rows: readonly SizingRow[];
  readonly encoders: readonly PlanEncoder[];
  /** Number of sample points in the temporary collection. */
  readonly samplePoints: number;
  /** How many of these were kept out of every fit, to measure `fitGap`. */
  readonly keptOut: number;
  /**
   * Queries for measuring: held-out points, or given queries. `training` counts the given queries that
   * trained.
   */
  readonly queries: { readonly count: number; readonly heldOut: boolean; readonly training: number };
  /** Doublings from the sample's size to the collection's; recall is extrapolated over these. */
  readonly doublings: number;
  /**
   * Whether compact vectors stand beside the full ones in the database. Then RAM is that of the index, and disk counts the
   * full vectors too.
   */
  readonly beside: boolean;
  readonly notes: readonly string[];
}

/**
 * Samples the collection and trains an encoder for each size. Then it writes the sample into a temporary
 * (scratch) collection, once for each kind of storage, and measures recall, order, bytes and latency there.
 * It removes the temporary collection in any case.
 * @throws INVALID_DATA when there are too few points
 * @throws UNSUPPORTED when `scratchStore` lacks a kind of storage that is to be measured
 * @throws ALREADY_EXISTS when the temporary collection's name is taken
 * @throws ABORTED when the signal fires
 * @example
 * ```ts
 * // Given: Qdrant
 * import { preparePlan, runPlan } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const options = {
 *   store,
 *   scratchStore: store,
 *   collection: 'docs',
 *   dims: [8],
 *   kinds: ['float32'],
 *   oversamplings: [1, 2],
 *   sampleSize: 400,
 *   queriesCount: 50,
 *   scratchName: 'tldr-plan-docs',
 *   scratchMetadata: {},
 *   seed: 1,
 *   threads: 2,
 *   budgetSeconds: 1,
 * } as const;
 * const { rows } = await runPlan(options, await preparePlan(options));
 * console.table(rows.map(({ label, recallAt10, ramBytes }) => ({ label, recallAt10, ramBytes })));
 * await store.close();
 * ```
 */
export async function runPlan(options: PlanOptions, setup: PlanSetup): Promise<PlanResult> {
  const { scratchStore, scratchName, log } = options;
  if (!scratchName.startsWith(SCRATCH_PREFIX))
    throw new TldrError('INVALID_ARGUMENT', `a scratch collection's name begins with ${SCRATCH_PREFIX}`);
  checkKinds(options, setup);
  const budget = new PlanBudget(options);
  const sample = await takeSample(options, setup);
  const { trained, reports } = await trainSizes(options, setup, { sample, budget });
  const able = setup.variants.filter(({ kind, scratch }) => kind !== 'compact' || trained.has(scratch.dim));
  const encoders = await encodersOf(options, able, { sample, trained, budget });
  const fitGaps = await fitGapsOf(options, setup, { sample, trained, budget });
  const fitGapOf = (dim: number, oversampling: number): FitGap | null =>
    fitGaps.get(dim)?.get(oversampling) ?? null;
  if (await scratchStore.exists(scratchName))
    throw new TldrError('ALREADY_EXISTS', `${scratchName} exists already`);
  const storable = storableVariants(able, sample, encoders);
  for (const note of storable.notes) log?.('warn', note);
  const variants = storable.variants.map((variant) =>
    searchedAs(variant, encoders.get(variant.scratch.name)),
  );
  let measured: MeasuredPlan;
  try {
    const parts = { sample, encoders, fitGapOf, deadline: budget.deadline };
    measured = await measurePlan(options, { ...setup, variants }, parts);
  } catch (error) {
    // Report the first error. If the clean-up fails as well, a warning is enough.
    await dropScratch(options).catch((cause: unknown) =>
      log?.('warn', `could not remove ${scratchName}: ${messageOf(cause)}`, { hint: 'remove-scratch' }),
    );
    throw error;
  }
  await dropScratch(options);
  budget.noteMeasured(measured, { points: sample.base.rows, queries: sample.queries.rows });
  return {
    rows: measured.rows,
    encoders: reports.map((report) => ({ ...report, fitGap: fitGapOf(report.dim, 1) })),
    samplePoints: measured.points,
    keptOut: sample.rows.keptOut.length,
    queries: {
      count: measured.queries,
      heldOut: options.queries === undefined,
      training: sample.judgements.queries?.rows ?? 0,
    },
    doublings: doublingsOf(setup.points, measured.points),
    beside: scratchStore.beside !== undefined,
    notes: [...setup.notes, ...storable.notes, ...budget.notes],
  };
}

/** @throws UNSUPPORTED, before any training, when the scratch collection's store lacks a kind of storage */
function checkKinds({ scratchStore }: PlanOptions, { variants, current }: PlanSetup): void {
  const kinds = variants.flatMap(({ scratch: { storage } }) => {
    const { datatype, quantization } = storage === 'source' ? current : storage;
    return quantization === 'none' ? [datatype] : [datatype, quantization];
  });
  const lacking = new Set(lackingKinds(scratchStore.capabilities, kinds));
  if (lacking.size === 0) return;
  throw new TldrError(
    'UNSUPPORTED',
    `${scratchStore.endpoint}, where the plan measures, cannot store vectors as ${[...lacking].join(', ')}`,
  );
}

/** Sets the distance of a compact variant to the one its encoder was chosen for. uint8 always uses Euclid. */
function searchedAs(variant: Variant, encoder: Encoder | undefined): Variant {
  if (variant.kind !== 'compact' || encoder === undefined || variant.datatype === 'uint8') return variant;
  return { ...variant, scratch: { ...variant.scratch, distance: encoder.metadata.compactDistance } };
}

async function dropScratch({ scratchStore, scratchName }: PlanOptions): Promise<void> {
  await measurableStorage(scratchStore).dropScratch(scratchName);
}

type Judgements = Pick<TrainEncoderOptions, 'queries' | 'gains' | 'labels'>;

/** A sample for measuring, and what encoders are fitted to. */
interface JudgedSample extends PlanSample {
  readonly rows: FittedRows;
  /** The rows of the base that encoders are fitted to, and the queries, gains or labels that choose them. */
  readonly fitted: Matrix;
  readonly judgements: Judgements;
}

/** Keeps some rows of the base out of every fit. */
function withKeptOut(
  { judgements, ...sample }: PlanSample & { readonly judgements: Judgements },
  { points, seed }: { readonly points: number; readonly seed: number },
): JudgedSample {
  const { base } = sample;
  const { gains, labels } = judgements;
  const judged = new Set(gains?.flatMap((ofQuery) => [...ofQuery.keys()]));
  const rows = keepRowsOut(base.rows, { points, seed, isNeeded: (row) => judged.has(row) });
  const { fitted, keptOut } = rows;
  if (keptOut.length === 0) return { ...sample, rows, fitted: base, judgements };
  const rowOf = new Int32Array(base.rows).fill(-1);
  fitted.forEach((row, i) => (rowOf[row] = i));
  return {
    ...sample,
    rows,
    fitted: gatherRows(base, fitted),
    judgements: {
      ...judgements,
      gains: gains?.map((ofQuery) => movedGains(ofQuery, rowOf)),
      labels: labels && fitted.map((row) => expectDefined(labels[row], 'the label of a row')),
    },
  };
}

async function takeSample(options: PlanOptions, setup: PlanSetup): Promise<JudgedSample> {
  const { queriesCount, seed, draw } = options;
  const drawn = draw === undefined ? await drawRandom(options, setup) : await draw();
  const { x, rowOf } = cleanSample(drawn.vectors);
  const labels = drawn.labels && movedLabels(drawn.labels, { rowOf, rows: x.rows });
  const of = { points: setup.points, seed };
  if (options.queries !== undefined)
    return withKeptOut(withQueries(x, options.queries, { drawn, rowOf, setup, seed }), of);
  const held = Math.min(queriesCount, Math.floor(x.rows * QUERIES_SHARE_MAX));
  const { train, heldOut } = splitRows(x.rows, held, seed);
  const judgements =
    labels === undefined ? {} : { labels: train.map((i) => expectDefined(labels[i], 'the label of a row')) };
  return withKeptOut({ base: gatherRows(x, train), queries: gatherRows(x, heldOut), judgements }, of);
}

async function drawRandom(
  { store, collection, sampleSize: size, signal, onProgress }: PlanOptions,
  { vector: { name: vectorName, distance } }: PlanSetup,
): Promise<DrawnSample> {
  const sample = await store.sample(collection, { vectorName, size, signal, onProgress });
  checkPoints(sample, { collection, vectorName, distance, keys: store.keys });
  return { vectors: sample.vectors };
}

/** Divides given queries: some are for measuring, the others for training. */
function withQueries(
  base: Matrix,
  queries: Matrix,
  from: {
    readonly drawn: DrawnSample;
    readonly rowOf: Int32Array;
    readonly setup: PlanSetup;
    readonly seed: number;
  },
): PlanSample & { readonly judgements: Judgements } {
  const { drawn, rowOf, setup, seed } = from;
  const measuring = setup.givenQueries?.measuring ?? queries.rows;
  const { train, heldOut } = splitRows(queries.rows, measuring, seed);
  const gains = drawn.gains?.map((ofQuery) => movedGains(ofQuery, rowOf));
  const none = new Map<number, number>();
  return {
    base,
    queries: gatherRows(queries, heldOut),
    judgements:
      train.length === 0
        ? {}
        : {
            queries: gatherRows(queries, train),
            ...(gains === undefined ? {} : { gains: Array.from(train, (q) => gains[q] ?? none) }),
          },
  };
}

/** Trains an encoder for each size that there is time for, with an equal share of the time budget. */
async function trainSizes(
  options: PlanOptions,
  setup: PlanSetup,
  { sample, budget }: { readonly sample: JudgedSample; readonly budget: PlanBudget },
): Promise<{ trained: Map<number, Encoder>; reports: Omit<PlanEncoder, 'fitGap'>[] }> {
  const { collection, objective = 'fidelity', seed, threads, signal, log, onProgress } = options;
  const trained = new Map<number, Encoder>();
  const reports: Omit<PlanEncoder, 'fitGap'>[] = [];
  for (const [i, dim] of setup.dims.entries()) {
    throwIfAborted(signal);
    const seconds = budget.secondsForSize(setup.dims.slice(i), setup);
    if (seconds === null) continue;
    log?.('info', `training ${setup.vector.dim} -> ${dim}`);
    const { encoder, report } = await trainEncoder(sample.fitted, {
      dim,
      ...sample.judgements,
      objective,
      distance: setup.vector.distance,
      linearOnly: options.linearOnly === true,
      budgetSeconds: seconds,
      deterministic: options.deterministic !== false,
      // These encoders are only measured: the time goes to the choice.
      refit: false,
      seed,
      threads,
      source: collection,
      signal,
      log,
      onProgress,
    });
    throwIfAborted(signal);
    if (encoder === null || report === null) throw new TldrError('ABORTED', 'stopped while training');
    trained.set(dim, encoder);
    const candidates = report.candidates.map(({ name, recallAt10, interval }) => ({
      name,
      recallAt10,
      interval,
    }));
    reports.push({ dim, shipped: report.shipped, objective: report.objective, candidates });
  }
  return { trained, reports };
}

interface TrainedSample {
  readonly sample: JudgedSample;
  readonly trained: ReadonlyMap<number, Encoder>;
  readonly budget: PlanBudget;
}

/** The encoder of each variant: that of its size, rotated for the codes as `train --for` does it. */
async function encodersOf(
  { seed, threads, signal, log }: PlanOptions,
  variants: readonly Variant[],
  { sample, trained, budget }: TrainedSample,
): Promise<Map<string, Encoder>> {
  const encoders = new Map<string, Encoder>();
  const rotated = new Map<string, Encoder>();
  for (const { scratch, kind, datatype } of variants) {
    const encoder = trained.get(scratch.dim);
    if (kind !== 'compact' || encoder === undefined) continue;
    throwIfAborted(signal);
    // The graph does not change what codes hold.
    const codes = `${scratch.dim} ${datatype}`;
    const known = rotated.get(codes);
    if (known !== undefined) {
      encoders.set(scratch.name, known);
      continue;
    }
    if (!budget.hasTimeToRotate(`${scratch.dim} ${datatype}`)) {
      encoders.set(scratch.name, encoder);
      continue;
    }
    log?.('info', `choosing a rotation of ${scratch.dim} dimensions for ${datatype}`);
    const storedAs = datatype === 'as configured' ? 'float32' : datatype;
    const chosen = await encoderFor(encoder, sample.fitted, { storedAs, seed, threads, signal });
    rotated.set(codes, chosen);
    encoders.set(scratch.name, chosen);
  }
  return encoders;
}

/** The fit gap of each size, by oversampling; none if no rows were kept out. */
async function fitGapsOf(
  options: PlanOptions,
  { points, vector: { distance } }: PlanSetup,
  { sample, trained, budget }: TrainedSample,
): Promise<Map<number, ReadonlyMap<number, FitGap>>> {
  const { base, queries, rows, fitted } = sample;
  const gaps = new Map<number, ReadonlyMap<number, FitGap>>();
  if (rows.keptOut.length === 0 || !budget.hasTimeForGaps()) return gaps;
  const { seed, threads, signal, log } = options;
  log?.('info', `measuring what is lost among ${rows.keptOut.length} points that nothing was fitted to`);
  const asked = options.queries === undefined ? null : queries;
  const benchmark = await createGapBenchmark({ base, queries: asked }, rows, {
    distance,
    seed,
    threads,
    signal,
  });
  const share = fitGapShare({
    fitted: fitted.rows,
    sample: base.rows,
    points,
    willFit: pointsToTrain(points),
  });
  const oversamplings = [...new Set([1, ...options.oversamplings])];
  for (const [dim, encoder] of trained)
    gaps.set(dim, await measureFitGaps(encoder, benchmark, { oversamplings, share, threads, signal }));
  return gaps;
}
