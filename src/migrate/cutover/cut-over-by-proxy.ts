import { type Hint, TldrError } from '../../core/errors.js';
import type { CatchUpRequest } from '../catch-up/repeat-passes.js';
import { proxyControlOf } from '../dual-write/proxy-control.js';
import { setAsideText } from '../dual-write/points-set-aside.js';
import { inEffect, type CutOver, type MigrationState, type Phase } from '../state/migration-state.js';

/** Phases in which the copy is finished. */
export const COPIED: readonly Phase[] = ['verifying', 'verified', 'repairing', 'following'];

/**
 * Checks the form of the cut-over: the proxy makes it if and only if the migration has a journal.
 * @throws INVALID_ARGUMENT when the form is another one
 */
export function checkForm(
  { form, catchUp }: { readonly form: CutOver['form']; readonly catchUp?: CatchUpRequest | undefined },
  { journal }: MigrationState,
): void {
  const wrong = (message: string, hint: Hint): TldrError =>
    new TldrError('INVALID_ARGUMENT', message, { hint });
  if (journal === undefined) {
    if (form === 'proxy')
      throw wrong(
        'no proxy mirrors the writes of this migration, because it was started without a journal',
        'migrate-with-journal',
      );
    return;
  }
  if (form !== 'proxy')
    throw wrong(`clients write through the proxy that keeps the journal ${journal}`, 'switch-by-proxy');
  if (catchUp !== undefined) throw wrong('a proxy mirrors the writes of this migration', 'omit-catch-up');
}

/** Returns the collection that the proxy's clients read: the target only after this migration's cut-over. */
export async function readByProxy(state: MigrationState): Promise<string> {
  const status = await proxyControlOf(state)?.status();
  if (status?.wanted.side !== 'target' || !inEffect(state)) return state.sourceCollection;
  // The proxy may not have switched yet, and it leaves a target that cannot hold a point.
  const there = status.living ? status.report.side === 'target' : state.cutOver?.state === 'done';
  return there ? state.targetCollection : state.sourceCollection;
}

/**
 * Checks that the proxy can send clients to the target at once.
 * @throws UNAVAILABLE when no proxy is running
 * @throws VERIFY_FAILED while the copy is unfinished, or the target lacks writes made during it
 */
export async function checkProxyReady(
  state: MigrationState,
  { forced }: { readonly forced: boolean },
): Promise<void> {
  const { phase } = state;
  if (!COPIED.includes(phase))
    throw new TldrError('VERIFY_FAILED', `the copy is not finished: it is ${phase}`, {
      hint: 'resume-migration',
    });
  const report = await proxyControlOf(state)?.living();
  if (report === undefined || forced || phase !== 'verified') return;
  if (report.setAside !== null)
    throw new TldrError('VERIFY_FAILED', `the proxy cannot switch: ${setAsideText(report.setAside)}`);
  if (report.state !== 'copied' || !report.caughtUp)
    throw new TldrError(
      'VERIFY_FAILED',
      `the proxy is still bringing earlier writes to the target: ${report.open} are open`,
      { hint: 'wait-for-writes' },
    );
}
