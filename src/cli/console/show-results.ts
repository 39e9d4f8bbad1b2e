import type { Tone } from './colours.js';
import type { ConsoleRun } from './command-output.js';
import { writeWhole } from '../../core/write-file.js';
import type { ReportInput } from '../../report/input.js';
import { renderReport } from '../../report/render.js';
import { cellTexts, type ResultRow, type ResultTable } from '../../report/result-table.js';
import { cutTo, fitTable, type TableLayout } from './table.js';

/** The terminal cuts longer names of rows; the page and `--json` show them whole. */
const NAME_LENGTH_MAX = 40;

/** Stands before the row that the command chose. */
const PICKED = '> ';

/**
 * Prints tables with their notes, each as wide as the terminal allows.
 * @param options.all also prints folded rows
 * @param options.more the flags that show folded rows
 */
export function sayTables(
  run: Pick<ConsoleRun, 'say'> & Partial<Pick<ConsoleRun, 'columns' | 'paint'>>,
  tables: readonly ResultTable[],
  { all = false, more = '--verbose' }: { readonly all?: boolean; readonly more?: string } = {},
): void {
  for (const result of tables) {
    const shown = result.rows.filter(({ folded }) => all || folded !== true);
    const rows = shown.map((row) => {
      const [name = '', ...values] = cellTexts(result, row);
      return [cutTo(isMarked(row) ? PICKED + name.slice(PICKED.length) : name, NAME_LENGTH_MAX), ...values];
    });
    const { lines, leftOut } = fitTable([result.columns.map(([head]) => head), ...rows], {
      columns: run.columns ?? Number.POSITIVE_INFINITY,
      ranks: result.columns.map(([, , rank = 0]) => rank),
    });
    run.say('');
    for (const [i, line] of lines.entries()) {
      // The first line holds the heads.
      const tone = toneOf(shown[i - 1]);
      run.say(tone === undefined ? line : (run.paint?.(line, tone) ?? line));
    }
    const marked = shown.find(isMarked)?.picked;
    const notes = [
      ...(marked === undefined ? [] : [`${PICKED}marks the row that was ${marked}`]),
      ...(result.note?.split('\n') ?? []),
    ];
    for (const note of notes) run.say(note);
    if (leftOut.length > 0) run.say(`a wider terminal also shows: ${leftOut.join(', ')}`);
    const folded = result.rows.length - shown.length;
    if (folded > 0) run.say(`${folded} more ${folded === 1 ? 'row' : 'rows'}: ${more}`);
  }
}

/** Prints rows, the heads first, as a table as wide as the terminal allows. */
export function sayRows(
  run: Pick<ConsoleRun, 'say' | 'columns'>,
  rows: readonly (readonly string[])[],
  layout: Omit<TableLayout, 'columns'> = {},
): void {
  for (const line of fitTable(rows, { ...layout, columns: run.columns }).lines) run.say(line);
}

/** The tone of a row: that of its verdict, or of the chosen row. */
function toneOf(row: ResultRow | undefined): Tone | undefined {
  return row?.tone ?? (row?.picked === undefined ? undefined : 'chosen');
}

/** Whether the row is marked as chosen. Rows without a place for a star are not. */
function isMarked({ picked, starred }: ResultRow): boolean {
  return picked !== undefined && starred !== undefined;
}

/** Writes a page of results to the file, whole or not at all. */
export async function writePage(run: ConsoleRun, path: string, page: ReportInput): Promise<void> {
  const html = await renderReport(page);
  await writeWhole(path, (file) => file.writeFile(html));
  run.say(`wrote the report to ${path}`);
}
