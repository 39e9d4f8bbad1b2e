import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run.js';
import { ownerOf } from './journal-entries.js';
import {
  readDesiredState,
  readReport,
  writeDesiredState,
  type FollowerReport,
  type DesiredState,
} from './journal-state.js';
import { setAsideText } from './set-aside.js';
import type { MigrationIdentity, MigrationState } from '../state/migration-state.js';
import { WriteJournal } from './write-journal.js';

/** A living proxy reports every second. */
const FRESH_MS = 5_000;
const POLL_MS = 100;
/** Longest wait for a proxy that does not report: it may be restarted. */
const SILENCE_MS = 30_000;
/** Longest wait for what the proxy does at once, or as soon as writes let it. */
const OBEY_MS = 60_000;
/** Longest time in which no more writes are brought over than before. */
const NO_PROGRESS_MS = 120_000;
/** Longest wait for a proxy to come back to what it did before. */
const BACK_MS = 5_000;

type Followed = Pick<MigrationIdentity, 'sourceCollection' | 'targetCollection' | 'encoderFingerprint'>;

/** What the journal's folder says of a migration. */
export interface JournalStatus {
  readonly folder: string;
  /** What the commands want of the proxy. */
  readonly wanted: DesiredState;
  /** What it said last; null where there is none, or it ended. */
  readonly report: FollowerReport | null;
  readonly ageMs: number | null;
  readonly living: boolean;
}

interface Wait {
  readonly run: RunOptions;
  readonly until?: (report: FollowerReport) => boolean;
  readonly noProgressMs: number;
  readonly silenceMs: number;
}

/**
 * The proxy through which clients write to the source of a migration, as its commands see it: by files in a
 * folder.
 */
export class ProxyControl {
  readonly folder: string;
  readonly #of: Followed;

  constructor(folder: string, of: Followed) {
    this.folder = folder;
    this.#of = of;
  }

  /** Reads what there is; waits for nothing. @throws INVALID_DATA for files that are none of ours */
  async status(): Promise<JournalStatus> {
    const [wanted, report] = [await readDesiredState(this.folder), await readReport(this.folder)];
    const ageMs = report === null ? null : Date.now() - report.at;
    // A report of the future is by another clock, which says nothing.
    const living = ageMs !== null && Math.abs(ageMs) <= FRESH_MS;
    return { folder: this.folder, wanted, report, ageMs, living };
  }

  /** What a living proxy says; null where none lives. @throws MISMATCH for one that follows something else */
  async report(): Promise<FollowerReport | null> {
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
      `the proxy that keeps the journal ${this.folder} follows another migration: ${how}; give its entry of "collections" these, or another --journal`,
    );
  }

  /** @throws UNAVAILABLE where no proxy lives, MISMATCH as `report` */
  async living(): Promise<FollowerReport> {
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
      `no proxy mirrors the writes to ${source} with the journal ${this.folder}: ${got}, but a running proxy reports every second; run \`serve\` with "target": "${target}" and "migrating": {"source": "${source}", "journal": ...} of this folder, and let clients write through it`,
    );
  }

  /** Resolves when what is written from now on is looked at again after the copy: the source may be read. */
  async copying(run: RunOptions = {}): Promise<void> {
    await this.#need({ state: 'copying', side: 'source' }, { run, noProgressMs: OBEY_MS });
  }

  /** Resolves when everything that was written while the copy ran has been brought over. */
  async copied(run: RunOptions = {}): Promise<void> {
    const { side } = await readDesiredState(this.folder);
    const until = ({ caughtUp }: FollowerReport): boolean => caughtUp;
    await this.#need({ state: 'copied', side }, { run, until, noProgressMs: NO_PROGRESS_MS });
  }

  /**
   * Sends clients to the target. Where that does not come about in time they are left where they were, and
   * nothing is wanted any more. @throws TIMEOUT, UNAVAILABLE, ABORTED
   */
  async toTarget(run: RunOptions, waitMs: number): Promise<void> {
    try {
      const plan: DesiredState = { state: 'copied', side: 'target' };
      await this.#need(plan, { run, noProgressMs: waitMs, silenceMs: waitMs });
    } catch (cause) {
      const code = isTldrError(cause) ? cause.code : 'INTERNAL';
      // It may have switched just now.
      const back = await this.#back();
      throw new TldrError(
        code,
        `clients were not sent to ${this.#of.targetCollection}: ${messageOf(cause)}; the plan is set back to the source, ${back ? 'which clients read' : 'to which the proxy goes as soon as it looks'}`,
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

  /** Sends clients to the source. @returns false where no proxy lives: it does so when it is started again */
  async toSource(run: RunOptions = {}): Promise<boolean> {
    const { state } = await readDesiredState(this.folder);
    return this.#want({ state, side: 'source' }, { run, noProgressMs: OBEY_MS, silenceMs: 0 });
  }

  /**
   * Nothing is brought to the target any more, now or by a proxy that is started again: it may be removed.
   */
  async waiting(run: RunOptions = {}): Promise<void> {
    const plan: DesiredState = { state: 'waiting', side: 'source' };
    await this.#want(plan, { run, noProgressMs: OBEY_MS, silenceMs: 0 });
  }

  /**
   * How many writes are not known to be in the target, read from the journal of a proxy that ended.
   * @throws ALREADY_EXISTS while a process has it open, INVALID_DATA where it is missing
   */
  async leftOpen(): Promise<number> {
    const journal = await WriteJournal.open(this.folder, {
      expectedBy: 'the record of the migration names it',
      owner: ownerOf({ source: this.#of.sourceCollection, target: this.#of.targetCollection }),
    });
    const { openCount } = journal;
    await journal.close();
    return openCount;
  }

  /** When the journal was written to last, as ISO 8601; null where there is none. */
  async journalledUntil(): Promise<string | null> {
    return (await WriteJournal.writtenAt(this.folder))?.toISOString() ?? null;
  }

  async #need(plan: DesiredState, wait: Omit<Wait, 'silenceMs'> & Partial<Wait>): Promise<void> {
    if (!(await this.#want(plan, { silenceMs: SILENCE_MS, ...wait }))) throw await this.#noneLives();
  }

  /** Says what is wanted and waits for it. @returns false where no proxy lives. @throws TIMEOUT, ABORTED */
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

function tooLate({ state, side }: DesiredState, report: FollowerReport | null, afterMs: number): TldrError {
  const got =
    report === null
      ? 'it does not report'
      : `it is at "${report.state}" with clients on the ${report.side}, and ${report.open} writes are not brought over`;
  return new TldrError(
    'TIMEOUT',
    `the proxy did not come to "${state}" with clients on the ${side} within ${afterMs / 1000} s: ${got}; its log says why, and this can be run again`,
  );
}

/** The proxy of a recorded migration; null where none follows its writes. */
export function proxyControlOf(record: Followed & Pick<MigrationState, 'journal'>): ProxyControl | null {
  return record.journal === undefined ? null : new ProxyControl(record.journal, record);
}
