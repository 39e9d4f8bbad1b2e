import { measurableStorage } from '../../store/facets.js';
import { pickVector } from '../../store/pick-vector.js';
import { SCRATCH_METADATA } from '../../plan/scratch-names.js';
import { FILL_STEP, MEASURE_STEP } from '../../plan/measure-configurations.js';
import { defaultDims, preparePlan, type PlanOptions, type PlanSetup } from '../../plan/prepare-plan.js';
import { fullStorageAsGood, PROPOSED_RECALL, proposalsOf, type Proposal } from '../../plan/proposals.js';
import { runPlan } from '../../plan/run-plan.js';
import { planReportRows, type SizingRow } from '../../plan/sizing-row.js';
import { formatBytes } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import type { StorageKind } from '../../store/collection.js';
import { TldrError } from '../../core/errors.js';
import { percentText } from '../console/command-output.js';
import { readFlags, type ShellCommand } from '../console/shell-command.js';
import { planStages } from '../console/progress/stages.js';
import { nameOf } from '../plan/budgets.js';
import { planCommand } from '../plan/command.js';
import { sizingTable } from '../plan/print.js';
import { planOptionsOf, type PlanFlags } from '../plan/run-plan-command.js';
import type { Proposed, ShrinkSizing, ShrinkState } from './state.js';
import { progressConsole, sayStep, scratchWords, type ShrinkWork } from './work.js';

/** What the guided run measures. */
export const QUICK_SIZING: {
  readonly reductions: readonly number[];
  readonly kinds: readonly StorageKind[];
  readonly kindsBeside: readonly StorageKind[];
  readonly oversamplings: readonly number[];
} = {
  /** Divisors of the vector's size. Half of it is seldom chosen, and takes the longest. */
  reductions: [16, 8, 4],
  /** Storage of the compact vectors: from the plain one to the smallest one that is seldom beaten. */
  kinds: ['float32', 'scalar', 'binary-2bit'],
  /** Indexes beside full vectors: on compact vectors in half precision, and on one bit of each full component. */
  kindsBeside: ['float16', 'binary'],
  oversamplings: [4, 10],
};
/** Bytes of a compact vector's number on disk, from which codes are computed. */
const FLOAT_BYTES = 4;

/** Returns the command that measures. */
export async function sizingLine({ collection, flags, store, scratch }: ShrinkWork): Promise<ShellCommand> {
  const { dim } = pickVector(await store.describe(collection), flags.vector);
  const points = await store.count(collection);
  const dims = defaultDims(Math.min(dim, points, flags.sample), QUICK_SIZING.reductions);
  const kinds = scratch.beside === undefined ? QUICK_SIZING.kinds : QUICK_SIZING.kindsBeside;
  return {
    command: ['plan'],
    names: [collection],
    flags: [
      ...(flags.vector === undefined ? [] : [['--vector', flags.vector] as const]),
      ['--dims', dims.join(',')],
      ['--datatypes', kinds.join(',')],
      ['--oversampling', flags.layout === 'two-stage' ? QUICK_SIZING.oversamplings.join(',') : 1],
      ['--sample', flags.sample],
      ...(flags.queries === undefined ? [] : [['--queries', flags.queries] as const]),
      ...(flags.deterministic === true
        ? ([
            ['--budget', `${flags.budget / 2}s`],
            ['--deterministic', null],
          ] as const)
        : [['--budget', `${flags.budget}s`] as const]),
      ['--seed', flags.seed],
    ],
  };
}

/** What the sizing will do. */
interface PreparedSizing {
  readonly line: ShellCommand;
  readonly options: PlanOptions;
  readonly setup: PlanSetup;
}

/** Decides what the sizing measures. It writes nothing. */
export async function prepareSizing(work: ShrinkWork): Promise<PreparedSizing> {
  const { collection, run, config, store, scratch } = work;
  const line = await sizingLine(work);
  const flags = await readFlags<PlanFlags>(line, (give) =>
    planCommand().action((_: string, read: PlanFlags) => give(read)),
  );
  const options = await planOptionsOf(collection, flags, { store, scratch, run, config });
  return { line, options, setup: await preparePlan(options) };
}

