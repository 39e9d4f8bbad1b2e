import type { Encoder } from '../../encoder/model.js';
import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { formatPointId, type PointId } from '../../core/point-id.js';
import type { Log } from '../../core/run.js';
import type { ShardKey, VectorStore } from '../../store/vector-store.js';
import { shardKeysOf } from '../points/compare-points.js';
import { projectBatch } from '../points/project-batch.js';
import type { MigrationIdentity } from '../state/migration-state.js';
import type { NamesCheck } from './names-check.js';
import type { SetAside } from './set-aside.js';

/** Points brought over at once, and what they may take. */
const BATCH_POINTS = 128;
const BATCH_BYTES = 16 * 1024 ** 2;
const RETRY_MS = 500;
/** How often points that were set aside are tried again. */
const SET_ASIDE_RETRY_MS = 5_000;
/** How often a point fails alone, while others are brought over, before it is set aside. */
const LONE_FAILURES_MAX = 5;
/** Failures that have nothing to do with which points were asked for. */
const ANY_POINTS = ['UNAVAILABLE', 'TIMEOUT', 'UNAUTHORIZED', 'FORBIDDEN', 'NOT_FOUND'];

/** Where points are brought from and to. */
export interface SyncSides {
  readonly source: VectorStore;
  readonly target: VectorStore;
  readonly encoder: Encoder;
  readonly identity: MigrationIdentity;
  /** Bytes of one stored component of the reduced vector. */
  readonly componentBytes: number;
  /** Of the source; empty where it is not sharded by key. */
  readonly shardKeys: readonly ShardKey[];
  readonly checkNames?: NamesCheck | undefined;
  /** Called when a point that had been set aside was brought over. */
  readonly onBrought?: ((id: PointId) => void) | undefined;
  readonly log?: Log | undefined;
}

/** @param why the point was set aside, or null once it was brought over */
interface Waiter {
  readonly settle: (why: TldrError | null) => void;
  readonly fail: (error: TldrError) => void;
}

interface Wanted {
  readonly id: PointId;
  waiting: Waiter[];
  /** Whether bringing it over failed before: then it is tried apart from the others. */
  failed: boolean;
  loneFailures: number;
  /** How many batches had been brought over when it last failed alone. */
  broughtBefore: number;
}

/**
 * Makes points of the target what they are in the source: those that exist are written as a whole, those that do not
 * are removed. One batch after the other, so that what is read later is written later: after the last of several
 * changes of a point the target holds the last. A point that cannot be brought over is set aside and holds up no other.
 */
