import { TldrError } from '../../core/errors.js';
import { memoryLimit } from '../../select/train-memory.js';

/** The vectors of a file, what is left of them without the queries, and the copy that is scaled to be compared. */
const COPIES = 3;

/**
 * Refuses vectors that cannot be judged in the memory that there is; meant to be called before they are read.
 * @throws INVALID_ARGUMENT
 */
export function checkReadMemory(
  path: string,
  { rows, cols }: { readonly rows: number; readonly cols: number },
  limit = memoryLimit(),
): void {
  const takenBytes = 4 * COPIES * rows * cols;
  if (takenBytes <= limit) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${path} holds ${rows.toLocaleString('en-US')} vectors of ${cols.toLocaleString('en-US')} dimensions: judging takes about ${gigabytes(takenBytes)} of memory, and this process may use ${gigabytes(limit)}; give fewer vectors`,
  );
}