/** Measures on a sample and proposes, unless an earlier run did so. */
export async function measure(work: ShrinkWork): Promise<ShrinkSizing> {
  const { run, store, progress, collection } = work;
  const title = `what less memory costs, on a sample of ${collection}`;
  const { sizing: known, scratch } = progress.state;
  if (known !== null) {
    sayStep(work, 'measure', { title, line: await sizingLine(work) });
    run.say('  measured by an earlier run');
    return known;
  }
  if (scratch !== null) await dropScratchOf(work, scratch);
  const { line, options, setup } = await prepareSizing(work);
  sayStep(work, 'measure', { title, line });
  await run.confirm(
    `Write ${formatBytes(setup.scratchBytes)} of vectors into ${scratchWords(work)} in ${store.endpoint} and remove them again?`,
  );
  await progress.save({ scratch: options.scratchName });
  progressConsole(work, 'measure').expectStages(planStages());
  const { seconds, ...result } = await runTimed(options, setup);
  const { rows, samplePoints, beside } = result;
  const today = rows.find(({ kind }) => kind === 'current');
  const proposals = proposalsOf(rows, work.flags.layout);
  if (proposals.length === 0)
    throw new TldrError(
      'UNSUPPORTED',
      `a ${store.kind} database can store none of the measured configurations`,
    );
  const sizing: ShrinkSizing = {
    points: setup.points,
    samplePoints,
    trainsWithQueries: result.queries.training > 0,
    today: today === undefined ? null : figuresOf(today),
    proposals: proposals.map((one) => proposedOf(one, { work, setup, seconds, written: samplePoints })),
    alternative: alternativeTo(proposals, rows),
    table: plainTable(sizingTable(result, null)),
    settings: planReportRows(rows, null),
    ...(beside ? { beside } : {}),
  };
  await progress.save({ sizing, scratch: null });
  return sizing;
}

/** Removes the temporary collection of a run that was killed. Its mark says that it is one. */
async function dropScratchOf({ scratch, progress }: ShrinkWork, name: string): Promise<void> {
  if (await scratch.exists(name)) {
    const { metadata } = await scratch.describe(name);
    if (metadata[SCRATCH_METADATA] !== undefined) await measurableStorage(scratch).dropScratch(name);
  }
  await progress.save({ scratch: null });
}

/** Runs a plan, and measures how long it takes to fill and index the temporary collection. */
async function runTimed(
  options: PlanOptions,
  setup: PlanSetup,
): Promise<Awaited<ReturnType<typeof runPlan>> & { readonly seconds: number | null }> {
  const times = new Map<string, number>();
  const result = await runPlan(
    {
      ...options,
      onProgress: (progress) => {
        if (!times.has(progress.step)) times.set(progress.step, performance.now());
        options.onProgress?.(progress);
      },
    },
    setup,
  );
  const [filled, measured] = [times.get(FILL_STEP), times.get(MEASURE_STEP)];
  const seconds = filled === undefined || measured === undefined ? null : (measured - filled) / 1000;
  return { ...result, seconds };
}

function figuresOf({
  label,
  recallAt10,
  interval,
  ramBytes,
  diskBytes,
  latencyMsP50,
}: SizingRow): Proposed['figures'] {
  const [low, high] = interval;
  return { label, recallAt10, interval: [low, high], ramBytes, diskBytes, latencyMsP50 };
}

function proposedOf(
  { name, row, reached }: Proposal,
  {
    work,
    setup,
    seconds,
    written,
  }: {
    readonly work: ShrinkWork;
    readonly setup: PlanSetup;
    readonly seconds: number | null;
    readonly written: number;
  },
): Proposed {
  const { dim, datatype, oversampling, layout, hnswM } = row;
  const isBeside = work.course.kind === 'in-place';
  if (datatype === 'as configured' || layout === null)
    throw new TldrError('INTERNAL', `${row.label} is proposed, but cannot be made`);
  return {
    name,
    reached,
    figures: figuresOf(row),
    row: {
      dim,
      datatype,
      oversampling,
      layout,
      ...(hnswM === setup.current.hnswM ? {} : { hnswM }),
    },
    seconds:
      seconds === null
        ? null
        : work.flags.budget + copySeconds(setup, { dim, layout, seconds, written, isBeside }),
  };
}

/** Estimates the copy's time by the bytes that the sizing wrote and indexed in the time that it took. */
function copySeconds(
  { vector, points, scratchBytes, samplePoints }: PlanSetup,
  {
    dim,
    layout,
    seconds,
    written,
    isBeside,
  }: {
    readonly dim: number;
    readonly layout: string;
    readonly seconds: number;
    readonly isBeside: boolean;
    /** Points of the sample that were written. */
    readonly written: number;
  },
): number {
  // Where compact vectors stand beside the full ones, only they are written.
  const fullBytes = layout === 'two-stage' && !isBeside ? vector.dim * vector.componentBytes : 0;
  return (seconds * points * (fullBytes + dim * FLOAT_BYTES)) / ((scratchBytes * written) / samplePoints);
}

