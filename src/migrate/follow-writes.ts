import type { Encoder } from '../core/encoder.js';
import { isTldrError, messageOf, TldrError } from '../core/errors.js';
import type { Sent, Touched, WriteOutcome } from '../core/followed.js';
import type { PointId } from '../core/point-id.js';
import { sleep, throwIfAborted, type Log } from '../core/run.js';
import { componentBytesOf } from '../core/stored-component.js';
import { targetDescription } from '../core/target-description.js';
import type { PointCondition, VectorStore } from '../core/vector-store.js';
import { endsWithin } from './ends-within.js';
import type { CopyState, Side } from './journal-state.js';
import { LoggedWrites } from './logged-writes.js';
import { PointSync } from './point-sync.js';
import { setAsideText, type SetAside } from './set-aside.js';
import type { WriteJournal } from './write-journal.js';
import { WriteTurns } from './write-turns.js';

/** Entries left from before that are brought over together: one by one each would cost a round trip of its own. */
const LEFT_TOGETHER = 32;
/** Groups of them under way, so that a point which cannot be brought over keeps only its own group from it. */
const LEFT_LANES = 4;
/** Longest wait of a client for its points to be in the target: where it reads the source, and where the target. */
const SOURCE_WAIT_MS = 2_000;
const TARGET_WAIT_MS = 10_000;
/** Longest time in which writes are held up for a cut-over; it is tried again. */
const SWITCH_WAIT_MS = 3_000;
const OPEN_CHECK_MS = 5;
/** Longest wait of a write for those before it; then nothing was sent. */
const TURN_WAIT_MS = 20_000;

export interface FollowOptions {
  readonly source: VectorStore;
  readonly target: VectorStore;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly encoder: Encoder;
  readonly journal: WriteJournal;
  /**
   * Asked before the collections are read or written by their own names.
   * @throws UNAVAILABLE where either name leads elsewhere: that is an alias which hides the collection
   */
  readonly checkNames?: (() => Promise<void>) | undefined;
  readonly log?: Log | undefined;
  readonly targetWaitMs?: number;
}

/** How far the target is behind the writes. */
export interface FollowStatus {
  readonly state: CopyState;
  readonly side: Side;
  /** Entries of the journal whose points are not known to be equal. */
  readonly open: number;
  /** Every point touched before the copy was finished has been brought over since, or set aside. */
  readonly caughtUp: boolean;
  /** Points that cannot be brought over as they are; their entries stay open. */
  readonly setAside: SetAside | null;
}

/**
 * Brings what is written to the source of a migration to its target. The source is the master all the time; a point is
 * journalled before a write can touch it, read from the source after the write was applied, and written to the target
 * as it is then. While the copy runs nothing is brought over: it could be overtaken by what the copy read before; all
 * points touched until then are brought over when the copy is finished.
 */
