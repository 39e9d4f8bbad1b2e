import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run-options.js';
import { ownerOf } from './journal-entries.js';
import {
  readDesiredState,
  readReport,
  writeDesiredState,
  type ProxyReport,
  type DesiredState,
} from './proxy-state-files.js';
import { setAsideText } from './points-set-aside.js';
import type { MigrationIdentity, MigrationState } from '../state/migration-state.js';
import { WriteJournal } from './write-journal.js';

/** A report younger than this means that the proxy is running; it reports every second. */
const FRESH_MS = 5_000;
const POLL_MS = 100;
/** Longest wait for a proxy that does not report, since it may be restarting. */
const SILENCE_MS = 30_000;
/** Longest wait for a change that the proxy makes at once, or as soon as writes allow it. */
const OBEY_MS = 60_000;
/** Longest time without progress in bringing writes over. */
const NO_PROGRESS_MS = 120_000;
/** Longest wait for a proxy to return to its previous state. */
const BACK_MS = 5_000;

type ProxiedMigration = Pick<
  MigrationIdentity,
  'sourceCollection' | 'targetCollection' | 'encoderFingerprint'
>;

/** State of a migration according to the files in the journal's folder. */
export type JournalStatus = {
  readonly folder: string;
  /** The state that the commands want. */
  readonly wanted: DesiredState;
} & (
  | { readonly report: ProxyReport; readonly ageMs: number; readonly living: boolean }
  // There never was a proxy, or it was ended.
  | { readonly report: null; readonly ageMs: null; readonly living: false }
);

/** A journal that this process has locked. */
export interface HeldJournal {
  /** Number of writes that are not known to be in the target. */
  readonly openCount: number;
  readonly release: () => Promise<void>;
}

interface Wait {
  readonly run: RunOptions;
  readonly until?: (report: ProxyReport) => boolean;
  readonly noProgressMs: number;
  readonly silenceMs: number;
}

/** Controls the proxy of a migration from its commands, by files in the journal's folder. */
export class ProxyControl {
  readonly folder: string;
  readonly #of: ProxiedMigration;

  constructor(folder: string, of: ProxiedMigration) {
    this.folder = folder;
    this.#of = of;
  }

  /** Returns the current status without waiting. @throws INVALID_DATA when a file has another content */
  async status(): Promise<JournalStatus> {
    const [wanted, report] = [await readDesiredState(this.folder), await readReport(this.folder)];
    const { folder } = this;
    if (report === null) return { folder, wanted, report, ageMs: null, living: false };
    const ageMs = Date.now() - report.at;
    // A report from the future comes from another clock, so its age is unknown.
    return { folder, wanted, report, ageMs, living: Math.abs(ageMs) <= FRESH_MS };
  }

  /**
   * Returns the report of a running proxy; null if none runs.
   * @throws MISMATCH for another migration's proxy
   */
  async report(): Promise<ProxyReport | null> {
    const { report, living } = await this.status();
    if (report === null || !living) return null;
    const { sourceCollection, targetCollection, encoderFingerprint } = this.#of;
    const pairs = [
      ['source', report.source, sourceCollection],
      ['target', report.target, targetCollection],
      ['encoder', report.encoder.slice(0, 16), encoderFingerprint.slice(0, 16)],
    ] as const;
    const wrong = pairs.filter(([, got, expected]) => got !== expected);
    if (wrong.length === 0) return report;
    const how = wrong.map(([what, got, expected]) => `its ${what} is ${got}, not ${expected}`).join(', ');
    throw new TldrError(
      'MISMATCH',
      `the proxy that keeps the journal ${this.folder} belongs to another migration: ${how}`,
      { hint: 'correct-proxy' },
    );
  }

  /** Returns the report of the running proxy. @throws UNAVAILABLE when none runs, MISMATCH as `report` */
  async living(): Promise<ProxyReport> {
    const report = await this.report();
    if (report !== null) return report;
    throw await this.#noneLives();
  }

