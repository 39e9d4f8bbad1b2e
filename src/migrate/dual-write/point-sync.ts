import type { Encoder } from '../../encoder/model.js';
import { hintFields, isTldrError, messageOf, TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import type { Log } from '../../core/run-options.js';
import type { Partition } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { partitionsOf } from '../points/compare-points.js';
import { withoutVector } from '../points/left-out.js';
import { projectBatch } from '../points/project-batch.js';
import type { MigrationIdentity } from '../state/migration-state.js';
import type { NamesCheck } from './names-check.js';
import type { SetAside } from './points-set-aside.js';

/** Most points and bytes of one batch. */
const BATCH_POINTS = 128;
const BATCH_BYTES = 16 * 1024 ** 2;
const RETRY_MS = 500;
/** Time after which a point that was set aside is tried again. */
const SET_ASIDE_RETRY_MS = 5_000;
/** Failures of a point alone, while others are brought over, before it is set aside. */
const LONE_FAILURES_MAX = 5;
/** Error codes that do not depend on the points of a batch. */
const ANY_POINTS = ['UNAVAILABLE', 'TIMEOUT', 'UNAUTHORIZED', 'FORBIDDEN', 'NOT_FOUND'];

/** Source and target of a point sync. */
export interface SyncSides {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly encoder: Encoder;
  readonly identity: MigrationIdentity;
  /** The vector of the source that is not copied (`MigrationPlan.leftOut`). */
  readonly leftOut: string | null;
  /** Bytes of one stored component of the compact vector. */
  readonly componentBytes: number;
  /** Shard keys of the source; empty if it is not sharded by key. */
  readonly partitions: readonly Partition[];
  readonly checkNames?: NamesCheck | undefined;
  /** Called when a point that was set aside has been brought over. */
  readonly onBrought?: ((id: PointId) => void) | undefined;
  readonly log?: Log | undefined;
}

/** A caller that waits for a point. `settle` gets null, or the reason why the point was set aside. */
interface Waiter {
  readonly settle: (why: TldrError | null) => void;
  readonly fail: (error: TldrError) => void;
}

interface Wanted {
  readonly id: PointId;
  waiting: Waiter[];
  /** True if it failed before: then it is tried apart from other points. */
  failed: boolean;
  loneFailures: number;
  /** Number of batches brought over when it last failed alone. */
  broughtBefore: number;
}

/**
 * Makes points of the target equal to the source: writes existing points as a whole and removes the others.
 * Batches run one after the other, so that points read later are also written later, and the target ends with
 * the last of several changes. A point that cannot be brought over is set aside, so that it does not delay
 * other points.
 */
export class PointSync {
  readonly #sides: SyncSides;
  readonly #pending = new Map<PointId, Wanted>();
  /** Points that failed and are tried again later. */
  readonly #failed = new Map<PointId, Wanted>();
  readonly #aside = new Map<PointId, { readonly wanted: Wanted; readonly untilMs: number }>();
  /** Reasons why points were set aside. A reason stays while its point is tried again. */
  readonly #reasons = new Map<PointId, TldrError>();
  #batchPoints = BATCH_POINTS;
  /** Failed points that are tried together: fewer after each failure. */
  #failedPoints = BATCH_POINTS;
  #brought = 0;
  #isRetryDue = false;
  #working: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(sides: SyncSides) {
    this.#sides = sides;
  }

  /** Returns the points that are set aside; null if there are none. */
  get setAside(): SetAside | null {
    const [first] = this.#reasons.values();
    return first === undefined ? null : { points: this.#reasons.size, why: first.message };
  }

  /**
   * Brings points over. Resolves when each was brought over or set aside, with the reason of the first that
   * was set aside, or null.
   * @throws ABORTED once stopped
   */
  sync(ids: readonly PointId[]): Promise<TldrError | null> {
    const settled = Promise.all(ids.map((id) => this.#want(id)));
    this.#work();
    return settled.then((whys) => whys.find((why) => why !== null) ?? null);
  }

  /** Returns the points that are set aside now. @throws ABORTED once stopped, when this is not known */
  asideOf(ids: readonly PointId[]): PointId[] {
    if (this.#stopped) throw stoppedError();
    return ids.filter((id) => this.#reasons.has(id));
  }

  /** Stops after the batch under way. All other callers get ABORTED. */
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

  /** Queues a point. A point that failed before is tried again at once, because it may have changed. */
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
    // Requests of the same moment go into one batch.
    await Promise.resolve();
    while (!this.#stopped) {
      if (this.#pending.size > 0) await this.#bringOrSplit(this.#nextPending());
      else if (this.#isRetryDue && this.#failed.size > 0) await this.#retryFailed();
      else break;
    }
    this.#isRetryDue = false;
    // Reset only at the very end, so that the next request starts a new loop.
    this.#working = null;
    this.#retryLater();
  }

  /**
   * Returns the next batch. A point that failed before is alone in its batch, so that it delays no others.
   */
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

  /** Tries failed points again. A failed batch ends the retry, because the server may be unreachable. */
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

  /**
   * Brings a batch over. If a point fails, halves the batch until that point is alone, to bring over the
   * others.
   * @returns false after a failure that does not depend on the points
   */
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

  /** Returns whether the failure of a single point is permanent. */
  #isLasting(wanted: Wanted, isAnyPoints: boolean): boolean {
    if (!isAnyPoints) return true;
    if (this.#brought !== wanted.broughtBefore) wanted.loneFailures++;
    wanted.broughtBefore = this.#brought;
    return wanted.loneFailures > LONE_FAILURES_MAX;
  }

  #putAside(wanted: Wanted, error: unknown): void {
    const { id, waiting } = wanted;
    const { source, identity, log } = this.#sides;
    const name = `point ${source.keys.format(id)}`;
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
    // Callers that waited continue. A later call for the point tries it again.
    wanted.waiting = [];
    for (const { settle } of waiting) settle(why);
  }

  /** Keeps a failed batch for a later try. Callers that came meanwhile wait with it. */
  #tryLater(batch: readonly Wanted[], error: unknown): void {
    this.#sides.log?.('warn', 'points cannot be brought to the target yet', {
      points: batch.length,
      error: messageOf(error),
      ...hintFields(error),
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
      // If a name led elsewhere meanwhile, the result says nothing about these points.
      await checkNames?.('now');
    }
  }

  async #bringNow(ids: readonly PointId[]): Promise<void> {
    const { source, target, encoder, identity, leftOut, componentBytes } = this.#sides;
    const destination = { ...identity, componentBytes, keys: source.keys };
    const { sourceCollection, targetCollection, vectorName } = identity;
    // Every shard key can hold a point of the same id, and the write can have changed any of them.
    for (const partition of partitionsOf(this.#sides)) {
      const read = await source.retrieve(sourceCollection, ids, { vectorName, partition });
      const found = withoutVector(read, leftOut, source.codec);
      if (found.ids.length > 0)
        await target.upsert(targetCollection, projectBatch(encoder, found, destination), { partition });
      const there = new Set(found.ids);
      const gone = ids.filter((id) => !there.has(id));
      if (gone.length > 0) await target.remove(targetCollection, gone, { partition });
      const bytesPerPoint = Math.max(1, found.sizeBytes / Math.max(1, found.ids.length));
      this.#batchPoints = Math.max(1, Math.min(BATCH_POINTS, Math.floor(BATCH_BYTES / bytesPerPoint)));
    }
  }
}

function stoppedError(): TldrError {
  return new TldrError('ABORTED', 'points are not brought to the target any more');
}
