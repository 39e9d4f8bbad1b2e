import type { Encoder } from '../../encoder/model.js';
import { hintFields, isTldrError, messageOf, TldrError } from '../../core/errors.js';
import type { Sent, AffectedPoints, WriteOutcome } from '../../store/write-interceptor.js';
import type { PointId } from '../../core/point-id.js';
import { sleep, throwIfAborted, type Log } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { endsWithin } from './ends-within.js';
import type { CopyState, Side } from './proxy-state-files.js';
import { UnfinishedEntries } from './unfinished-entries.js';
import { UnappliedWrites } from './unapplied-writes.js';
import { checkedMatchingIds } from './matching-ids.js';
import type { NamesCheck } from './names-check.js';
import { openPointSync } from './open-point-sync.js';
import type { PointSync } from './point-sync.js';
import { setAsideText, type SetAside } from './points-set-aside.js';
import type { WriteJournal } from './write-journal.js';
import { SharedAndExclusiveTasks } from './shared-and-exclusive-tasks.js';

/** Entries left from before that are brought over together, since each alone would cost a round trip. */
const LEFT_TOGETHER = 32;
/** Groups of such entries at the same time, so that a point that fails delays only its own group. */
const LEFT_LANES = 4;
/**
 * Longest wait of a client for its points to be in the target, while clients read the source or the target.
 */
const SOURCE_WAIT_MS = 2_000;
const TARGET_WAIT_MS = 10_000;
/**
 * Longest wait for the writes made so far to be in the target. Then the longest time for which new writes are
 * held until the target has every write and reads are switched. A switch that takes longer is tried again.
 */
const SWITCH_WAIT_MS = 3_000;
/** After writes were held in vain, the next attempt comes after this multiple of the time. */
const SWITCH_PAUSES = 3;
const OPEN_CHECK_MS = 5;
/** Longest wait of a write for earlier writes. After that it fails, with nothing sent. */
const TURN_WAIT_MS = 20_000;
/** Most points remembered that are written while nothing is brought over. */
const LATER_POINTS_MAX = 1_000_000;

export interface DualWriterOptions {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly encoder: Encoder;
  readonly journal: WriteJournal;
  readonly checkNames?: NamesCheck | undefined;
  readonly log?: Log | undefined;
  readonly targetWaitMs?: number;
}

/** How far the target is behind the source. */
export interface DualWriterStatus {
  readonly state: CopyState;
  readonly side: Side;
  /** Open entries of the journal: their points are not known to be equal. */
  readonly open: number;
  /** True if every point that was written before the copy was finished has been brought over or set aside. */
  readonly caughtUp: boolean;
  /** Points that were set aside; their entries stay open. */
  readonly setAside: SetAside | null;
}

/**
 * Dual writes: brings clients' writes to the source of a migration to its target. The source always stays the
 * master. A point is journalled before a write can change it, read from the source after the write was
 * applied, and written to the target as it is then. During the copy nothing is brought over, because the copy
 * could overwrite it with older points. When the copy is finished, all points written until then are brought
 * over.
 */
export class DualWriter {
  readonly #options: DualWriterOptions;
  readonly #turns = new SharedAndExclusiveTasks(TURN_WAIT_MS);
  readonly #stop = new AbortController();
  /** Entries of writes under way: not brought over yet, and not left for later. */
  readonly #inFlight = new Set<number>();
  readonly #finishing = new Set<Promise<TldrError | null>>();
  /** Entries of points left until the copy is finished, and of points set aside. */
  readonly #later = new UnfinishedEntries(LATER_POINTS_MAX);
  readonly #aside = new UnfinishedEntries();
  #sync: PointSync | null = null;
  #wanted: CopyState = 'waiting';
  #reached: CopyState = 'waiting';
  #side: Side = 'source';
  /** True once clients may read the target: a write that is not there in time is answered with an error. */
  #strict = false;
  /** Time from which writes may be held for a switch again. */
  #switchAfterMs = 0;
  #caughtUp = false;
  #replay: Promise<void> = Promise.resolve();
  readonly #logged: UnappliedWrites;
  /** True if an earlier process may have left writes that the source has logged and not applied. */
  #mayHaveLeft: boolean;

