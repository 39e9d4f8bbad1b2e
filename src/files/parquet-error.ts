import { TldrError } from '../core/errors.js';

/** Returns the error for a file that cannot be read as Parquet, or whose column holds no vectors. */
export function unusableParquet(path: string, why: string): TldrError {
  return new TldrError('INVALID_DATA', `${path} is no usable Parquet file: ${why}`);
}
