import type { SizingRow, PlanTarget } from '../../plan/sizing-row.js';
import { planReportRows } from '../../plan/sizing-row.js';
import type { RecallPerDim, ReportInput, ReportVerdict } from '../../report/input.js';
import type { PlanResult } from '../../plan/run-plan.js';
import type { PlanSetup } from '../../plan/prepare-plan.js';
import { CREATED_BY } from '../../select/product-version.js';
import { megabytes } from '../console/run.js';

export interface PlanPageParts {
  readonly collection: string;
  readonly setup: PlanSetup;
  readonly result: PlanResult;
  readonly target: PlanTarget | undefined;
  readonly chosen: SizingRow | null;
  /** The command that was run, and the commands that create the chosen configuration. */
  readonly command: string;
  readonly commands: readonly string[];
}

/** Returns a plan as the input of a report. */
export function planPage(parts: PlanPageParts): ReportInput {
  const { collection, setup, result, chosen, command, commands } = parts;
  const count = (value: number): string => value.toLocaleString('en-US');
  const { vector, points } = setup;
  return {
    title: `Plan for ${collection}`,
    createdBy: CREATED_BY,
    verdict: verdictOf(parts),
    facts: [
      ['Collection', collection],
      ['Points', count(points)],
      ['Vector', `"${vector.name}", ${vector.dim} dimensions, ${vector.distance}`],
      ['Measured with', `${count(result.samplePoints)} points, ${count(result.queries.count)} queries`],
      ['Queries', queriesWords(result.queries)],
      ...result.notes.map((note): [string, string] => ['Note', note]),
    ],
    pareto: planReportRows(result.rows, chosen),
    recallPerDim: recallPerDim(result.rows),
    reproduce: [command, ...commands],
  };
}

function queriesWords({ heldOut, training }: PlanResult['queries']): string {
  if (heldOut) return 'held-out points, not real queries';
  return training === 0
    ? 'real queries'
    : `real queries; ${training.toLocaleString('en-US')} others trained and chose the encoders`;
}

function verdictOf({ result, target, chosen }: PlanPageParts): ReportVerdict {
  const current = result.rows.find(({ kind }) => kind === 'current');
  const share = (value: number): string => `${(value * 100).toFixed(1)} %`;
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
  const saved =
    current === undefined || current.ramBytes === 0 ? null : 1 - chosen.ramBytes / current.ramBytes;
  return {
    tone: 'good',
    headline: `${chosen.label} finds ${share(chosen.recallAt10)} of the true ten nearest with ${megabytes(chosen.ramBytes)} of RAM`,
    details: [
      ...(saved === null || current === undefined
        ? []
        : [
            `That is ${share(Math.abs(saved))} ${saved < 0 ? 'more' : 'less'} than the ${megabytes(current.ramBytes)} of the collection as it is.`,
          ]),
      `95 % interval of its recall: ${chosen.interval.map(share).join(' to ')}.`,
      'RAM counts vectors, codes and index; ids and payload are the same in every configuration.',
    ],
  };
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
