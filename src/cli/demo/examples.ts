import { sayRows } from '../console/show-results.js';
import { cutTo } from '../console/table.js';
import type { ConsoleRun } from '../console/command-output.js';

const EXAMPLES = 5;
/** Widest text of an example, and what stands around two of them. */
const EXAMPLE_COLUMNS_MAX = 52;
const EXAMPLE_FRAME_COLUMNS = 4;

/** A query, and the first results of two searches as texts. */
export interface DemoExample {
  readonly query: string;
  readonly full: readonly string[];
  readonly compact: readonly string[];
}

/** Returns the numbers of the queries that are shown. */
export function shownQueries(count: number): readonly number[] {
  return Array.from({ length: EXAMPLES }, (_, i) => Math.floor((i * count) / EXAMPLES));
}

/** Prints an example. */
export function sayExample(run: ConsoleRun, { query, full, compact }: DemoExample): void {
  const width = Math.min(EXAMPLE_COLUMNS_MAX, Math.floor((run.columns - EXAMPLE_FRAME_COLUMNS) / 2));
  const cut = (value: string): string => cutTo(value, width);
  run.say(`\n"${query}"`);
  const rows = full.map((line, j) => [`  ${cut(line)}`, cut(compact[j] ?? '')]);
  sayRows(run, [['  full', 'compact'], ...rows], { align: 'words' });
}
