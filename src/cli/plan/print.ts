import { expectDefined } from '../../core/errors.js';
import { fileNamePart } from '../../core/bounded-name.js';
import {
  frontierOf,
  planReportRows,
  type PlanChoice,
  type SizingRow,
  type PlanTarget,
} from '../../plan/sizing-row.js';
import { secondsPerSize } from '../../plan/plan-budget.js';
import type { PlanResult } from '../../plan/run-plan.js';
import type { FitGap } from '../../plan/extrapolate-recall.js';
import type { Recommended } from '../../plan/worth-an-encoder.js';
import type { PlanOptions, PlanSetup } from '../../plan/prepare-plan.js';
import { DATATYPES } from '../../store/collection.js';
import { formatBytes, formatNumber } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import { sayTables } from '../console/show-results.js';
import { candidateLabel } from '../train/candidate-names.js';
import { percentText, type ConsoleRun } from '../console/command-output.js';
import type { MemoryBudget } from '../../plan/memory-budgets.js';
import { nameOf, sayMemoryToday, sayWhyFullVectors } from './budgets.js';
import {
  collectionMadeBy,
  migrationLine,
  searchLine,
  targetNameOf,
  trainingLine,
} from './deploy-commands.js';
import { nextCommand, servingLine } from '../console/next-commands.js';
import type { GlobalFlags } from '../console/options.js';
import { shellWord } from '../console/shell-command.js';
import { hasProxy } from '../adapters.js';

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
  { rows, samplePoints, doublings }: PlanResult,
  chosen: SizingRow | null,
): ResultTable {
  const frontier = frontierOf(rows);
  const carriedOn = doublings > 0;
  return {
    title: 'Configurations',
    columns: [
      ['configuration'],
      ['rescored'],
      [carriedOn ? 'predicted' : 'recall@10', 3],
      ['95 % interval', 3, 2],
      ...(carriedOn ? [[`at ${formatNumber(samplePoints)}`, 3, 7] as const] : []),
      ['nDCG@10', 3, 6],
      ['RAM/million', 'bytes', 4],
      ['RAM', 'bytes'],
      ['disk', 'bytes', 1],
      ['ms p50', 1, 3],
      ['p95', 1, 5],
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
        ],
        starred: frontier.has(row),
        picked: row === chosen ? 'chosen' : undefined,
        folded: row.kind === 'compact' && row !== chosen && !frontier.has(row),
      })),
    note: `* no other configuration has at least this recall for less RAM${carriedOn ? '; predicted: recall@10 in the whole collection' : ''}`,
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
  run.say(
    'RAM and disk: vectors by their size, codes and index as the server wrote them; ids and payload are the same everywhere and left out',
  );
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
    for (const command of commands) run.say(`  ${command}`);
  }
}

/** Returns the commands that create a configuration, search it and serve it. */
export function planCommands(
  row: SizingRow,
  {
    options,
    setup,
    url,
    flags,
    trainFlags,
  }: {
    readonly options: PlanOptions;
    readonly setup: PlanSetup;
    readonly url: string;
    /** The flags of `plan`, with those that lead to the database. */
    readonly flags: GlobalFlags;
    /** How the encoders were scored, as flags of `train`. */
    readonly trainFlags: readonly (readonly [string, string])[];
  },
): string[] {
  const { collection, vectorName, seed } = options;
  if (row.datatype === 'as configured' || row.kind === 'current')
    return ['# nothing to do: the collection already is like this'];
  if (row.kind === 'full') return fullCommands(row, { setup, url, collection });
  const encoderFile = `${fileNamePart(collection)}-${row.dim}.onnx`;
  const { dim, datatype, oversampling, layout } = row;
  const hnswM = row.hnswM === setup.current.hnswM ? undefined : row.hnswM;
  const made = { dim, datatype, oversampling, layout, hnswM };
  const target = targetNameOf(collection, made);
  const deployment = { collection, vectorName, encoderFile, target, row: made };
  const training = trainingLine(deployment, [
    ['--seed', seed],
    ...trainFlags,
    ['--budget', `${secondsPerSize(options, setup)}s`],
    ...(options.deterministic === false ? [] : [['--deterministic', null] as const]),
  ]);
  const proxy = hasProxy(url) ? [servingLine(collectionMadeBy(deployment))] : [];
  return [training, migrationLine(deployment), searchLine(deployment), ...proxy].map((line) =>
    nextCommand(flags, line),
  );
}

const BINARY_SETTINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  binary: {},
  'binary-1bit': { query_encoding: 'scalar8bits' },
  'binary-1.5bit': { encoding: 'one_and_half_bits', query_encoding: 'scalar8bits' },
  'binary-2bit': { encoding: 'two_bits', query_encoding: 'scalar8bits' },
};

/** Full vectors need no encoder: only the server's storage settings change. */
function fullCommands(
  row: SizingRow,
  { setup, url, collection }: { setup: PlanSetup; url: string; collection: string },
): string[] {
  if (DATATYPES.some((name) => name === row.datatype))
    return [
      `# the datatype of an existing vector cannot be changed: create a collection with ${row.datatype}${row.hnswM === setup.current.hnswM ? '' : ` and m ${row.hnswM} of hnsw_config`}, and copy`,
    ];
  const turbo = /^turbo-(.+)bit$/.exec(row.datatype)?.[1];
  const codes =
    turbo !== undefined
      ? { turbo: { bits: `bits${turbo.replace('.', '_')}`, always_ram: true } }
      : row.datatype === 'scalar'
        ? { scalar: { type: 'int8', always_ram: true } }
        : row.datatype in BINARY_SETTINGS
          ? { binary: { ...BINARY_SETTINGS[row.datatype], always_ram: true } }
          : { product: { compression: row.datatype.replace('product-', ''), always_ram: true } };
  const graph = row.hnswM === setup.current.hnswM ? {} : { hnsw_config: { m: row.hnswM } };
  const body = {
    vectors: { [setup.vector.name]: { on_disk: true, quantization_config: codes, ...graph } },
  };
  const commands = [
    `curl -X PATCH ${shellWord(`${url}/collections/${encodeURIComponent(collection)}`)} -H 'content-type: application/json' -d ${shellWord(JSON.stringify(body))}`,
  ];
  if (row.oversampling > 1) {
    const params = { quantization: { rescore: true, oversampling: row.oversampling } };
    commands.push(`# and in every search: "params": ${JSON.stringify(params)}`);
  }
  return commands;
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
