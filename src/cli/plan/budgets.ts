import { bestWithin, type MemoryBudget } from '../../plan/memory-budgets.js';
import type { SizingRow } from '../../plan/sizing-row.js';
import type { Recommended } from '../../plan/worth-an-encoder.js';
import type { PlanResult } from '../../plan/run-plan.js';
import { formatBytes } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import type { ConsoleRun } from '../console/command-output.js';

/** Returns the table of what finds most in less and less memory. */
export function budgetTable(
  budgets: readonly MemoryBudget[],
  { beside }: Pick<PlanResult, 'beside'>,
): ResultTable {
  return {
    title: 'Best recall in less memory',
    columns: [
      ['memory'],
      ['at most', 'bytes', 3],
      ['best configuration'],
      ['recall@10', 3],
      ['95 % interval', 3, 4],
      [beside ? 'index' : 'RAM', 'bytes'],
      ['best of full vectors', undefined, 2],
      ['recall@10', 3, 2],
    ],
    rows: budgets.map(({ divisor, ramBytes, best, bestOfFull }) => ({
      cells: [
        `1/${divisor}`,
        ramBytes,
        best === null ? 'none fits' : nameOf(best),
        best?.recallAt10 ?? null,
        best?.interval ?? null,
        best?.ramBytes ?? null,
        bestOfFull === null ? 'none fits' : nameOf(bestOfFull),
        bestOfFull?.recallAt10 ?? null,
      ],
    })),
    note: `memory: a share of the full vectors as float32. ${beside ? 'It is compared with the bytes of the index' : 'RAM counts vectors or codes, and the graph'}`,
  };
}

/** A configuration in words. */
export function nameOf(row: SizingRow): string {
  return `${row.label}${row.oversampling > 1 ? `, ${row.oversampling}x oversampling` : ''}`;
}

/** Prints the configuration with the best recall in this memory. */
export function printRamChoice(
  run: Pick<ConsoleRun, 'say' | 'sayCode'>,
  {
    choice,
    ramBytes,
    rows,
    commands,
  }: {
    readonly choice: Recommended<SizingRow> | null;
    readonly ramBytes: number;
    readonly rows: readonly SizingRow[];
    readonly commands: readonly string[];
  },
): void {
  run.say('');
  if (choice === null) {
    const [least] = rows.filter(({ deployable }) => deployable).sort((a, b) => a.ramBytes - b.ramBytes);
    const nearest =
      least === undefined ? '' : `; the smallest is ${nameOf(least)} with ${formatBytes(least.ramBytes)}`;
    run.say(`no configuration fits into ${formatBytes(ramBytes)} of RAM${nearest}`);
    return;
  }
  const { row: chosen, passedOver } = choice;
  const what = passedOver === null ? 'best recall in' : 'recommended for';
  run.say(`${what} ${formatBytes(ramBytes)} of RAM: ${nameOf(chosen)}`);
  run.say(
    `  recall@10 ${chosen.recallAt10.toFixed(3)} (95 %: ${chosen.interval.map((value) => value.toFixed(3)).join(' - ')}), ${formatBytes(chosen.ramBytes)} of RAM`,
  );
  sayMemoryToday(run, chosen, rows);
  sayWhyFullVectors(run, choice, rows);
  if (commands.length > 0) run.say('later:');
  for (const command of commands) run.sayCode(`  ${command}`);
}

/** Prints the memory of the collection as it is beside that of the chosen configuration. */
export function sayMemoryToday(
  run: Pick<ConsoleRun, 'say'>,
  chosen: SizingRow,
  rows: readonly SizingRow[],
): void {
  const current = rows.find(({ kind }) => kind === 'current');
  if (current === undefined || current === chosen) return;
  run.say(
    `  RAM ${formatBytes(current.ramBytes)} -> ${formatBytes(chosen.ramBytes)}, recall@10 ${current.recallAt10.toFixed(3)} -> ${chosen.recallAt10.toFixed(3)}`,
  );
}

/** Says why the database's own storage of full vectors is recommended, and what a compact space would give. */
export function sayWhyFullVectors(
  run: Pick<ConsoleRun, 'say'>,
  { row: chosen, passedOver }: Recommended<SizingRow>,
  rows: readonly SizingRow[],
): void {
  if (chosen.kind === 'compact') return;
  if (passedOver !== null) {
    const { recallAt10, ramBytes } = passedOver;
    run.say(
      `  this keeps the full vectors and needs no encoder; ${nameOf(passedOver)} has recall@10 ${recallAt10.toFixed(3)} in ${formatBytes(ramBytes)} of RAM`,
    );
    run.say(
      '  a compact space is recommended from 2 points more recall in the same memory, or half the memory',
    );
    return;
  }
  const compact = bestWithin(
    rows.filter(({ kind }) => kind === 'compact'),
    chosen.ramBytes,
  );
  const other =
    compact === null
      ? 'no compact space fits into its memory'
      : `the best compact space in its memory is ${nameOf(compact)} with ${compact.recallAt10.toFixed(3)}`;
  run.say(`  this keeps the full vectors and needs no encoder; ${other}`);
}
