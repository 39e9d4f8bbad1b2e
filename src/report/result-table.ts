import { formatBytes, formatNumber } from './format.js';

/** How the numbers of a column are written: whole, with so many decimals, with a sign, or as bytes. */
export type NumberFormat = 'whole' | 'signed' | 'bytes' | 1 | 2 | 3 | 4;

/**
 * The head of a column; a column of words has no format. `rank` says when a narrow terminal leaves it out: the highest
 * first, those without a rank last.
 */
export type ResultColumn = readonly [head: string, format?: NumberFormat | undefined, rank?: number];

/** A word, a number, or both ends of an interval; null, undefined and NaN if there is nothing to show. */
export type ResultValue = string | number | readonly [number, number] | null | undefined;

/** A row of a table of results. */
export interface ResultRow {
  readonly cells: readonly ResultValue[];
  /** The row gets a star. */
  readonly starred?: boolean;
  /** Why the page highlights the row, in a word. */
  readonly picked?: string | undefined;
  /** A verdict, which the terminal colours. */
  readonly tone?: 'good' | 'bad';
  /** The page folds the row away, and the terminal shows only how many such rows there are. */
  readonly folded?: boolean;
}

/** What a command measured, as plain data. The terminal and the HTML page show the same texts. */
export interface ResultTable {
  /** Heading on the page. */
  readonly title: string;
  /** The first column names the rows. */
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly ResultRow[];
  /** A line below the table. */
  readonly note?: string;
  /** What the columns mean. Only the page shows it: for the terminal, `--help` and the documentation do. */
  readonly legend?: string;
}

/** Text for a value that was not measured. */
const NOTHING = '-';

/** Returns the texts of a row's cells. */
export function cellTexts({ columns }: ResultTable, { cells, starred }: ResultRow): string[] {
  return columns.map(([, format], i) => {
    const text = valueText(cells[i], format);
    return i > 0 || starred === undefined ? text : `${starred ? '*' : ' '} ${text}`;
  });
}

function valueText(value: ResultValue, format: NumberFormat = 'whole'): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'object' && value !== null)
    return value.map((end) => numberText(end, format)).join(' - ');
  return numberText(value ?? Number.NaN, format);
}

function numberText(value: number, format: NumberFormat): string {
  if (Number.isNaN(value)) return NOTHING;
  if (format === 'whole') return formatNumber(value);
  if (format === 'bytes') return formatBytes(value);
  if (format === 'signed') return `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(4)}`;
  return value.toFixed(format);
}
