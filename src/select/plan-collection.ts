import type { Encoder } from '../core/encoder.js';
import { messageOf, TldrError } from '../core/errors.js';
import { gatherRows } from '../core/matrix.js';
import { throwIfAborted } from '../core/run.js';
import { cleanSample, splitRows } from '../core/sample.js';
import type { PlanRow } from '../evaluate/plan.js';
import { doublingsOf, measurePlan, type PlanSample } from './measure-plan.js';
import { SCRATCH_PREFIX, type PlanOptions, type PlanSetup } from './plan-setup.js';
import type { Variant } from './plan-variants.js';
import { trainEncoder } from './train-encoder.js';

const QUERIES_SHARE_MAX = 0.2;
/** Time to plan the trainings of all sizes for where nothing else is said. */
const BUDGET_SECONDS = 240;

/** One trained size. */
export interface PlanEncoder {
  readonly dim: number;
  readonly shipped: string;
  readonly candidates: readonly {
    readonly name: string;
    readonly recallAt10: number;
    readonly interval: readonly [number, number];
  }[];
}

export interface PlanResult {
  readonly rows: readonly PlanRow[];
  readonly encoders: readonly PlanEncoder[];
  /** Points searched in. */
  readonly samplePoints: number;
  readonly queries: { readonly count: number; readonly heldOut: boolean };
  /** Points of the collection per point searched in, in doublings: how far recall is carried on. */
  readonly doublings: number;
  readonly notes: readonly string[];
}

/**
 * Samples the collection, trains an encoder per size, keeps the sample in every way in a scratch collection and
 * measures recall, order, bytes and latency there. The scratch collection is removed whatever happens.
 * @throws ABORTED, INVALID_DATA for too few points, ALREADY_EXISTS for a taken scratch name
 */
export async function runPlan(options: PlanOptions, setup: PlanSetup): Promise<PlanResult> {
  const { scratchStore, scratchName, log } = options;
  if (!scratchName.startsWith(SCRATCH_PREFIX))
    throw new TldrError('INVALID_ARGUMENT', `a scratch collection's name begins with ${SCRATCH_PREFIX}`);
  const sample = await takeSample(options, setup);
  const { encoders, reports } = await trainSizes(options, setup, sample);
  if (await scratchStore.exists(scratchName))
    throw new TldrError('ALREADY_EXISTS', `${scratchName} exists already`);
  const variants = setup.variants.map((variant) => searchedAs(variant, encoders.get(variant.scratch.dim)));
  let rows: PlanRow[];
  try {
    rows = await measurePlan(options, { ...setup, variants }, { sample, encoders });
  } catch (error) {
    // What went wrong is told, not that tidying up after it failed as well.
    await dropScratch(options).catch((cause: unknown) =>
      log?.('warn', `could not remove ${scratchName}: ${messageOf(cause)}; remove it with plan --clean`),
    );
    throw error;
  }
  await dropScratch(options);
  return {
    rows,
    encoders: reports,
    samplePoints: sample.base.rows,
    queries: { count: sample.queries.rows, heldOut: options.queries === undefined },
    doublings: doublingsOf(setup.points, sample.base.rows),
    notes: setup.notes,
  };
}

/** A reduced vector is searched by the distance its encoder was chosen for; bytes are always by Euclid. */
function searchedAs(variant: Variant, encoder: Encoder | undefined): Variant {
  if (variant.kind !== 'compact' || encoder === undefined || variant.datatype === 'uint8') return variant;
  return { ...variant, scratch: { ...variant.scratch, distance: encoder.metadata.compactDistance } };
}

async function dropScratch({ scratchStore, scratchName }: PlanOptions): Promise<void> {
  await scratchStore.dropScratch(scratchName);
}

async function takeSample(options: PlanOptions, setup: PlanSetup): Promise<PlanSample> {
  const { store, collection, sampleSize, queriesCount, seed, signal, onProgress } = options;
  const { vectors } = await store.sample(collection, {
    vectorName: setup.vector.name,
    size: sampleSize,
    signal,
    onProgress,
  });
  const { x } = cleanSample(vectors);
  if (options.queries !== undefined) return { base: x, queries: options.queries };
  const held = Math.min(queriesCount, Math.floor(x.rows * QUERIES_SHARE_MAX));
  const { train, heldOut } = splitRows(x.rows, held, seed);
  return { base: gatherRows(x, train), queries: gatherRows(x, heldOut) };
}

/** Time that the training of one size is planned for. */
export function secondsPerSize({ budgetSeconds = BUDGET_SECONDS }: PlanOptions, { dims }: PlanSetup): number {
  return Math.max(1, Math.round(budgetSeconds / dims.length));
}

/** One encoder per size, the budget divided evenly. */
async function trainSizes(
  options: PlanOptions,
  setup: PlanSetup,
  sample: PlanSample,
): Promise<{ encoders: Map<number, Encoder>; reports: PlanEncoder[] }> {
  const { collection, seed, threads, signal, log, onProgress } = options;
  const encoders = new Map<number, Encoder>();
  const reports: PlanEncoder[] = [];
  for (const dim of setup.dims) {
    throwIfAborted(signal);
    log?.('info', `training ${setup.vector.dim} -> ${dim}`);
    const { encoder, report } = await trainEncoder(sample.base, {
      dim,
      distance: setup.vector.distance,
      budgetSeconds: secondsPerSize(options, setup),
      seed,
      threads,
      source: collection,
      signal,
      log,
      onProgress,
    });
    throwIfAborted(signal);
    if (encoder === null || report === null) throw new TldrError('ABORTED', 'stopped while training');
    encoders.set(dim, encoder);
    const candidates = report.candidates.map(({ name, recallAt10, interval }) => ({
      name,
      recallAt10,
      interval,
    }));
    reports.push({ dim, shipped: report.shipped, candidates });
  }
  return { encoders, reports };
}
