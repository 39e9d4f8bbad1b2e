import { stat } from 'node:fs/promises';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { readDesiredState, readReport } from './proxy-state-files.js';

/** Says for people what is lost with a journal, so that nobody takes a lost journal for an empty one. */
export const LOST_WITH_IT =
  'without it, nobody knows which writes the target still lacks. The source has every write that was made through the proxy, the target may lack some of them, and deleting the source would lose these for good';

/**
 * Checks that a journal that must exist does exist. A new one may begin only before anything was copied.
 * @param why the reason that there must be a journal; null if a new one may begin
 * @throws INVALID_DATA when there must be a journal and it is missing or empty
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

/** Returns the error for a missing or wrong journal. @param why the reason that there must be another one */
export function lostError(path: string, found: string, why: string): TldrError {
  return new TldrError('INVALID_DATA', `the journal ${path} ${found}, but ${why}: ${LOST_WITH_IT}`, {
    hint: 'restore-journal',
  });
}

/** Returns why the files beside a journal show that there must be one; null if a new one may begin. */
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
