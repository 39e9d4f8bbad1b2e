import { Help } from 'commander';

/** Fewest columns that text is wrapped to: in fewer, the terminal breaks lines better than blanks do. */
const COLUMNS_MIN = 40;
/** Fewest columns behind an indent. */
const WIDTH_MIN = 20;
const COMMAND = /^\s*(\$ |qdrant-tldr |npm |curl )/;

/** Returns the width of a terminal; Infinity if the stream is none. */
export function terminalColumns({ isTTY, columns }: NodeJS.WriteStream): number {
  return isTTY && columns > 0 ? columns : Number.POSITIVE_INFINITY;
}

/**
 * Returns text whose lines are broken between words, so that the terminal does not break them inside of words. What
 * follows keeps the indent of its line. Commands stay whole, so that they can be copied.
 */
export function wrapWords(text: string, columns: number): string {
  if (columns < COLUMNS_MIN || !Number.isFinite(columns)) return text;
  const help = Object.assign(new Help(), { minWidthToWrap: WIDTH_MIN });
  const wrapLine = (line: string): string => {
    if (help.displayWidth(line) <= columns || COMMAND.test(line)) return line;
    const words = line.trimStart();
    const indent = line.slice(0, line.length - words.length);
    const lines = help.boxWrap(words, Math.max(WIDTH_MIN, columns - indent.length)).split('\n');
    return lines.map((one) => indent + one).join('\n');
  };
  return text.split('\n').map(wrapLine).join('\n');
}
