import { expectDefined } from '../../core/errors.js';
import {
  frontierOf,
  planReportRows,
  type PlanChoice,
  type SizingRow,
  type PlanTarget,
} from '../../plan/sizing-row.js';
import { fullStorageAsGood, proposalsOf } from '../../plan/proposals.js';
import type { PlanResult } from '../../plan/run-plan.js';
import type { FitGap } from '../../plan/extrapolate-recall.js';
import type { Recommended } from '../../plan/worth-an-encoder.js';
import type { PlanOptions, PlanSetup } from '../../plan/prepare-plan.js';
import { formatBytes, formatNumber } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import { sayTables } from '../console/show-results.js';
import { candidateLabel } from '../train/candidate-names.js';
import { percentText, type ConsoleRun } from '../console/command-output.js';
import type { MemoryBudget } from '../../plan/memory-budgets.js';
import { nameOf, sayMemoryToday, sayWhyFullVectors } from './budgets.js';

interface Printed {
  readonly options: PlanOptions;
  readonly setup: PlanSetup;
  readonly result: PlanResult;
  readonly all: boolean;
  /** Whether technical names are shown. */
  readonly verbose?: boolean | undefined;
  readonly tables: readonly ResultTable[];
}

/** Returns the table of configurations, the smallest first; a star marks those on the Pareto frontier. */
export function sizingTable(
  { rows, samplePoints, doublings, beside }: PlanResult,
  chosen: SizingRow | null,
): ResultTable {
  const frontier = frontierOf(rows);
  const carriedOn = doublings > 0;
  const timed = rows.some(({ serverMsP50 }) => serverMsP50 !== null);
  return {
    title: 'Configurations',
    columns: [
      ['configuration'],
      ['rescored'],
      [carriedOn ? 'predicted' : 'recall@10', 3],
      ['95 % interval', 3, 2],
      ...(carriedOn ? [[`at ${formatNumber(samplePoints)}`, 3, 7] as const] : []),
      ['nDCG@10', 3, 6],
      [beside ? 'index/million' : 'RAM/million', 'bytes', 4],
      [beside ? 'index' : 'RAM', 'bytes'],
      [beside ? 'table + index' : 'disk', 'bytes', 1],
      ['ms p50', 1, 3],
      ['p95', 1, 5],
      ...(timed ? [['in server', 2, 3] as const] : []),
    ],
    rows: [...rows]
      .sort((a, b) => a.ramBytes - b.ramBytes || a.recallAt10 - b.recallAt10)
      .map((row) => ({
        cells: [
          row.label,
          row.oversampling === 1 ? 'no' : `${row.oversampling}x`,
          row.recallAt10,
          row.interval,
          ...(carriedOn ? [row.sampleRecallAt10] : []),
          row.ndcgAt10,
          row.ramBytesPerMillion,
          row.ramBytes,
          row.diskBytes,
          row.latencyMsP50,
          row.latencyMsP95,
          ...(timed ? [row.serverMsP50] : []),
        ],
        starred: frontier.has(row),
        picked: row === chosen ? 'chosen' : undefined,
        folded: row.kind === 'compact' && row !== chosen && !frontier.has(row),
      })),
    note: `* no other configuration has at least this recall for ${beside ? 'a smaller index' : 'less RAM'}${carriedOn ? '; predicted: recall@10 in the whole collection' : ''}`,
  };
}

/** Prints the table, then what it was measured with and its limits. */
export function printPlan(
  run: ConsoleRun,
  { options, setup, result, all, verbose = false, tables }: Printed,
): void {
  const { samplePoints, queries, doublings } = result;
  const carriedOn = doublings > 0;
  sayTables(run, tables, { all, more: '--all' });
  const from = queries.heldOut
    ? 'held-out points of the collection, not real queries'
    : queries.training === 0
      ? 'the given queries'
      : `given queries that took no part in training; ${formatNumber(queries.training)} others trained and chose the encoders`;
  run.say(
    `measured with ${formatNumber(samplePoints)} of ${formatNumber(setup.points)} points and ${formatNumber(queries.count)} queries: ${from}`,
  );
  if (carriedOn) {
    run.say(predictionText(result, setup.points));
    run.say(`nDCG@10 and latency are those of the sample; a larger collection searches slower`);
  }
  run.say(bytesText(result));
  for (const encoder of result.encoders) {
    const shipped = expectDefined(
      encoder.candidates.find(({ name }) => name === encoder.shipped),
      'the saved candidate',
    );
    run.say(
      `encoder for ${encoder.dim}: ${candidateLabel(encoder.shipped, verbose)}, exact recall@10 without rescoring ${shipped.recallAt10.toFixed(3)}${fitGapText(encoder.fitGap)}`,
    );
  }
  for (const note of result.notes) run.say(`note: ${note}`);
  run.say(`seed ${options.seed}`);
}

