import { TldrError } from '../core/errors.js';
import { sleep, type RunOptions } from '../core/run.js';
import {
  readPlan,
  readReport,
  writePlan,
  type FollowerReport,
  type JournalPlan,
  type Side,
} from './journal-state.js';

/** A living proxy reports every second. */
const FRESH_MS = 5_000;
const POLL_MS = 100;
/** Longest wait for a proxy that does not report: it may be restarted. */
const SILENCE_MS = 30_000;
/** Longest wait for what the proxy does at once, or as soon as writes let it. */
const OBEY_MS = 60_000;
/** Longest time in which no more writes are brought over than before. */
const NO_PROGRESS_MS = 120_000;

interface Names {
  readonly sourceCollection: string;
  readonly targetCollection: string;
}

/** The proxy through which clients write to the source of a migration, as its commands see it: by files in a folder. */
export class GuardingProxy {
  readonly folder: string;
  readonly #names: Names;

  constructor(folder: string, names: Names) {
    this.folder = folder;
    this.#names = names;
  }

  /** What a living proxy says; null where none lives. @throws MISMATCH for one that follows other collections */
  async report(): Promise<FollowerReport | null> {
    const report = await readReport(this.folder);
    if (report === null || Date.now() - report.at > FRESH_MS) return null;
    const { sourceCollection, targetCollection } = this.#names;
    if (report.source !== sourceCollection || report.target !== targetCollection)
      throw new TldrError(
        'MISMATCH',
        `the journal ${this.folder} is that of ${report.source} -> ${report.target}, not of ${sourceCollection} -> ${targetCollection}`,
      );
    return report;
  }

  /** @throws UNAVAILABLE where no proxy lives, MISMATCH as `report` */
  async living(): Promise<FollowerReport> {
    const report = await this.report();
    if (report !== null) return report;
    throw new TldrError(
      'UNAVAILABLE',
      `no proxy follows the writes by the journal ${this.folder}: run \`serve\` with "migrating" for ${this.#names.sourceCollection}, and let clients write through it`,
    );
  }

  /** Resolves when the proxy keeps in its journal what is written from now on: the source may be read. */
  async copying(run: RunOptions = {}): Promise<void> {
    await this.#want({ state: 'copying', side: 'source' }, { run, noProgressMs: OBEY_MS });
  }

  /** Resolves when everything that was written while the copy ran has been brought over. */
  async copied(run: RunOptions = {}): Promise<void> {
    const { side } = await readPlan(this.folder);
    const until = ({ caughtUp }: FollowerReport): boolean => caughtUp;
    await this.#want({ state: 'copied', side }, { run, until, noProgressMs: NO_PROGRESS_MS });
  }

  /** Resolves when clients read that side. @throws TIMEOUT, UNAVAILABLE; the proxy may do it later then */
  async serve(side: Side, run: RunOptions = {}): Promise<void> {
    await this.#want({ state: 'copied', side }, { run, noProgressMs: OBEY_MS });
  }

  /** Takes clients to the source, now or as soon as a proxy lives. @returns whether one did it */
  async leaveTarget(run: RunOptions = {}): Promise<boolean> {
    const { state } = await readPlan(this.folder);
    const plan: JournalPlan = { state, side: 'source' };
    await writePlan(this.folder, plan);
    if ((await this.report()) === null) return false;
    await this.#want(plan, { run, noProgressMs: OBEY_MS });
    return true;
  }

  /** The target goes away: nothing is brought to it any more. */
  async waiting(run: RunOptions = {}): Promise<void> {
    const plan: JournalPlan = { state: 'waiting', side: 'source' };
    await writePlan(this.folder, plan);
    if ((await this.report()) !== null) await this.#want(plan, { run, noProgressMs: OBEY_MS });
  }

  /** Says what is wanted and waits for it. @throws UNAVAILABLE, TIMEOUT, ABORTED */
  async #want(
    plan: JournalPlan,
    {
      run: { signal, onProgress },
      until = () => true,
      noProgressMs,
    }: {
      readonly run: RunOptions;
      readonly until?: (report: FollowerReport) => boolean;
      readonly noProgressMs: number;
    },
  ): Promise<void> {
    await writePlan(this.folder, plan);
    let [most, least] = [0, Infinity];
    let [aliveAtMs, progressAtMs] = [performance.now(), performance.now()];
    for (;;) {
      const report = await this.report();
      const nowMs = performance.now();
      if (report !== null) {
        aliveAtMs = nowMs;
        if (report.state === plan.state && report.side === plan.side && until(report)) return;
        if (report.open < least) [least, progressAtMs] = [report.open, nowMs];
        most = Math.max(most, report.open);
        onProgress?.({ step: 'waiting for the proxy', done: most - least, total: most, unit: 'writes' });
      }
      if (nowMs - aliveAtMs > SILENCE_MS) await this.living();
      if (nowMs - progressAtMs > noProgressMs)
        throw new TldrError(
          'TIMEOUT',
          `the proxy does not come to "${plan.state}" with clients on the ${plan.side}: ${report?.open ?? 'some'} writes are not brought over; its log says why, and this can be run again`,
        );
      await sleep(POLL_MS, signal);
    }
  }
}

/** The proxy of a recorded migration; null where none follows its writes. */
export function guardingProxy(record: Names & { readonly journal?: string }): GuardingProxy | null {
  return record.journal === undefined ? null : new GuardingProxy(record.journal, record);
}
