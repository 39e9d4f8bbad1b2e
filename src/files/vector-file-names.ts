import { TldrError } from '../core/errors.js';

/** Endings of the files that hold vectors as one table. */
const ENDINGS = ['.npy', '.parquet'] as const;

/** Whether a file's name ends like that of a table of vectors (.npy or .parquet). Anything else is text. */
export function isVectorFile(path: string): boolean {
  return ENDINGS.some((ending) => path.endsWith(ending));
}

/** Whether a file's name ends like that of a Parquet file. */
export function isParquet(path: string): boolean {
  return path.endsWith('.parquet');
}

/**
 * Checks that a column is only named if there is a Parquet file to look for it in.
 * @throws INVALID_ARGUMENT
 */
export function checkColumn(
  flag: string,
  column: string | undefined,
  paths: readonly (string | undefined)[],
): void {
  if (column === undefined || paths.some((path) => path !== undefined && isParquet(path))) return;
  throw new TldrError('INVALID_ARGUMENT', `${flag} names a column, which only Parquet files (.parquet) have`);
}
