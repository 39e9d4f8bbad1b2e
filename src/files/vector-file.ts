import { TldrError } from '../core/errors.js';
import { matrix, rowsPerBlock, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';

/** Largest number of values in one typed array of Node. Larger files get an error that names the file. */
const COMPONENTS_MAX = 2 ** 32;
const ROWS_PER_BLOCK = 4096;

/** An open file of vectors, N x D. */
export interface VectorFile {
  readonly rows: number;
  readonly cols: number;
  /** Rows start (included) to end (excluded), as float32. It is fastest if rows are read in ascending order. */
  read(start: number, end: number): Promise<Matrix>;
  close(): Promise<void>;
}

/** Checks the shape of a table before it is read. */
export type ShapeCheck = (shape: Pick<VectorFile, 'rows' | 'cols'>) => void;

/**
 * Reads a whole file as one matrix and closes it.
 * @throws INVALID_DATA when it holds too many numbers for one matrix
 * @throws ABORTED as soon as the signal fires
 * @throws any error of `check`, which runs before the values are read
 */
export async function readAllVectors(
  path: string,
  file: VectorFile,
  { signal, check }: { readonly signal?: AbortSignal | undefined; readonly check?: ShapeCheck | undefined },
): Promise<Matrix> {
  try {
    check?.(file);
    const { rows, cols } = file;
    if (rows * cols > COMPONENTS_MAX)
      throw new TldrError(
        'INVALID_DATA',
        `${path}: its shape is (${rows}, ${cols}), expected at most ${COMPONENTS_MAX} numbers`,
      );
    const all = matrix(rows, cols);
    const blockRows = rowsPerBlock(cols, ROWS_PER_BLOCK);
    for (let start = 0; start < rows; start += blockRows) {
      throwIfAborted(signal);
      const block = await file.read(start, Math.min(rows, start + blockRows));
      all.data.set(block.data, start * cols);
    }
    return all;
  } finally {
    await file.close();
  }
}