  constructor(options: DualWriterOptions) {
    this.#options = options;
    this.#mayHaveLeft = options.journal.openCount > 0;
    this.#logged = new UnappliedWrites(options, { signal: this.#stop.signal, log: options.log });
  }

  status(): DualWriterStatus {
    const { openCount: open } = this.#options.journal;
    const setAside = this.#sync?.setAside ?? null;
    return { state: this.#reached, side: this.#side, open, caughtUp: this.#caughtUp, setAside };
  }

  /**
   * Makes a write: journals its points, sends it, and brings the points over. While a condition is looked up
   * and its write is made, no other write is made, so that none can change the points that it selects. If the
   * source has only logged a write, the client is answered at once, and the points are brought over when the
   * source has applied it.
   * @throws any error of `send`; UNAVAILABLE when the journal cannot be written (nothing was sent), or when
   * clients read the target and it does not have the points in time; INVALID_ARGUMENT when a condition cannot
   * be looked up
   */
  async write<Answer>(touched: AffectedPoints, send: () => Promise<Sent<Answer>>): Promise<Answer> {
    const { journal } = this.#options;
    const work: Work = { entries: [], ids: touched.conditions.length === 0 ? touched.ids : null, points: 0 };
    // Earlier logged writes matter only if clients read the target: the source applies them in order.
    const earlier = this.#strict ? this.#logged.ended() : Promise.resolve();
    const begin = async (ids: readonly PointId[]): Promise<void> => {
      const { entries, written } = journal.begin(ids);
      for (const entry of entries) this.#inFlight.add(entry);
      await written.catch((error: unknown) => {
        for (const entry of entries) this.#inFlight.delete(entry);
        throw error;
      });
      work.entries.push(...entries);
      work.points += ids.length;
    };
    let finished: Promise<TldrError | null> = Promise.resolve(null);
    const sent = new Promise<Sent<Answer>>((resolve, reject) => {
      // Entries are opened only in the write's turn: a cut-over waits in its turn until no entry is open.
      const inTurn = async (): Promise<void> => {
        let outcome: WriteOutcome = 'unknown';
        try {
          await begin(touched.ids);
          if (touched.conditions.length > 0) await this.#leftApplied();
          for (const condition of touched.conditions)
            for await (const page of checkedMatchingIds(this.#options, condition)) await begin(page);
          const made = await send();
          ({ outcome } = made);
          resolve(made);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(messageOf(error), { cause: error }));
        }
        // A write that is applied later could change the points that a condition selects.
        if (outcome !== 'applied') await this.#logged.settle();
      };
      const turn = work.ids === null ? this.#turns.alone(inTurn) : this.#turns.shared(inTurn);
      turn.catch(reject);
      finished = this.#finish(work, turn);
    });
    const { answer, outcome } = await sent;
    if (outcome === 'logged') await this.#logged.answering(work.points, finished, SOURCE_WAIT_MS);
    else await this.#bounded(finished, earlier);
    return answer;
  }

  /**
   * Follows the copy's state. Resolves when the work of the old state is over.
   * @throws errors of reading the target
   */
  async setState(state: CopyState): Promise<void> {
    if (state === this.#wanted) return;
    if (state === 'copied') {
      this.#sync = await openPointSync({ ...this.#options, onBrought: (id) => this.#brought(id) });
      this.#wanted = this.#reached = state;
      this.#later.clear();
      const left = this.#options.journal.openEntries().filter((entry) => !this.#inFlight.has(entry));
      this.#replay = this.#bringLeft(left).catch((error: unknown) => this.#stopped(error));
      return;
    }
    this.#wanted = state;
    this.#caughtUp = false;
    // Dual writes under way could collide with the copy, so they end first. Writes that are not over stay
    // open, also those of points that were set aside, which would never end.
    await this.#sync?.stop();
    await Promise.all([...this.#finishing, this.#replay]);
    this.#sync = null;
    this.#aside.clear();
    this.#reached = state;
  }

  /**
   * Resolves when every point written before the copy was finished is equal or set aside.
   * @throws TIMEOUT when that takes longer than `timeoutMs`
   */
  async caughtUp(timeoutMs: number): Promise<void> {
    const inTime = await endsWithin(this.#replay, timeoutMs);
    if (!inTime || !this.#caughtUp)
      throw new TldrError('TIMEOUT', `earlier writes were not brought to the target within ${timeoutMs} ms`);
  }

  /**
   * Calls `switchReads` to send reads to the other collection: to the source at once, to the target only at a
   * moment when it has every write that was answered.
   * @returns false if there was no such moment in time
   * @throws INVALID_DATA when the target cannot hold a point, ABORTED after `giveUp`
   */
  async switchTo(side: Side, switchReads: () => Promise<void>): Promise<boolean> {
    if (side === 'source') {
      await this.#switch(side, switchReads);
      this.#strict = false;
      return true;
    }
    // Writes are not held if the target is far behind.
    const { lastOpened } = this.#options.journal;
    if (performance.now() < this.#switchAfterMs || !(await this.#isOver(lastOpened))) return false;
    const fromMs = performance.now();
    const switched = await this.#turns.aloneWithin(SWITCH_WAIT_MS, async () => {
      if (!(await this.#isOver(Infinity, fromMs + SWITCH_WAIT_MS))) return false;
      this.#strict = true;
      await this.#switch(side, switchReads);
      return true;
    });
    if (switched !== true) {
      const nowMs = performance.now();
      this.#switchAfterMs = nowMs + SWITCH_PAUSES * (nowMs - fromMs);
    }
    return switched === true;
  }

  /**
   * Waits until entries up to that number are closed and all writes left from before have been brought over.
   * @returns false if that takes too long
   * @throws INVALID_DATA when the target cannot hold a point, ABORTED
   */
  async #isOver(last: number, untilMs = performance.now() + SWITCH_WAIT_MS): Promise<boolean> {
    const { journal } = this.#options;
    for (;;) {
      throwIfAborted(this.#stop.signal);
      const setAside = this.#sync?.setAside ?? null;
      if (setAside !== null) throw new TldrError('INVALID_DATA', setAsideText(setAside));
      const { oldestOpen } = journal;
      if (this.#caughtUp && (oldestOpen === null || oldestOpen > last)) return true;
      if (performance.now() > untilMs) return false;
      await sleep(OPEN_CHECK_MS, this.#stop.signal);
    }
  }

  /** Waits for writes of an earlier process, which may change the points that a condition selects. */
  async #leftApplied(): Promise<void> {
    if (!this.#mayHaveLeft) return;
    await this.#logged.settle();
    this.#mayHaveLeft = false;
  }

  async #switch(side: Side, switchReads: () => Promise<void>): Promise<void> {
    const before = this.#side;
    this.#side = side;
    try {
      await switchReads();
    } catch (error) {
      this.#side = before;
      throw error;
    }
  }

  /** Rewrites the journal if it has become large. */
  async tidy(): Promise<void> {
    try {
      await this.#options.journal.rotate();
    } catch (error) {
      this.#options.log?.('warn', `the journal cannot be rewritten: ${messageOf(error)}`);
    }
  }

  /** Ends waits, such as for a moment to switch. Everything else continues until `close`. */
  giveUp(): void {
    this.#stop.abort();
  }

  /** Stops dual writes. Open entries are brought over when the journal is opened again. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#sync?.stop();
    await Promise.all([...this.#finishing, this.#replay]);
    await this.#options.journal.close();
  }

  /**
   * Finishes a write after its turn. Never rejects: work that fails stays open in the journal. Resolves with
   * the reason why a point was set aside, or null.
   */
  #finish(work: Work, turn: Promise<void>): Promise<TldrError | null> {
    const finished = this.#finishNow(work, turn)
      .catch((error: unknown) => {
        this.#stopped(error);
        return null;
      })
      .finally(() => this.#finishing.delete(finished));
    this.#finishing.add(finished);
    return finished;
  }

  async #finishNow({ entries, ids }: Work, turn: Promise<void>): Promise<TldrError | null> {
    let why: TldrError | null = null;
    try {
      await turn;
      for (const entry of entries) {
        const touched = entries.length === 1 && ids !== null ? ids : await this.#options.journal.idsOf(entry);
        const sync = this.#sync;
        if (this.#wanted === 'copied' && sync !== null) {
          const found = await this.#bring(sync, entry, touched);
          why ??= found;
        } else this.#leave(entry, touched);
        this.#inFlight.delete(entry);
      }
    } finally {
      for (const entry of entries) this.#inFlight.delete(entry);
    }
    return why;
  }

  /** Leaves points until the copy is finished; then the points of all open entries are brought over. */
  #leave(entry: number, ids: readonly PointId[]): void {
    const { journal } = this.#options;
    if (journal.isOpen(entry) && !this.#later.keep(entry, ids)) journal.done(entry);
  }

  async #bringLeft(entries: readonly number[]): Promise<void> {
    const sync = this.#sync;
    const { journal } = this.#options;
    if (sync === null) return;
    // The database may still be applying writes of a killed process.
    if (entries.length > 0) await this.#logged.settle();
    const left = groupsOf(entries, LEFT_TOGETHER);
    const lane = async (): Promise<void> => {
      for (const group of left) {
        const touched = await Promise.all(
          group.map(async (entry) => ({ entry, ids: await journal.idsOf(entry) })),
        );
        // Requested together, so that one batch brings them over.
        await Promise.all(touched.map(({ entry, ids }) => this.#bring(sync, entry, ids)));
      }
    };
    await Promise.all(Array.from({ length: LEFT_LANES }, lane));
    this.#caughtUp = this.#wanted === 'copied';
  }

  /**
   * Resolves when every point of an entry was brought over or set aside. An entry stays open while it stands
   * for a point that is set aside.
   */
  async #bring(sync: PointSync, entry: number, ids: readonly PointId[]): Promise<TldrError | null> {
    const { journal } = this.#options;
    const why = await sync.sync([...new Set(ids)]);
    const standsFor = why !== null && journal.isOpen(entry) && this.#aside.keep(entry, sync.asideOf(ids));
    if (!standsFor) journal.done(entry);
    return why;
  }

  /** Closes the entry of a point that was set aside and has now been brought over. */
  #brought(id: PointId): void {
    const entry = this.#aside.release(id);
    if (entry !== null) this.#options.journal.done(entry);
  }

  /**
   * Waits for a write to be finished, for a limited time.
   * @throws UNAVAILABLE when clients read the target, and it is not finished in time or a point was set aside
   */
  async #bounded(finished: Promise<TldrError | null>, earlier: Promise<void>): Promise<void> {
    const { targetWaitMs = TARGET_WAIT_MS } = this.#options;
    const waitMs = this.#strict ? targetWaitMs : SOURCE_WAIT_MS;
    const inTime = await endsWithin(Promise.all([finished, earlier]), waitMs);
    if (!this.#strict) return;
    if (!inTime)
      throw new TldrError('UNAVAILABLE', 'the write was made, but cannot be read yet: you may repeat it');
    const why = await finished;
    if (why !== null)
      throw new TldrError('UNAVAILABLE', `the write was made, but cannot be read yet: ${messageOf(why)}`);
  }

  #stopped(error: unknown): void {
    if (!isTldrError(error, 'ABORTED'))
      this.#options.log?.('warn', `writes stay in the journal: ${messageOf(error)}`, hintFields(error));
  }
}

/** A write's entries in the journal, and its points unless a condition selects them. */
interface Work {
  readonly entries: number[];
  readonly ids: readonly PointId[] | null;
  points: number;
}

function* groupsOf<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}
