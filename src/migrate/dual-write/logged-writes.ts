import { messageOf } from '../../core/errors.js';
import { sleep, type Log } from '../../core/run.js';
import type { VectorStore } from '../../store/vector-store.js';
import { endsWithin } from './ends-within.js';
import type { NamesCheck } from './names-check.js';

const RETRY_MS = 500;
/** If more points wait than these, the answers to further writes are delayed. */
const POINTS_MAX = 2_000;

interface Place {
  readonly source: VectorStore;
  readonly sourceCollection: string;
  readonly checkNames?: NamesCheck | undefined;
}

/** Writes that a source has logged and may not have applied. */
export class LoggedWrites {
  readonly #place: Place;
  readonly #run: { readonly signal: AbortSignal; readonly log: Log | undefined };
  /** What is left to do for writes that were answered before they were applied. */
  readonly #open = new Set<Promise<unknown>>();
  #points = 0;
  /** Ends with the last that was begun. */
  #settling: Promise<void> = Promise.resolve();
  /** Has not begun: writes made until it does count on it. */
  #next: Promise<void> | null = null;

  constructor(place: Place, run: { readonly signal: AbortSignal; readonly log: Log | undefined }) {
    this.#place = place;
    this.#run = run;
  }

  /**
   * Resolves when the source has applied every write that it logged before this was called, however long that takes.
   * Callers that come while it works share the next turn.
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

  /** Resolves when all writes that were answered before this was called have come to their end. */
  async ended(): Promise<void> {
    await Promise.all(this.#open);
  }

  /**
   * Takes a write that is to be answered before it comes to its end. Resolves at once while few points wait, otherwise
   * when the write has ended or `waitMs` are over: so they cannot become more and more.
   * @param finished never fails
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
        await source.waitForApplied(sourceCollection);
        await checkNames?.('now');
        return;
      } catch (error) {
        this.#run.log?.('warn', `whether a write was applied is not known yet: ${messageOf(error)}`);
        await sleep(RETRY_MS, this.#run.signal);
      }
    }
  }
}
