/** A share in points (0.01), with its sign. */
export const signedPoints = (share: number): string => `${share >= 0 ? '+' : ''}${(share * 100).toFixed(1)}`;

export const count = (value: number): string => value.toLocaleString('en-US');

/** A table whose first row is its header. */
export const table = (rows: readonly (readonly string[])[]): string =>
  rows
    .map((cells, i) => `| ${cells.join(' | ')} |${i === 0 ? `\n|${cells.map(() => ' --- |').join('')}` : ''}`)
    .join('\n');
