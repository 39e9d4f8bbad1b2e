import { TldrError } from '../../core/errors.js';
import type { CatchUpRequest } from '../catch-up/passes.js';
import { proxyControlOf } from '../dual-write/proxy-control.js';
import { setAsideText } from '../dual-write/set-aside.js';
import { inEffect, type CutOver, type MigrationState, type Phase } from '../state/migration-state.js';

/** Phases in which the copy is finished. */
export const COPIED: readonly Phase[] = ['verifying', 'verified', 'repairing', 'following'];

/**
 * A migration whose writes a proxy follows is cut over by it, and no other one is.
 * @throws INVALID_ARGUMENT for another form
 */
export function checkForm(
  { form, catchUp }: { readonly form: CutOver['form']; readonly catchUp?: CatchUpRequest | undefined },
  { journal }: MigrationState,
): void {
  const wrong = (message: string): TldrError => new TldrError('INVALID_ARGUMENT', message);
  if (journal === undefined) {
    if (form === 'proxy')
      throw wrong(
        'no proxy follows the writes of this migration, since it was begun without --journal: switch an --alias, or `migrate abort` it and begin again with --journal',
      );
    return;
  }
  if (form !== 'proxy')
    throw wrong(
      `clients write through the proxy that keeps the journal ${journal}: it sends them to the target, with --by proxy`,
    );
  if (catchUp !== undefined) throw wrong('a proxy follows the writes: leave --catch-up out');
}

/** The collection that clients of the proxy read: the target only by this migration's own cut-over. */
export async function readByProxy(record: MigrationState): Promise<string> {
  const status = await proxyControlOf(record)?.status();
  if (status?.wanted.side !== 'target' || !inEffect(record)) return record.sourceCollection;
  // The proxy may not have done yet what was begun, and leaves the target for points that it cannot hold.
  const there = status.living ? status.report?.side === 'target' : record.cutOver?.state === 'done';
  return there ? record.targetCollection : record.sourceCollection;
}

/**
 * Looks whether the proxy can send clients to the target at once.
 * @throws UNAVAILABLE where none lives, VERIFY_FAILED while the copy, or what was written during it, is not there
 */
export async function checkFollowed(
  record: MigrationState,
  { forced }: { readonly forced: boolean },
): Promise<void> {
  const { phase } = record;
  if (!COPIED.includes(phase))
    throw new TldrError(
      'VERIFY_FAILED',
      `the copy is not finished: it is ${phase}; \`migrate resume\` goes on`,
    );
  const report = await proxyControlOf(record)?.living();
  if (report === undefined || forced || phase !== 'verified') return;
  if (report.setAside !== null)
    throw new TldrError('VERIFY_FAILED', `clients are not sent there: ${setAsideText(report.setAside)}`);
  if (report.state !== 'copied' || !report.caughtUp)
    throw new TldrError(
      'VERIFY_FAILED',
      `the proxy is still bringing over what was written before: ${report.open} writes are open; \`migrate status\` shows when it has caught up, \`migrate resume\` waits for it`,
    );
}
