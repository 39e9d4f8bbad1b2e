import type { Encoder } from '../core/encoder.js';
import { isTldrError, messageOf, TldrError } from '../core/errors.js';
import type { PointId } from '../core/point-id.js';
import type { Log } from '../core/run.js';
import type { ShardKey, VectorStore } from '../core/vector-store.js';
import { shardKeysOf } from './compare-points.js';
import { projectBatch } from './project-batch.js';
import type { MigrationIdentity } from './migration-record.js';

/** Points brought over at once, and what they may take. */
const BATCH_POINTS = 128;
const BATCH_BYTES = 16 * 1024 ** 2;
const RETRY_MS = 500;
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
  readonly log?: Log | undefined;
}

interface Wanted {
  readonly id: PointId;
  readonly waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[];
}

/**
 * Makes points of the target what they are in the source: those that exist are written as a whole, those that do not
 * are removed. One batch after the other, so that what is read later is written later: after the last of several
 * changes of a point the target holds the last.
 */
export class PointSync {
  readonly #sides: SyncSides;
  readonly #pending = new Map<PointId, Wanted>();
  #batchPoints = BATCH_POINTS;
  #working: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(sides: SyncSides) {
    this.#sides = sides;
  }

  /**
   * Resolves when each of the points was read and written after this was called, however long that takes.
   * @throws ABORTED once stopped
   */
  async sync(ids: readonly PointId[]): Promise<void> {
    if (this.#stopped) throw stoppedError();
    const done = ids.map(
      (id) =>
        new Promise<void>((resolve, reject) => {
          const wanted = this.#pending.get(id) ?? { id, waiting: [] };
          wanted.waiting.push({ resolve, reject });
          this.#pending.set(id, wanted);
        }),
    );
    this.#work();
    await Promise.all(done);
  }

  /** Ends with the batch under way; everything else is given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#working;
    for (const { waiting } of this.#pending.values())
      for (const { reject } of waiting) reject(stoppedError());
    this.#pending.clear();
  }

  #work(): void {
    if (this.#working === null && this.#pending.size > 0 && !this.#stopped) this.#working = this.#batches();
  }

  async #batches(): Promise<void> {
    const failed: Wanted[] = [];
    while (this.#pending.size > 0 && !this.#stopped) {
      const batch = [...take(this.#pending, this.#batchPoints)];
      for (const { id } of batch) this.#pending.delete(id);
      failed.push(...(await this.#bringOrSplit(batch)));
    }
    // At the very end, so that whoever comes next begins anew.
    this.#working = null;
    if (failed.length > 0) this.#again(failed);
  }

  /** What failed is tried again later, with whoever has asked for it meanwhile. */
  #again(failed: readonly Wanted[]): void {
    for (const { id, waiting } of failed) {
      const wanted = this.#pending.get(id) ?? { id, waiting: [] };
      wanted.waiting.push(...waiting);
      this.#pending.set(id, wanted);
    }
    if (!this.#stopped) this.#retry = setTimeout(() => this.#work(), RETRY_MS);
  }

  /** @returns those that could not be brought; one bad point keeps no other from it */
  async #bringOrSplit(batch: readonly Wanted[]): Promise<readonly Wanted[]> {
    try {
      await this.#bring(batch.map(({ id }) => id));
    } catch (error) {
      if (batch.length > 1 && !(isTldrError(error) && ANY_POINTS.includes(error.code))) {
        const half = Math.ceil(batch.length / 2);
        const failed = await this.#bringOrSplit(batch.slice(0, half));
        return [...failed, ...(await this.#bringOrSplit(batch.slice(half)))];
      }
      this.#sides.log?.('warn', 'points cannot be brought to the target yet', {
        points: batch.length,
        error: messageOf(error),
      });
      return batch;
    }
    for (const { waiting } of batch) for (const { resolve } of waiting) resolve();
    return [];
  }

  async #bring(ids: readonly PointId[]): Promise<void> {
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

function* take<T>(from: ReadonlyMap<PointId, T>, count: number): Generator<T> {
  let left = count;
  for (const value of from.values()) {
    if (left-- <= 0) return;
    yield value;
  }
}

function stoppedError(): TldrError {
  return new TldrError('ABORTED', 'points are not brought to the target any more');
}
