import type { Encoder } from '../../encoder/model.js';
import { ReusedRowMemory } from '../../core/reused-row-memory.js';
import type { Throttle } from '../throttle/throttle.js';
import { throwIfAborted, type RunOptions } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import {
  copiedPoints,
  cursorOf,
  cursorText,
  type MigrationState,
  type RangeProgress,
} from '../state/migration-state.js';
import { toWriteBatch } from '../points/project-batch.js';
import type { Projector } from '../points/compare-points.js';
import { withoutVector } from '../points/left-out.js';

export interface CopyRequest {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly encoder: Encoder;
  readonly projector: Projector;
  readonly state: MigrationState;
  /** The vector of the source that is not copied (`MigrationPlan.leftOut`). */
  readonly leftOut: string | null;
  /** Bytes of one stored component of the compact vector. */
  readonly componentBytes: number;
  readonly points: number;
  /** Ranges copied at the same time. */
  readonly concurrency: number;
  readonly batchSize: number;
  /** Shortest time between two saves of the migration state while copying. 0 saves after every write. */
  readonly saveIntervalMs: number;
  readonly save: () => Promise<void>;
  readonly throttle: Throttle;
  /** Called after each range. The copy waits for it. */
  readonly rangeDone?: () => Promise<void>;
}

/**
 * Copies every range that is not complete. Reading, projecting and writing overlap. A cursor moves only after
 * its write was acknowledged, so that after a kill at most some points are written again.
 * @returns the number of points copied
 * @throws INVALID_DATA when a point cannot be projected, naming the point
 * @throws ABORTED when the signal fires
 */
export async function copyPoints(request: CopyRequest, run: RunOptions = {}): Promise<number> {
  const { state, concurrency, points, saveIntervalMs } = request;
  const todo = state.ranges.filter(({ complete }) => !complete);
  let copied = 0;
  let savedAtMs = performance.now();
  let saving: Promise<void> = Promise.resolve();
  const committed = (count: number): void => {
    copied += count;
    const done = Math.min(copiedPoints(state), points);
    run.onProgress?.({ step: 'copying', done, total: points, unit: 'points' });
    if (performance.now() - savedAtMs < saveIntervalMs) return;
    savedAtMs = performance.now();
    saving = saving.then(request.save);
    // Awaited at the end. Until then, Node must not report a failure as unhandled.
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
    Array.from({ length: Math.max(1, concurrency) }, () =>
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
  const { source, target, encoder, state, leftOut, batchSize, componentBytes } = request;
  const partition = range.partition ?? undefined;
  const from = cursorOf(range.cursor ?? range.from, source.keys);
  let repeated = range.cursor === null ? 0 : 1;
  let write: Promise<void> = Promise.resolve();
  const rowMemory = new ReusedRowMemory();
  const destination = { ...state, componentBytes, keys: source.keys };
  try {
    const scan = source.scan(state.sourceCollection, {
      vectorName: state.vectorName,
      range: { from, to: cursorOf(range.to, source.keys) },
      partition,
      batchSize,
      signal,
      rowMemory,
    });
    for await (const batch of request.throttle.throttled(scan, signal)) {
      const reduced = await request.projector.project(batch.vectors);
      const own = withoutVector(batch, leftOut, source.codec);
      const ready = toWriteBatch(encoder, own, { reduced, destination });
      // One write per range is under way at a time; meanwhile the next page is read and projected.
      await write;
      throwIfAborted(signal);
      write = target.upsert(state.targetCollection, ready, { partition }).then(() => {
        rowMemory.give(batch.vectors);
        range.cursor = cursorText(batch.ids.at(-1) ?? null, source.keys);
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
    // After a failure, the write under way can still move the cursor.
    await write.catch(() => undefined);
  }
}