export class FollowWrites {
  readonly #options: FollowOptions;
  readonly #turns = new WriteTurns(TURN_WAIT_MS);
  readonly #stop = new AbortController();
  /** Entries of writes that have not been brought over or left for later by the write itself. */
  readonly #inFlight = new Set<number>();
  readonly #finishing = new Set<Promise<TldrError | null>>();
  #sync: PointSync | null = null;
  #wanted: CopyState = 'waiting';
  #reached: CopyState = 'waiting';
  #side: Side = 'source';
  /** A write that is not in the target in time is said to have failed: its client may read there. */
  #strict = false;
  #caughtUp = false;
  #replay: Promise<void> = Promise.resolve();
  readonly #logged: LoggedWrites;
  /** An earlier process may have left writes that the source has logged and not applied. */
  #mayHaveLeft: boolean;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#mayHaveLeft = options.journal.openCount > 0;
    this.#logged = new LoggedWrites(options, { signal: this.#stop.signal, log: options.log });
  }

  status(): FollowStatus {
    const { openCount: open } = this.#options.journal;
    const setAside = this.#sync?.setAside ?? null;
    return { state: this.#reached, side: this.#side, open, caughtUp: this.#caughtUp, setAside };
  }

  /**
   * Makes a write: journalled, sent, and brought over. A condition is looked up, and its write made, while no other
   * write is: none can make it select other points. A write that the source has only logged is answered at once, and
   * brought over when the source has applied it.
   * @throws what `send` throws; UNAVAILABLE where the journal cannot be written, with nothing sent, and where the
   * target serves and does not hold the points in time; INVALID_ARGUMENT for a condition that cannot be looked up
   */
  async write<Answer>(touched: Touched, send: () => Promise<Sent<Answer>>): Promise<Answer> {
    const { journal } = this.#options;
    const work: Work = { entries: [], ids: touched.conditions.length === 0 ? touched.ids : null, points: 0 };
    // Where clients read the source, they find these there once this write is applied.
    const earlier = this.#strict ? this.#logged.ended() : Promise.resolve();
    const begin = async (ids: readonly PointId[]): Promise<void> => {
      const { entries, written } = journal.begin(ids);
      for (const entry of entries) this.#inFlight.add(entry);
      work.entries.push(...entries);
      work.points += ids.length;
      await written;
    };
    let finished: Promise<TldrError | null> = Promise.resolve(null);
    const sent = new Promise<Sent<Answer>>((resolve, reject) => {
      // Nothing is opened before its turn: a cut-over, whose turn it is, waits until nothing is open.
      const inTurn = async (): Promise<void> => {
        let outcome: WriteOutcome = 'unknown';
        try {
          await begin(touched.ids);
          if (touched.conditions.length > 0) await this.#leftApplied();
          for (const condition of touched.conditions)
            for await (const page of this.#matching(condition)) await begin(page);
          const made = await send();
          ({ outcome } = made);
          resolve(made);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(messageOf(error), { cause: error }));
        }
        // What may still be applied could make a condition select other points.
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

  /** Follows the copy; resolves when nothing of the state before is under way. @throws what reading the target throws */
  async setState(state: CopyState): Promise<void> {
    if (state === this.#wanted) return;
    if (state === 'copied') {
      this.#sync = await this.#openSync();
      this.#wanted = this.#reached = state;
      const left = this.#options.journal.openEntries().filter((entry) => !this.#inFlight.has(entry));
      this.#replay = this.#bringLeft(left).catch((error: unknown) => this.#stopped(error));
      return;
    }
    this.#wanted = state;
    this.#caughtUp = false;
    // What was begun to be brought over could meet what the copy is about to read. Points that were set aside would
    // never end: what is not over stays open.
    await this.#sync?.stop();
    await Promise.all([...this.#finishing, this.#replay]);
    this.#sync = null;
    this.#reached = state;
  }

  /** Resolves when every point touched before the copy was finished is equal or set aside. @throws TIMEOUT */
  async caughtUp(timeoutMs: number): Promise<void> {
    const inTime = await endsWithin(this.#replay, timeoutMs);
    if (!inTime || !this.#caughtUp)
      throw new TldrError(
        'TIMEOUT',
        `writes made before were not brought to the target within ${timeoutMs} ms`,
      );
  }

  /**
   * Lets `switchReads` send reads to the other side. To the target only at a moment when it holds every write that was
   * answered; to the source at once.
   * @returns false where there was no such moment in time
   * @throws INVALID_DATA if the target cannot hold a point, ABORTED once it was given up
   */
  async switchTo(side: Side, switchReads: () => Promise<void>): Promise<boolean> {
    if (side === 'source') {
      await this.#switch(side, switchReads);
      this.#strict = false;
      return true;
    }
    return this.#turns.alone(async () => {
      throwIfAborted(this.#stop.signal);
      const untilMs = performance.now() + SWITCH_WAIT_MS;
      while (!this.#caughtUp || this.#options.journal.openCount > 0) {
        const setAside = this.#sync?.setAside ?? null;
        if (setAside !== null) throw new TldrError('INVALID_DATA', setAsideText(setAside));
        if (performance.now() > untilMs) return false;
        await sleep(OPEN_CHECK_MS, this.#stop.signal);
      }
      this.#strict = true;
      await this.#switch(side, switchReads);
      return true;
    });
  }

  /**
   * Ids that a condition selects, page by page.
   * @throws INVALID_ARGUMENT for a condition that the source does not take, UNAVAILABLE where it does not answer
   */
  async *#matching(condition: PointCondition): AsyncGenerator<readonly PointId[]> {
    const { source, sourceCollection, checkNames } = this.#options;
    try {
      await checkNames?.();
      yield* source.matchingIds(sourceCollection, condition);
    } catch (cause) {
      const code = isTldrError(cause) ? cause.code : 'INTERNAL';
      if (code === 'INVALID_ARGUMENT' || code === 'UNAVAILABLE' || code === 'ABORTED') throw cause;
      const why = `the points that the filter selects cannot be looked up: ${messageOf(cause)}`;
      throw new TldrError(code === 'UNSUPPORTED' ? 'INVALID_ARGUMENT' : 'UNAVAILABLE', why, { cause });
    }
  }

  /** Waits for writes of an earlier process: as long as they are not applied a condition selects other points. */
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

  /** Begins the journal anew where it has become large. */
  async tidy(): Promise<void> {
    try {
      await this.#options.journal.rotate();
    } catch (error) {
      this.#options.log?.('warn', `the journal cannot be begun anew: ${messageOf(error)}`);
    }
  }

  /** Ends what only waits, such as for a moment to switch; everything else goes on until `close`. */
  giveUp(): void {
    this.#stop.abort();
  }

  /** Stops bringing points over; what is open is brought over when the journal is opened again. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#sync?.stop();
    await Promise.all([...this.#finishing, this.#replay]);
    await this.#options.journal.close();
  }

  /**
   * Everything that is left of a write after its turn; never fails: what cannot be done now stays open. Resolves with
   * why a point was set aside, or null.
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
      const sync = this.#sync;
      // Left open: looked at when the copy is finished.
      if (this.#wanted !== 'copied' || sync === null) return null;
      for (const entry of entries) {
        const found = await this.#bring(sync, [entry], entries.length === 1 ? ids : null);
        why ??= found;
      }
    } finally {
      for (const entry of entries) this.#inFlight.delete(entry);
    }
    return why;
  }

  async #bringLeft(entries: readonly number[]): Promise<void> {
    const sync = this.#sync;
    if (sync === null) return;
    // Writes of a process that was killed may still be under way in the database.
    if (entries.length > 0) await this.#logged.settle();
    const left = groupsOf(entries, LEFT_TOGETHER);
    const lane = async (): Promise<void> => {
      for (const group of left) await this.#bring(sync, group, null);
    };
    await Promise.all(Array.from({ length: LEFT_LANES }, lane));
    this.#caughtUp = this.#wanted === 'copied';
  }

  /**
   * Resolves when every point of the entries was brought over or set aside. An entry with a point that was set aside
   * stays open until that point is brought over, too.
   */
  async #bring(
    sync: PointSync,
    entries: readonly number[],
    known: readonly PointId[] | null,
  ): Promise<TldrError | null> {
    const { journal } = this.#options;
    const ids = await Promise.all(entries.map(async (entry) => known ?? (await journal.idsOf(entry))));
    const whys = await Promise.all(
      entries.map(async (entry, i) => {
        const { settled, brought } = sync.sync([...new Set(ids[i])]);
        const closed = brought.then(() => journal.done(entry));
        closed.catch((error: unknown) => this.#stopped(error));
        const why = await settled;
        if (why === null) await closed;
        return why;
      }),
    );
    return whys.find((why) => why !== null) ?? null;
  }

  /** @throws UNAVAILABLE after a while, or for a point that was set aside, where clients read the target */
  async #bounded(finished: Promise<TldrError | null>, earlier: Promise<void>): Promise<void> {
    const { targetWaitMs = TARGET_WAIT_MS } = this.#options;
    const waitMs = this.#strict ? targetWaitMs : SOURCE_WAIT_MS;
    const inTime = await endsWithin(Promise.all([finished, earlier]), waitMs);
    if (!this.#strict) return;
    if (!inTime)
      throw new TldrError('UNAVAILABLE', 'the write was made, but cannot be read yet: it may be repeated');
    const why = await finished;
    if (why !== null)
      throw new TldrError('UNAVAILABLE', `the write was made, but cannot be read yet: ${messageOf(why)}`);
  }

  async #openSync(): Promise<PointSync> {
    const { source, target, encoder, sourceCollection, targetCollection, checkNames, log } = this.#options;
    await checkNames?.();
    const targetSpec = await target.describe(targetCollection);
    const description = targetDescription(targetSpec);
    if (description?.source !== sourceCollection || description.encoder !== encoder.fingerprint)
      throw new TldrError(
        'MISMATCH',
        `${targetCollection} is not what this encoder made of ${sourceCollection}`,
      );
    const { shardKeys } = await source.describe(sourceCollection);
    const identity = {
      ...{
        sourceEndpoint: source.endpoint,
        sourceCollection,
        targetEndpoint: target.endpoint,
        targetCollection,
      },
      ...{ vectorName: description.vector, compactName: description.compact, layout: description.layout },
      encoderFingerprint: description.encoder,
    };
    const componentBytes = componentBytesOf(targetSpec, description.compact);
    return new PointSync({ source, target, encoder, identity, componentBytes, shardKeys, checkNames, log });
  }

  #stopped(error: unknown): void {
    if (!isTldrError(error, 'ABORTED'))
      this.#options.log?.('warn', `writes stay in the journal: ${messageOf(error)}`);
  }
}

/** A write's entries in the journal, and all its points where they are few enough to be held. */
interface Work {
  readonly entries: number[];
  readonly ids: readonly PointId[] | null;
  points: number;
}

function* groupsOf<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}
