import { rm } from 'node:fs/promises';
import { hintFields, isTldrError, messageOf } from '../../core/errors.js';
import { sleep, type Log } from '../../core/run-options.js';
import type { DualWriter } from './mirror-writes.js';
import {
  readDesiredState,
  reportPath,
  writeReport,
  type DesiredState,
  type Side,
} from './proxy-state-files.js';

const POLL_MS = 200;
/** Time between reports. If a report is several times older, commands take the proxy for dead. */
const REPORT_MS = 1_000;

export interface ReconcilerOptions {
  readonly folder: string;
  readonly dualWriter: DualWriter;
  readonly source: string;
  readonly target: string;
  readonly encoder: string;
  /** Makes requests that begin from now on read that collection. */
  readonly switchReads: (side: Side) => Promise<void>;
  /** Called when the copy is over. From then on, the target's metadata describes what it holds. */
  readonly copied: () => Promise<void>;
  readonly log?: Log | undefined;
}

/**
 * Brings the proxy into the state that the migration's commands want, and reports its state. Both are files in the
 * journal's folder.
 * @returns a function that ends this
 */
export function runReconciler(options: ReconcilerOptions): () => Promise<void> {
  const { folder, dualWriter, source, target, encoder, log } = options;
  const stop = new AbortController();
  let moving: Promise<void> | null = null;
  // Failed calls are repeated at the next step.
  const left = { isCopiedToBeTold: false };
  let said = '';
  let reported = '';
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  const complain = (error: unknown): void => {
    if (stop.signal.aborted && isTldrError(error, 'ABORTED')) return;
    const text = messageOf(error);
    if (text !== said) {
      const fields = { ...hintFields(error), source };
      log?.('warn', `the proxy cannot do what the migration asks yet: ${text}`, fields);
    }
    said = text;
  };
  const report = async (): Promise<void> => {
    const status = dualWriter.status();
    const text = JSON.stringify(status);
    if (text === reported && performance.now() - reportedAtMs < REPORT_MS) return;
    await writeReport(folder, { ...status, pid: process.pid, at: Date.now(), source, target, encoder });
    [reported, reportedAtMs] = [text, performance.now()];
  };
  const step = async (): Promise<void> => {
    const plan = await readDesiredState(folder);
    // Reports continue while a change takes long.
    moving ??= moveTowards(plan, options, left)
      .then(() => void (said = ''), complain)
      .finally(() => (moving = null));
    await Promise.race([moving, sleep(POLL_MS, stop.signal).catch(() => undefined)]);
    await report();
    await dualWriter.tidy();
  };
  const running = (async () => {
    while (!stop.signal.aborted) {
      await step().catch(complain);
      await sleep(POLL_MS, stop.signal).catch(() => undefined);
    }
  })();
  return async () => {
    stop.abort();
    await running;
    await moving;
    await rm(reportPath(folder), { force: true });
  };
}

async function moveTowards(
  plan: DesiredState,
  { dualWriter, copied, switchReads, log, source }: ReconcilerOptions,
  left: { isCopiedToBeTold: boolean },
): Promise<void> {
  const { state, side } = dualWriter.status();
  // Reads leave the target before it is filled again.
  if (plan.side === 'source' && side !== 'source')
    await dualWriter.switchTo('source', () => switchReads('source'));
  if (plan.state !== state) {
    await dualWriter.setState(plan.state);
    left.isCopiedToBeTold = plan.state === 'copied';
  }
  if (left.isCopiedToBeTold) {
    await copied();
    left.isCopiedToBeTold = false;
  }
  if (plan.side === 'source' || side === 'target' || plan.state !== 'copied') return;
  if (await dualWriter.switchTo('target', () => switchReads('target')))
    log?.('info', 'reads go to the target', { source });
}
