import type { SizingRow, PlanTarget } from '../../plan/sizing-row.js';
import { planReportRows } from '../../plan/sizing-row.js';
import { formatBytes, formatLatency, formatNumber, formatPercent, formatShare } from '../../report/format.js';
import type {
  KeyFigure,
  MemoryBars,
  PageStep,
  RecallPerDim,
  ReportInput,
  ReportVerdict,
} from '../../report/input.js';
import type { ResultTable } from '../../report/result-table.js';
import type { PlanResult } from '../../plan/run-plan.js';
import type { PlanSetup } from '../../plan/prepare-plan.js';
import { memoryBars, savingSentence, searchHeadline } from '../page-parts/verdict-words.js';
import { nameOf } from './budgets.js';
import { predictionText } from './print.js';
import { CREATED_BY } from '../../encoder/package-version.js';

/** With fewer queries, the interval says less than it seems to: a verdict is given with caution. */
const QUERIES_FEW = 100;

export interface PlanPageParts {
  readonly collection: string;
  readonly setup: {
    readonly points: number;
    readonly vector: Pick<PlanSetup['vector'], 'name' | 'dim' | 'distance'>;
  };
  readonly result: PlanResult;
  readonly target: PlanTarget | undefined;
  readonly chosen: SizingRow | null;
  /** A compact configuration that gains too little over the chosen one to be worth an encoder. */
  readonly passedOver: SizingRow | null;
  readonly tables: readonly ResultTable[];
  /** The command that was run, and the commands that create the chosen configuration. */
  readonly command: string;
  readonly commands: readonly string[];
  /** The command that has a configuration chosen. */
  readonly commandWithTarget: string;
}

/** Returns a plan as the input of a report. */
export function planPage(parts: PlanPageParts): ReportInput {
  const { collection, setup, result, chosen, tables, command } = parts;
  const memory = memoryOf(parts);
  const { vector, points } = setup;
  return {
    title: `Plan for ${collection}`,
    createdBy: CREATED_BY,
    verdict: verdictOf(parts),
    facts: [
      ['Collection', collection],
      ['Points', formatNumber(points)],
      ['Vector', `"${vector.name}", ${vector.dim} dimensions, ${vector.distance}`],
      [
        'Measured with',
        `${formatNumber(result.samplePoints)} points, ${formatNumber(result.queries.count)} queries`,
      ],
      ['Queries', queriesWords(result.queries)],
      ...(result.doublings > 0 ? [['Recall', predictionText(result, points)] as const] : []),
      ...result.notes.map((note): [string, string] => ['Note', note]),
    ],
    ...(memory === null ? {} : { memory }),
    figures: chosen === null ? [] : figuresOf(chosen, currentRow(result)),
    pareto: planReportRows(result.rows, chosen),
    recallPerDim: recallPerDim(result.rows),
    tables,
    next: stepsOf(parts),
    reproduce: [command],
  };
}

function queriesWords({ heldOut, training }: PlanResult['queries']): string {
  if (heldOut) return 'held-out points, not real queries';
  return training === 0
    ? 'real queries'
    : `real queries; ${formatNumber(training)} others trained and chose the encoders`;
}

