import { table, type ConsoleRun } from './command-output.js';
import { writeWhole } from '../../core/write-file.js';
import type { ReportInput } from '../../report/input.js';
import { renderReport } from '../../report/render.js';
import { cellTexts, type ResultTable } from '../../report/result-table.js';

/** The terminal cuts longer names of rows; the page and `--json` show them whole. */
const NAME_LENGTH_MAX = 40;

/**
 * Prints tables with their notes.
 * @param options.all also prints folded rows
 * @param options.more the flags that show folded rows
 */
export function sayTables(
  run: Pick<ConsoleRun, 'say'>,
  tables: readonly ResultTable[],
  { all = false, more = '--json' }: { readonly all?: boolean; readonly more?: string } = {},
): void {
  for (const result of tables) {
    const shown = result.rows.filter(({ folded }) => all || folded !== true);
    const rows = shown.map((row) => {
      const [name = '', ...values] = cellTexts(result, row);
      return [name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX - 1)}…` : name, ...values];
    });
    run.say('');
    run.say(table([result.columns.map(([head]) => head), ...rows]));
    if (result.note !== undefined) run.say(result.note);
    const folded = result.rows.length - shown.length;
    if (folded > 0) run.say(`${folded} more ${folded === 1 ? 'row' : 'rows'}: ${more}`);
  }
}

/** Writes a page of results to the file, whole or not at all. */
export async function writePage(run: ConsoleRun, path: string, page: ReportInput): Promise<void> {
  const html = await renderReport(page);
  await writeWhole(path, (file) => file.writeFile(html));
  run.say(`wrote the report to ${path}`);
}