/** Says so if the database's own storage of the full vectors is as good as the balanced proposal, in as little memory. */
function alternativeTo(proposals: readonly Proposal[], rows: readonly SizingRow[]): string | null {
  const found = fullStorageAsGood(proposals, rows);
  if (found === null) return null;
  const atLeast = (Math.floor(found.recallAt10 * 1000) / 1000).toFixed(3);
  return `the database's own storage of the full vectors does as well as balanced, without an encoder: ${nameOf(found)} finds ${found.recallAt10.toFixed(3)} with ${formatBytes(found.ramBytes)} of RAM. The command of this step prints how to set it if you add --target "recall@10>=${atLeast}"`;
}

/** Returns a table with only what JSON can hold. */
export function plainTable({ title, columns, rows, note, legend }: ResultTable): ShrinkSizing['table'] {
  return {
    title,
    columns: columns.map(([head, format]) => (format === undefined ? [head] : [head, format])),
    rows: rows.map(({ cells, starred, picked, folded }) => ({
      cells: cells.map((cell) => plainValue(cell)),
      ...(starred === undefined ? {} : { starred }),
      ...(picked === undefined ? {} : { picked }),
      ...(folded === undefined ? {} : { folded }),
    })),
    ...(note === undefined ? {} : { note }),
    ...(legend === undefined ? {} : { legend }),
  };
}

function plainValue(
  cell: ResultTable['rows'][number]['cells'][number],
): string | number | [number, number] | null {
  if (cell === undefined || cell === null) return null;
  if (typeof cell === 'string') return cell;
  if (typeof cell === 'number') return Number.isFinite(cell) ? cell : null;
  return [cell[0], cell[1]];
}

/** Returns the table of the proposals beside the collection as it is today. */
export function proposalTable(
  { points, samplePoints, today, proposals, beside = false }: ShrinkSizing,
  chosen: ShrinkState['choice'] = null,
): ResultTable {
  // A place for the mark of the chosen row.
  const marked = chosen === null ? {} : { starred: false };
  const carriedOn = points > samplePoints ? `, carried on to ${points.toLocaleString('en-US')}` : '';
  return {
    title: 'Proposals',
    columns: [
      ['proposal'],
      ['stored as'],
      ['RAM', 'bytes'],
      ['disk', 'bytes', 3],
      ['recall@10', 3],
      ['95 % interval', 3, 1],
      ['time', undefined, 2],
    ],
    rows: [
      ...(today === null ? [] : [{ cells: ['today', today.label, ...numbersOf(today), null], ...marked }]),
      ...proposals.map((proposed) => ({
        cells: [
          proposed.name,
          `${proposed.figures.label}${rescoredWords(proposed.row.oversampling)}`,
          ...numbersOf(proposed.figures),
          proposed.seconds === null ? null : timeText(proposed.seconds),
        ],
        ...marked,
        picked: proposed.name === chosen ? 'chosen' : undefined,
      })),
    ],
    note: `measured on ${samplePoints.toLocaleString('en-US')} points${carriedOn}. RAM: ${beside ? 'the index' : 'vectors or codes, and the graph'}. Time: training and ${beside ? 'migration' : 'copy'}, roughly`,
    legend:
      'Recall@10 is the share of the true ten nearest neighbours that a search finds among its first ten results.',
  };
}

function rescoredWords(oversampling: number): string {
  return oversampling > 1 ? `, ${oversampling}x rescored` : '';
}

function numbersOf({
  ramBytes,
  diskBytes,
  recallAt10,
  interval,
}: Proposed['figures']): (number | [number, number])[] {
  return [ramBytes, diskBytes, recallAt10, interval];
}

/** Returns what a proposal promises, in a sentence. */
export function promiseOf({ name, reached, figures }: Proposed): string {
  const wanted = percentText(PROPOSED_RECALL[name], 0);
  const found = percentText(figures.recallAt10);
  if (!reached) {
    const missed = name === 'safe' ? `${wanted} is not sure` : `${wanted} was not reached`;
    return `finds ${found} of the same first ten results, the most that was measured: ${missed}`;
  }
  return name === 'safe'
    ? `finds ${found} of the same first ten results, and surely ${wanted} or more`
    : `finds ${found} of the same first ten results`;
}

/** Returns an approximate time, such as "about 4 min". */
export function timeText(seconds: number): string {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}
