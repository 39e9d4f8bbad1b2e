import stringWidth from 'string-width';

const GAP = '  ';
/** A narrow terminal never cuts the names of rows to less than this. */
const NAME_COLUMNS_MIN = 12;

/** How a table is printed. */
export interface TableLayout {
  /** Numbers: the first column to the left and the others to the right. Words: all to the left. */
  readonly align?: 'numbers' | 'words';
  /** Width that lines must not exceed; Infinity without a terminal. */
  readonly columns?: number;
  /**
   * For each column, when it is left out of a narrow terminal: the highest number first, the column to the right first
   * if numbers are equal. 0, also if absent: only after all others. The first column always stays.
   */
  readonly ranks?: readonly number[];
}

/** A printed table, and the heads of the columns that did not fit. */
export interface FittedTable {
  readonly lines: readonly string[];
  readonly leftOut: readonly string[];
}

/** Returns rows, the heads first, as aligned lines that fit; the first column is cut if need be. */
export function fitTable(rows: readonly (readonly string[])[], layout: TableLayout = {}): FittedTable {
  const { align = 'numbers', columns = Number.POSITIVE_INFINITY, ranks = [] } = layout;
  const cells = rows.map((row) => row.map(plainText));
  const heads = cells[0] ?? [];
  const widths = heads.map((_, j) => Math.max(...cells.map((row) => stringWidth(row[j] ?? ''))));
  const shown = new Set(heads.keys());
  const rest = (): number =>
    [...shown].reduce((sum, j) => sum + (j === 0 ? 0 : GAP.length + (widths[j] ?? 0)), 0);
  const room = Math.min(widths[0] ?? 0, NAME_COLUMNS_MIN);
  const leaving = [...heads.keys()].slice(1).sort((a, b) => (ranks[b] ?? 0) - (ranks[a] ?? 0) || b - a);
  for (const j of leaving) {
    // A column that may go makes room for whole names; the others go only for the least of a name.
    const wanted = (ranks[j] ?? 0) > 0 ? (widths[0] ?? 0) : room;
    if (rest() + wanted > columns) shown.delete(j);
  }
  const name = Math.max(1, Math.min(widths[0] ?? 0, columns - rest()));
  const lines = cells.map((row) => {
    const texts = [...shown].map((j) =>
      j === 0
        ? padded(cutTo(row[0] ?? '', name), name, 'left')
        : padded(row[j] ?? '', widths[j] ?? 0, align === 'words' ? 'left' : 'right'),
    );
    return texts.join(GAP).trimEnd();
  });
  return { lines, leftOut: heads.filter((_, j) => !shown.has(j)) };
}

/** Returns the text without what would move the cursor or break the line. */
function plainText(text: string): string {
  return text.replaceAll('\u00A0', ' ').replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** Returns the text, cut to at most this many columns of a terminal. */
export function cutTo(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let cut = '';
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (stringWidth(cut + segment) > columns - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

function padded(text: string, columns: number, side: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, columns - stringWidth(text)));
  return side === 'left' ? text + blanks : blanks + text;
}