/** Says what the columns of bytes count. */
function bytesText({ beside }: PlanResult): string {
  return beside
    ? 'index: what a search needs in memory, as the server wrote it (without an index: the whole column); table + index: with the full vectors, which stay, and a table for the compact ones; ids and other columns are left out'
    : 'RAM and disk: vectors by their size, codes and index as the server wrote them; ids and payload are the same everywhere and left out';
}

/** Says that full vectors in another form do as well as compact ones, where that was found. */
export function sayFullStorageAsGood(run: Pick<ConsoleRun, 'say'>, rows: readonly SizingRow[]): void {
  const found = fullStorageAsGood(proposalsOf(rows, 'two-stage'), rows);
  if (found === null) return;
  run.say('');
  run.say(
    `no encoder is needed for recall@10 ${found.recallAt10.toFixed(3)}: ${nameOf(found)} takes ${formatBytes(found.ramBytes)}, and no compact space that finds as much takes less`,
  );
}

/** Says what the predicted recall is made of. */
export function predictionText({ doublings, keptOut, encoders }: PlanResult, points: number): string {
  const ofFit = encoders.some(({ fitGap }) => fitGap !== null)
    ? `, corrected for the points that the encoder is not fitted to (measured with ${formatNumber(keptOut)} points that were kept out of training)`
    : '';
  return `predicted: recall@10 for ${formatNumber(points)} points: the sample's recall, less the estimated loss of ${doublings.toFixed(1)} doublings${ofFit}; the interval includes this`;
}

function fitGapText(fitGap: FitGap | null): string {
  if (fitGap === null) return '';
  return `; ${Math.max(0, fitGap.value).toFixed(3)} less among points that it was not fitted to`;
}

/** Prints the configuration that the target picks, how certain it is, and the commands that create it. */
export function printChoice(
  run: ConsoleRun,
  {
    choice,
    target,
    commands,
    rows,
  }: {
    readonly choice: PlanChoice | null;
    readonly target: PlanTarget;
    readonly commands: readonly string[];
    readonly rows: readonly SizingRow[];
  },
): void {
  run.say('');
  const wanted = `${target.metric} >= ${target.atLeast}`;
  if (choice === null) {
    const [best] = [...rows].filter((row) => row.deployable).sort((a, b) => b.recallAt10 - a.recallAt10);
    const nearest =
      best === undefined ? '' : `; the best is ${nameOf(best)} with ${best.recallAt10.toFixed(3)}`;
    run.say(`no configuration reaches ${wanted}${nearest}`);
    return;
  }
  const { row, certainty, surer } = choice;
  run.say(`${choice.passedOver === null ? 'cheapest' : 'recommended'} for ${wanted}: ${nameOf(row)}`);
  run.say(
    `  recall@10 ${row.recallAt10.toFixed(3)} (95 %: ${row.interval.map((value) => value.toFixed(3)).join(' - ')}), ${formatBytes(row.ramBytes)} of RAM; reaches the target in ${percentText(certainty, 0)} of resampled query sets`,
  );
  sayMemoryToday(run, row, rows);
  sayWhyFullVectors(run, choice, rows);
  if (surer !== null)
    run.say(
      `  surer: ${nameOf(surer.row)}, ${formatBytes(surer.row.ramBytes)} of RAM, in ${percentText(surer.certainty, 0)}`,
    );
  if (commands.length > 0) {
    run.say('later:');
    for (const command of commands) run.sayCode(`  ${command}`);
  }
}

/** Returns the object for `--json`. */
export function resultOf(plan: {
  readonly collection: string;
  readonly setup: PlanSetup;
  readonly result: PlanResult;
  readonly choice: PlanChoice | null;
  readonly recommendation: Recommended<SizingRow> | null;
  readonly budgets: readonly MemoryBudget[];
  readonly commands: readonly string[];
  readonly target: PlanTarget | undefined;
  readonly ram: number | undefined;
}): Record<string, unknown> {
  const { collection, setup, result, choice, recommendation, budgets, commands, target, ram } = plan;
  const chosen = recommendation?.row ?? null;
  const passedOver = recommendation?.passedOver ?? null;
  const plain = ({ evidence, ...row }: SizingRow): Omit<SizingRow, 'evidence'> & { queries: number } => ({
    ...row,
    queries: evidence.recall.length,
  });
  const { rows, ...facts } = result;
  const surer = choice?.surer ?? null;
  return {
    collection,
    vector: setup.vector,
    points: setup.points,
    ...facts,
    rows: rows.map(plain),
    pareto: planReportRows(rows, chosen),
    budgets: budgets.map(({ best, bestOfFull, ...budget }) => ({
      ...budget,
      best: best && plain(best),
      bestOfFull: bestOfFull && plain(bestOfFull),
    })),
    target: target ?? null,
    ram: ram ?? null,
    chosen:
      chosen === null
        ? null
        : { ...plain(chosen), ...(choice === null ? {} : { certainty: choice.certainty }) },
    passedOver: passedOver && plain(passedOver),
    surer: surer === null ? null : { ...plain(surer.row), certainty: surer.certainty },
    commands,
  };
}