  async #noneLives(): Promise<TldrError> {
    const { ageMs } = await this.status();
    const got =
      ageMs === null ? 'there is no report of one' : `its last report is ${Math.round(ageMs / 1000)} s old`;
    const { sourceCollection: source, targetCollection: target } = this.#of;
    return new TldrError(
      'UNAVAILABLE',
      `no proxy mirrors the writes to ${source} with the journal ${this.folder}: ${got}, but a running proxy reports every second`,
      { hint: 'start-proxy', source, target },
    );
  }

  /** Resolves when the proxy keeps later writes for after the copy, so that the copy may read the source. */
  async copying(run: RunOptions = {}): Promise<void> {
    await this.#need({ state: 'copying', side: 'source' }, { run, noProgressMs: OBEY_MS });
  }

  /** Resolves when all writes made during the copy have been brought over. */
  async copied(run: RunOptions = {}): Promise<void> {
    const { side } = await readDesiredState(this.folder);
    const until = ({ caughtUp }: ProxyReport): boolean => caughtUp;
    await this.#need({ state: 'copied', side }, { run, until, noProgressMs: NO_PROGRESS_MS });
  }

  /**
   * Sends clients to the target. If that takes too long, withdraws the request; clients stay on the source.
   * @throws TIMEOUT when the proxy makes no progress for `waitMs`
   * @throws UNAVAILABLE when no proxy is running
   * @throws INVALID_DATA when points were set aside
   * @throws ABORTED when the signal fires
   */
  async toTarget(run: RunOptions, waitMs: number): Promise<void> {
    try {
      const plan: DesiredState = { state: 'copied', side: 'target' };
      await this.#need(plan, { run, noProgressMs: waitMs, silenceMs: waitMs });
    } catch (cause) {
      const code = isTldrError(cause) ? cause.code : 'INTERNAL';
      // Withdrawn in any case: the proxy may have switched at this very moment.
      const back = await this.#back();
      throw new TldrError(
        code,
        `clients were not sent to ${this.#of.targetCollection}: ${messageOf(cause)}; the plan is set back to the source, ${back ? 'which clients read' : 'and the proxy returns to it at its next look'}`,
        { cause },
      );
    }
  }

  async #back(): Promise<boolean> {
    const plan: DesiredState = { state: 'copied', side: 'source' };
    try {
      return await this.#want(plan, { run: {}, noProgressMs: BACK_MS, silenceMs: 0 });
    } catch (error) {
      if (isTldrError(error)) return false;
      throw error;
    }
  }

  /** Sends clients to the source. @returns false if no proxy runs: it will do so when it is started again */
  async toSource(run: RunOptions = {}): Promise<boolean> {
    const { state } = await readDesiredState(this.folder);
    return this.#want({ state, side: 'source' }, { run, noProgressMs: OBEY_MS, silenceMs: 0 });
  }

  /**
   * Stops dual writes, also those of a proxy that is started again later, so that the target may be removed.
   */
  async waiting(run: RunOptions = {}): Promise<void> {
    const plan: DesiredState = { state: 'waiting', side: 'source' };
    await this.#want(plan, { run, noProgressMs: OBEY_MS, silenceMs: 0 });
  }

  /**
   * Opens the journal of a proxy that ended. No proxy can start with this journal until `release` is called.
   * @throws ALREADY_EXISTS while a process has the journal open, INVALID_DATA when it is missing
   */
  async holdJournal(): Promise<HeldJournal> {
    const journal = await WriteJournal.open(this.folder, {
      expectedBy: 'the migration state names it',
      owner: ownerOf({ source: this.#of.sourceCollection, target: this.#of.targetCollection }),
    });
    return { openCount: journal.openCount, release: () => journal.close() };
  }

  /** Returns the time of the last write to the journal, as ISO 8601; null if there is no journal. */
  async journalledUntil(): Promise<string | null> {
    return (await WriteJournal.writtenAt(this.folder))?.toISOString() ?? null;
  }

  async #need(plan: DesiredState, wait: Omit<Wait, 'silenceMs'> & Partial<Wait>): Promise<void> {
    if (!(await this.#want(plan, { silenceMs: SILENCE_MS, ...wait }))) throw await this.#noneLives();
  }

  /**
   * Requests a state and waits for it.
   * @returns false if no proxy runs
   * @throws TIMEOUT when the proxy makes no progress for too long
   * @throws INVALID_DATA when clients cannot be sent to the target because points were set aside
   * @throws ABORTED when the signal fires
   */
  async #want(
    plan: DesiredState,
    { run: { signal, onProgress }, until = () => true, noProgressMs, silenceMs }: Wait,
  ): Promise<boolean> {
    await writeDesiredState(this.folder, plan);
    let [most, least] = [0, Infinity];
    let [aliveAtMs, progressAtMs] = [performance.now(), performance.now()];
    for (;;) {
      const report = await this.report();
      const nowMs = performance.now();
      if (report !== null) {
        aliveAtMs = nowMs;
        if (report.state === plan.state && report.side === plan.side && until(report)) return true;
        if (report.setAside !== null && plan.side === 'target')
          throw new TldrError('INVALID_DATA', setAsideText(report.setAside));
        if (report.open < least) [least, progressAtMs] = [report.open, nowMs];
        most = Math.max(most, report.open);
        const total = most === 0 ? Infinity : most;
        onProgress?.({ step: 'waiting for the proxy', done: most - least, total, unit: 'writes' });
      } else if (nowMs - aliveAtMs >= silenceMs) return false;
      if (nowMs - progressAtMs > noProgressMs) throw tooLate(plan, report, noProgressMs);
      await sleep(POLL_MS, signal);
    }
  }
}

function tooLate({ state, side }: DesiredState, report: ProxyReport | null, afterMs: number): TldrError {
  const got =
    report === null
      ? 'it does not report'
      : `it is at "${report.state}" with clients on the ${report.side}, and ${report.open} writes are not brought over`;
  return new TldrError(
    'TIMEOUT',
    `the proxy did not reach "${state}" with clients on the ${side} within ${afterMs / 1000} s: ${got}; see its log for the reason, then run this again`,
  );
}

/** Returns the control of a migration's proxy; null if it has no journal. */
export function proxyControlOf(
  state: ProxiedMigration & Pick<MigrationState, 'journal'>,
): ProxyControl | null {
  return state.journal === undefined ? null : new ProxyControl(state.journal, state);
}
