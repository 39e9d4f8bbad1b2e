/** A share in points (0.01), with its sign. */
export function signedPoints(share: number): string {
  const points = (share * 100).toFixed(1);
  if (Number(points) === 0) return '0.0';
  return share > 0 ? `+${points}` : points;
}

export const count = (value: number): string => value.toLocaleString('en-US');

/** A table whose first row is its header. */
export const table = (rows: readonly (readonly string[])[]): string =>
  rows
    .map((cells, i) => `| ${cells.join(' | ')} |${i === 0 ? `\n|${cells.map(() => ' --- |').join('')}` : ''}`)
    .join('\n');
