import type { Encoder } from '../core/encoder.js';
import { TldrError } from '../core/errors.js';
import { firstNonFiniteRow, type Matrix } from '../core/matrix.js';
import { formatPointId } from '../core/point-id.js';
import { RowMemory } from '../core/row-memory.js';
import type { Pace } from './pace.js';
import { throwIfAborted, type RunOptions } from '../core/run.js';
import type { PointBatch, VectorColumn, VectorStore, WriteBatch } from '../core/vector-store.js';
import {
  cursorOf,
  cursorText,
  type MigrationIdentity,
  type MigrationRecord,
  type RangeProgress,
} from './migration-record.js';

export interface CopyRequest {
  readonly source: VectorStore;
  readonly target: VectorStore;
  readonly encoder: Encoder;
  readonly record: MigrationRecord;
  readonly points: number;
  /** Ranges copied at the same time. */
  readonly lanes: number;
  readonly batchSize: number;
  /** Shortest time between two saves of the record while copying; 0 saves after every write. */
  readonly saveIntervalMs: number;
  readonly save: () => Promise<void>;
  readonly pace: Pace;
  /** Called after each range and waited for. */
  readonly rangeDone?: () => Promise<void>;
}

/**
 * The points as the target stores them: reduced, and in the two-stage layout the full vector beside it.
 * @throws INVALID_DATA naming a point that is not finite, or whose reduced vector is not
 */
export function projectBatch(encoder: Encoder, batch: PointBatch, record: MigrationIdentity): WriteBatch {
  const reduced = encoder.project(batch.vectors);
  checkFinite(encoder, batch, { reduced, record });
  const compact: VectorColumn = { name: record.compactName, matrix: reduced, has: batch.hasVector };
  const full: VectorColumn = { name: record.vectorName, matrix: batch.vectors, has: batch.hasVector };
  return {
    ids: batch.ids,
    vectors: record.layout === 'two-stage' ? [full, compact] : [compact],
    rest: batch.rest,
  };
}

/** Looks at the reduced vectors where they tell: they are a fraction of the full ones. */
function checkFinite(
  encoder: Encoder,
  { ids, vectors }: PointBatch,
  { reduced, record }: { readonly reduced: Matrix; readonly record: MigrationIdentity },
): void {
  if (encoder.showsNonFinite && firstNonFiniteRow(reduced) < 0) return;
  const broken = firstNonFiniteRow(vectors);
  const bad = broken >= 0 ? broken : firstNonFiniteRow(reduced);
  if (bad < 0) return;
  const id = ids[bad];
  const point = `point ${id === undefined ? '?' : formatPointId(id)} of ${record.sourceCollection}`;
  const what =
    broken >= 0
      ? `holds NaN or infinity in "${record.vectorName}"`
      : `is too large in "${record.vectorName}" to be projected`;
  throw new TldrError('INVALID_DATA', `${point} ${what}: repair or delete it`);
}

/**
 * Copies every range that is not complete. Reading, projecting and writing overlap; a cursor moves only after
 * its write was acknowledged, so a kill costs at most repeated writes of the same points.
 * @throws INVALID_DATA naming a point that cannot be projected, ABORTED
 */
export async function copyPoints(request: CopyRequest, run: RunOptions = {}): Promise<number> {
  const { record, lanes, points, saveIntervalMs } = request;
  const todo = record.ranges.filter(({ complete }) => !complete);
  let copied = 0;
  let savedAtMs = performance.now();
  let saving: Promise<void> = Promise.resolve();
  const committed = (count: number): void => {
    copied += count;
    const done = record.ranges.reduce((sum, range) => sum + range.points, 0);
    run.onProgress?.({ step: 'copying', done: Math.min(done, points), total: points, unit: 'points' });
    if (performance.now() - savedAtMs < saveIntervalMs) return;
    savedAtMs = performance.now();
    saving = saving.then(request.save);
    // Awaited at the end; until then a failure must not count as unhandled.
    saving.catch(() => undefined);
  };
  const stop = new AbortController();
  const signal = run.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, run.signal]);
  const lane = async (): Promise<void> => {
    for (let range = todo.shift(); range !== undefined; range = todo.shift()) {
      await copyRange(request, range, { signal, committed });
      await request.rangeDone?.();
    }
  };
  const settled = await Promise.allSettled(
    Array.from({ length: Math.max(1, lanes) }, () =>
      lane().catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    ),
  );
  await saving;
  await request.save();
  throwIfAborted(run.signal);
  const failed = settled.find(
    (result): result is PromiseRejectedResult =>
      result.status === 'rejected' && result.reason === stop.signal.reason,
  );
  if (failed !== undefined) throw failed.reason;
  return copied;
}

async function copyRange(
  request: CopyRequest,
  range: RangeProgress,
  { signal, committed }: { signal: AbortSignal; committed: (count: number) => void },
): Promise<void> {
  const { source, target, encoder, record, batchSize } = request;
  const shardKey = range.shardKey ?? undefined;
  const from = cursorOf(range.cursor ?? range.from);
  let repeated = range.cursor === null ? 0 : 1;
  let write: Promise<void> = Promise.resolve();
  const rowMemory = new RowMemory();
  try {
    const scan = source.scan(record.sourceCollection, {
      vectorName: record.vectorName,
      range: { from, to: cursorOf(range.to) },
      shardKey,
      batchSize,
      signal,
      rowMemory,
    });
    for await (const batch of request.pace.paced(scan, signal)) {
      const ready = projectBatch(encoder, batch, record);
      // One write under way per range: the next page is read and projected meanwhile.
      await write;
      throwIfAborted(signal);
      write = target.upsert(record.targetCollection, ready, { shardKey }).then(() => {
        rowMemory.give(batch.vectors);
        range.cursor = cursorText(batch.ids.at(-1) ?? null);
        const fresh = batch.ids.length - repeated;
        repeated = 0;
        range.points += fresh;
        committed(fresh);
      });
      write.catch(() => undefined);
    }
    await write;
    range.complete = true;
  } finally {
    // On failure, what is in flight still decides the cursor.
    await write.catch(() => undefined);
  }
}