function verdictOf(parts: PlanPageParts): ReportVerdict {
  const { result, target, chosen, passedOver } = parts;
  const share = (value: number): string => formatPercent(value, 1);
  if (chosen === null) {
    return {
      tone: target === undefined ? 'caution' : 'bad',
      headline:
        target === undefined
          ? 'Sizes and storage measured; name a target to have the cheapest picked'
          : 'No configuration that was measured reaches the target',
      details: ['Every point below was measured on a real server with a sample of the collection.'],
    };
  }
  const memory = memoryOf(parts);
  const isUnsure = result.queries.count < QUERIES_FEW;
  return {
    tone: isUnsure ? 'caution' : 'good',
    headline: searchHeadline(chosen.recallAt10, memory?.pairs[0] ?? null),
    ...(memory === null ? {} : { lead: savingSentence(memory) }),
    details: [
      `That is ${chosen.label}${chosen.oversampling > 1 ? `, with ${chosen.oversampling} first-stage results for each result, which the full vectors order` : ''}.`,
      `95 % interval of its recall: ${chosen.interval.map(share).join(' to ')}.`,
      ...(isUnsure
        ? [
            `Only ${formatNumber(result.queries.count)} queries measured it, so the interval may be too narrow: measure with more queries, and if the time budget was short, with a longer one, before you rely on it.`,
          ]
        : []),
      ...(result.doublings > 0 ? ['The recall is predicted for the size of the whole collection.'] : []),
      ...(passedOver === null
        ? []
        : [
            `It keeps the full vectors and needs no encoder. ${nameOf(passedOver)} would find ${share(passedOver.recallAt10)} with ${formatBytes(passedOver.ramBytes)}: a compact space is recommended from 2 points more recall in the same memory, or half the memory.`,
          ]),
    ],
  };
}

/** RAM of the collection as it is and as it would be; null if either is not known. */
function memoryOf({ chosen, result, setup }: PlanPageParts): MemoryBars | null {
  const current = currentRow(result);
  if (chosen === null || current === undefined) return null;
  return memoryBars(
    { before: current.ramBytes, after: chosen.ramBytes },
    {
      points: setup.points,
      note: result.beside
        ? 'The index, or the column if it has none. The table stays as it is.'
        : 'Vectors, codes and index. Ids and payload are the same in every configuration.',
    },
  );
}

/** The commands that create the chosen configuration, or one that has a configuration chosen. */
function stepsOf({ chosen, commands, commandWithTarget }: PlanPageParts): PageStep[] {
  if (chosen !== null)
    return [{ text: 'Create the chosen configuration with these commands, in this order.', commands }];
  return [
    {
      text: 'Name the recall that you need. The command then picks the configuration with the least RAM, and prints the commands that create it.',
      commands: [commandWithTarget],
    },
  ];
}

function currentRow({ rows }: PlanResult): SizingRow | undefined {
  return rows.find(({ kind }) => kind === 'current');
}

/** The chosen configuration, compared with the collection as it is today. */
function figuresOf(chosen: SizingRow, current: SizingRow | undefined): KeyFigure[] {
  const was = (text: (row: SizingRow) => string): { note?: string } =>
    current === undefined || current === chosen ? {} : { note: text(current) };
  return [
    {
      term: 'Memory',
      value: formatBytes(chosen.ramBytes),
      ...was((row) => `${formatBytes(row.ramBytes)} today, ${compareBytes(chosen.ramBytes, row.ramBytes)}`),
    },
    {
      term: 'Recall@10',
      value: formatShare(chosen.recallAt10),
      ...was((row) => `${formatShare(row.recallAt10)} today`),
    },
    {
      term: 'Disk',
      value: formatBytes(chosen.diskBytes),
      ...was((row) => `${formatBytes(row.diskBytes)} today`),
    },
    {
      term: 'Latency of a query',
      value: formatLatency(chosen.latencyMsP50),
      ...was((row) => `${formatLatency(row.latencyMsP50)} today`),
    },
  ];
}

function compareBytes(now: number, before: number): string {
  if (before <= 0 || now === before) return 'the same';
  return now < before ? `${formatPercent(1 - now / before)} less` : `${formatPercent(now / before - 1)} more`;
}

/** Returns the recall of compact float32 vectors without rescoring, by size. */
function recallPerDim(rows: readonly SizingRow[]): RecallPerDim[] {
  const points = rows
    .filter(
      ({ kind, datatype, oversampling }) =>
        kind === 'compact' && datatype === 'float32' && oversampling === 1,
    )
    .map(({ dim, recallAt10, interval }) => ({ dim, recallAt10, interval }))
    .sort((a, b) => a.dim - b.dim);
  return points.length < 2 ? [] : [{ name: 'compact, not rescored', points }];
}
