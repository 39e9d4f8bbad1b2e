import { hintFields, messageOf } from '../../core/errors.js';
import { sleep, type Log } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { endsWithin } from './ends-within.js';
import type { NamesCheck } from './names-check.js';

const RETRY_MS = 500;
/** If more points wait, answers to further writes are delayed. */
const POINTS_MAX = 2_000;

interface Place {
  readonly source: CopyTarget;
  readonly sourceCollection: string;
  readonly checkNames?: NamesCheck | undefined;
}

/** Writes that the source has logged and may not have applied yet. */
export class UnappliedWrites {
  readonly #place: Place;
  readonly #run: { readonly signal: AbortSignal; readonly log: Log | undefined };
  /** Unfinished work of writes that were answered before they were applied. */
  readonly #open = new Set<Promise<unknown>>();
  #points = 0;
  /** Ends with the wait that began last. */
  #settling: Promise<void> = Promise.resolve();
  /** The wait that has not begun. It covers all writes made until it begins. */
  #next: Promise<void> | null = null;

  constructor(place: Place, run: { readonly signal: AbortSignal; readonly log: Log | undefined }) {
    this.#place = place;
    this.#run = run;
  }

  /**
   * Resolves when the source has applied every write that it logged before this call, however long that
   * takes. Callers during a wait share the next wait.
   * @throws ABORTED once stopped
   */
  settle(): Promise<void> {
    this.#next ??= this.#settling.then(() => {
      this.#next = null;
      return this.#settleNow();
    });
    this.#settling = this.#next.catch(() => undefined);
    return this.#next;
  }

  /** Resolves when all writes that were answered before this call are finished. */
  async ended(): Promise<void> {
    await Promise.all(this.#open);
  }

  /**
   * Registers a write that is answered before it is finished. Resolves at once while few points wait.
   * Otherwise it resolves when the write is finished or after `waitMs`, so that the backlog cannot grow
   * without limit.
   * @param finished never rejects
   */
  async answering(points: number, finished: Promise<unknown>, waitMs: number): Promise<void> {
    this.#open.add(finished);
    this.#points += points;
    const ended = finished.then(() => {
      this.#open.delete(finished);
      this.#points -= points;
    });
    if (this.#points > POINTS_MAX) await endsWithin(ended, waitMs);
  }

  async #settleNow(): Promise<void> {
    const { source, sourceCollection, checkNames } = this.#place;
    for (;;) {
      try {
        await checkNames?.('recently');
        await source.changes?.waitForApplied?.(sourceCollection);
        await checkNames?.('now');
        return;
      } catch (error) {
        const text = `it is not known yet whether a write was applied: ${messageOf(error)}`;
        this.#run.log?.('warn', text, hintFields(error));
        await sleep(RETRY_MS, this.#run.signal);
      }
    }
  }
}
