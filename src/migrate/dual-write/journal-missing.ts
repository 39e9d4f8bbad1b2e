import { stat } from 'node:fs/promises';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { readDesiredState, readReport } from './journal-state.js';

/** What is lost with a journal, and what can be done: whoever loses one must not believe that nothing was in it. */
export const LOST_WITH_IT =
  'which writes still have to be brought to the target is not known any more: the source has every write that was made through the proxy, the target may lack some of them, and deleting the source would lose these for good; put a whole copy of the journal back, or give this target up: `migrate rollback` where clients read it, `migrate abort --execute`, then move what is left of the journal away, start the proxy, and migrate again';

/**
 * A journal is new only before anything was copied.
 * @param why there must be one; null where a new one may begin
 * @throws INVALID_DATA for one that must be there and is not, or is empty
 */
export async function checkNotMissing(path: string, why: string | null, leastBytes: number): Promise<void> {
  const sizeBytes = await stat(path).then(
    ({ size }) => size,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    },
  );
  if (why === null || (sizeBytes !== null && sizeBytes >= leastBytes)) return;
  throw lostError(path, sizeBytes === null ? 'is missing' : `holds ${sizeBytes} bytes`, why);
}

/** @param why there must be another one */
export function lostError(path: string, found: string, why: string): TldrError {
  return new TldrError('INVALID_DATA', `the journal ${path} ${found}, but ${why}: ${LOST_WITH_IT}`);
}

/** What is noted beside a journal tells whether one was kept; null where a new one may begin. */
export async function whyExpected(folder: string): Promise<string | null> {
  const plan = await readDesiredState(folder);
  if (plan.state !== 'waiting' || plan.side === 'target')
    return `plan.json beside it says "${plan.state}", with clients on the ${plan.side}`;
  const report = await readReport(folder);
  if (report !== null && (report.state !== 'waiting' || report.open > 0))
    return `proxy.json beside it says "${report.state}", with ${report.open} writes open`;
  return null;
}

/** Returns the error for a folder in which no journal can be opened. */
export function unusable(folder: string, cause: unknown): TldrError {
  if (cause instanceof TldrError) return cause;
  const message = `cannot keep a journal in ${folder}: ${messageOf(cause)}`;
  return new TldrError('INVALID_ARGUMENT', message, { cause });
}
