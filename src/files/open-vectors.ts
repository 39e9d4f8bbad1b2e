import { checkFinite, type Matrix } from '../core/matrix.js';
import { openNpy } from './npy.js';
import { isParquet } from './vector-file-names.js';
import { readAllVectors, type ShapeCheck, type VectorFile } from './vector-file.js';

/**
 * Opens a table of vectors: a Parquet file if its name ends so, else a .npy file.
 * @param column the Parquet column that holds the vectors; it may be left out if there is only one such column
 * @throws NOT_FOUND when it cannot be opened, or has no such column
 * @throws INVALID_DATA when it is no such file
 */
export async function openVectors(path: string, column?: string): Promise<VectorFile> {
  if (!isParquet(path)) return openNpy(path);
  // Few calls need it.
  const { openParquet } = await import('./parquet.js');
  return openParquet(path, column);
}

/**
 * Reads a whole table of vectors as one matrix of finite values.
 * @throws NOT_FOUND when it cannot be opened, or has no such column
 * @throws INVALID_DATA when it is no such file, is too large for one matrix, or holds NaN or infinity
 * @throws any error of `check`, which runs before the values are read
 */
export async function readFiniteVectors(
  path: string,
  {
    column,
    check,
    signal,
  }: {
    readonly column?: string | undefined;
    readonly check: ShapeCheck;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Matrix> {
  const all = await readAllVectors(path, await openVectors(path, column), { signal, check });
  checkFinite(all, (i) => `row ${i} of ${path}`);
  return all;
}
