import { TldrError } from '../../core/errors.js';
import { bytesText } from '../../report/format.js';
import { memoryLimit } from '../../select/train-memory.js';

/**
 * Copies in memory: the file's vectors, those that remain without the queries, and a copy scaled for
 * comparison.
 */
const COPIES = 3;

/**
 * Refuses vectors whose evaluation needs more memory than this process may use. Call it before reading them.
 * @throws INVALID_ARGUMENT when the memory is not enough
 */
export function checkReadMemory(
  path: string,
  { rows, cols }: { readonly rows: number; readonly cols: number },
  limit = memoryLimit(),
): void {
  const takenBytes = 4 * COPIES * rows * cols;
  if (takenBytes <= limit) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${path} holds ${rows.toLocaleString('en-US')} vectors of ${cols.toLocaleString('en-US')} dimensions: evaluating them takes about ${bytesText(takenBytes)} of memory, and this process may use ${bytesText(limit)}; give fewer vectors`,
  );
}