export class PointSync {
  readonly #sides: SyncSides;
  readonly #pending = new Map<PointId, Wanted>();
  /** Tried again later. */
  readonly #failed = new Map<PointId, Wanted>();
  readonly #aside = new Map<PointId, { readonly wanted: Wanted; readonly untilMs: number }>();
  /** Why points were set aside; they are kept here while they are tried again. */
  readonly #reasons = new Map<PointId, TldrError>();
  #batchPoints = BATCH_POINTS;
  /** How many of those that failed are tried at once: fewer after each failure. */
  #failedPoints = BATCH_POINTS;
  #brought = 0;
  #isRetryDue = false;
  #working: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(sides: SyncSides) {
    this.#sides = sides;
  }

  /** Returns which points cannot be brought over as they are; null if there are none. */
  get setAside(): SetAside | null {
    const [first] = this.#reasons.values();
    return first === undefined ? null : { points: this.#reasons.size, why: first.message };
  }

  /**
   * Reads each of the points and writes it. Resolves when each was brought over or set aside; with why the first was
   * set aside, or null.
   * @throws ABORTED once stopped
   */
  sync(ids: readonly PointId[]): Promise<TldrError | null> {
    const settled = Promise.all(ids.map((id) => this.#want(id)));
    this.#work();
    return settled.then((whys) => whys.find((why) => why !== null) ?? null);
  }

  /** Which of the points are set aside now. @throws ABORTED once stopped: then nobody knows */
  asideOf(ids: readonly PointId[]): PointId[] {
    if (this.#stopped) throw stoppedError();
    return ids.filter((id) => this.#reasons.has(id));
  }

  /** Ends with the batch under way; everything else is given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#working;
    const aside = [...this.#aside.values()].map(({ wanted }) => wanted);
    for (const { waiting } of [...this.#pending.values(), ...this.#failed.values(), ...aside])
      for (const { fail } of waiting) fail(stoppedError());
    for (const map of [this.#pending, this.#failed, this.#aside, this.#reasons]) map.clear();
  }

  #want(id: PointId): Promise<TldrError | null> {
    return new Promise((settle, fail) => {
      if (this.#stopped) fail(stoppedError());
      else this.#take(id).waiting.push({ settle, fail });
    });
  }

  /** A point that failed before is tried again at once: it may have been changed. */
  #take(id: PointId): Wanted {
    const known = this.#pending.get(id) ?? this.#failed.get(id) ?? this.#aside.get(id)?.wanted;
    const wanted = known ?? { id, waiting: [], failed: false, loneFailures: 0, broughtBefore: -1 };
    this.#failed.delete(id);
    this.#aside.delete(id);
    this.#pending.set(id, wanted);
    return wanted;
  }

  #work(): void {
    if (this.#working !== null || this.#stopped) return;
    if (this.#pending.size > 0 || this.#isRetryDue) this.#working = this.#batches();
  }

  async #batches(): Promise<void> {
    // What is asked for at the same moment goes together.
    await Promise.resolve();
    while (!this.#stopped) {
      if (this.#pending.size > 0) await this.#bringOrSplit(this.#nextPending());
      else if (this.#isRetryDue && this.#failed.size > 0) await this.#retryFailed();
      else break;
    }
    this.#isRetryDue = false;
    // At the very end, so that whoever comes next begins anew.
    this.#working = null;
    this.#retryLater();
  }

  /** Points that failed before come one by one, so that they hold up no others. */
  #nextPending(): readonly Wanted[] {
    const batch: Wanted[] = [];
    for (const wanted of this.#pending.values()) {
      if (wanted.failed && batch.length > 0) break;
      batch.push(wanted);
      if (wanted.failed || batch.length >= this.#batchPoints) break;
    }
    for (const { id } of batch) this.#pending.delete(id);
    return batch;
  }

  /** The first batch that fails again ends the retry: there may be no server. */
  async #retryFailed(): Promise<void> {
    const batch = [...this.#failed.values()].slice(0, Math.min(this.#failedPoints, this.#batchPoints));
    for (const { id } of batch) this.#failed.delete(id);
    const isBrought = await this.#bringOrSplit(batch);
    this.#isRetryDue &&= isBrought;
    this.#failedPoints = isBrought
      ? Math.min(BATCH_POINTS, 2 * this.#failedPoints)
      : Math.max(1, Math.floor(batch.length / 2));
  }

  #retryLater(): void {
    if (this.#stopped || this.#retry !== undefined || this.#failed.size + this.#aside.size === 0) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#isRetryDue = true;
      const nowMs = performance.now();
      for (const [id, { wanted, untilMs }] of this.#aside)
        if (untilMs <= nowMs) {
          this.#aside.delete(id);
          this.#failed.set(id, wanted);
        }
      this.#work();
    }, RETRY_MS);
  }

  /** @returns false after a failure that has nothing to do with the points; one bad point keeps no other from it */
  async #bringOrSplit(batch: readonly Wanted[]): Promise<boolean> {
    try {
      await this.#bring(batch.map(({ id }) => id));
    } catch (error) {
      const isAnyPoints = isTldrError(error) && ANY_POINTS.includes(error.code);
      const [first] = batch;
      if (batch.length > 1 && !isAnyPoints) {
        const half = Math.ceil(batch.length / 2);
        const isFirstBrought = await this.#bringOrSplit(batch.slice(0, half));
        return (await this.#bringOrSplit(batch.slice(half))) && isFirstBrought;
      }
      if (batch.length === 1 && first !== undefined && this.#isLasting(first, isAnyPoints))
        this.#putAside(first, error);
      else this.#tryLater(batch, error);
      return !isAnyPoints;
    }
    this.#brought++;
    for (const { id, waiting } of batch) {
      if (this.#reasons.delete(id)) this.#sides.onBrought?.(id);
      for (const { settle } of waiting) settle(null);
    }
    return true;
  }

  /** Whether a failure of one point alone is going to last. */
  #isLasting(wanted: Wanted, isAnyPoints: boolean): boolean {
    if (!isAnyPoints) return true;
    if (this.#brought !== wanted.broughtBefore) wanted.loneFailures++;
    wanted.broughtBefore = this.#brought;
    return wanted.loneFailures > LONE_FAILURES_MAX;
  }

  #putAside(wanted: Wanted, error: unknown): void {
    const { id, waiting } = wanted;
    const { identity, log } = this.#sides;
    const name = `point ${formatPointId(id)}`;
    const text = messageOf(error);
    const message = text.includes(name)
      ? text
      : `${name} of ${identity.sourceCollection} cannot be brought to ${identity.targetCollection}: ${text}`;
    const why = new TldrError('INVALID_DATA', message, { cause: error });
    if (this.#reasons.get(id)?.message !== message)
      log?.('warn', 'a point cannot be brought to the target and is set aside', { error: message });
    this.#reasons.set(id, why);
    wanted.failed = true;
    const again = this.#pending.get(id);
    if (again !== undefined) {
      again.waiting.push(...waiting);
      return;
    }
    this.#aside.set(id, { wanted, untilMs: performance.now() + SET_ASIDE_RETRY_MS });
    // Whoever waited goes on, and may come again any number of times.
    wanted.waiting = [];
    for (const { settle } of waiting) settle(why);
  }

  /** What failed is tried again later, with whoever has asked for it meanwhile. */
  #tryLater(batch: readonly Wanted[], error: unknown): void {
    this.#sides.log?.('warn', 'points cannot be brought to the target yet', {
      points: batch.length,
      error: messageOf(error),
    });
    for (const wanted of batch) {
      wanted.failed = true;
      const again = this.#pending.get(wanted.id);
      if (again === undefined) this.#failed.set(wanted.id, wanted);
      else again.waiting.push(...wanted.waiting);
    }
  }

  async #bring(ids: readonly PointId[]): Promise<void> {
    const { checkNames } = this.#sides;
    await checkNames?.('recently');
    try {
      await this.#bringNow(ids);
    } finally {
      // If a name led elsewhere meanwhile, neither success nor failure says anything about these points.
      await checkNames?.('now');
    }
  }

  async #bringNow(ids: readonly PointId[]): Promise<void> {
    const { source, target, encoder, identity, componentBytes } = this.#sides;
    const destination = { ...identity, componentBytes };
    const { sourceCollection, targetCollection, vectorName } = identity;
    // An id may be there once in every shard key, and a write can have reached any of them.
    for (const shardKey of shardKeysOf(this.#sides)) {
      const found = await source.retrieve(sourceCollection, ids, { vectorName, shardKey });
      if (found.ids.length > 0)
        await target.upsert(targetCollection, projectBatch(encoder, found, destination), { shardKey });
      const there = new Set(found.ids);
      const gone = ids.filter((id) => !there.has(id));
      if (gone.length > 0) await target.deletePoints(targetCollection, gone, { shardKey });
      const bytesPerPoint = Math.max(1, found.sizeBytes / Math.max(1, found.ids.length));
      this.#batchPoints = Math.max(1, Math.min(BATCH_POINTS, Math.floor(BATCH_BYTES / bytesPerPoint)));
    }
  }
}

function stoppedError(): TldrError {
  return new TldrError('ABORTED', 'points are not brought to the target any more');
}
