import type { PointId } from '../../core/point-id.js';
import { sleep, type RunOptions } from '../../core/run.js';
import type { PointBatch, ShardKey, VectorStore } from '../../store/vector-store.js';
import { comparedStreams, type ComparedPoint, type Sides } from './compare-points.js';
import type { MigrationPlan } from '../plan/migration.js';

const POINTS_AT_ONCE = 256;
/** Readings of a point, and the pauses between them, eight seconds in all: a write is brought over within moments. */
const READINGS = 20;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;
/** Where so many points differ for good, the copy is wrong, and the others need not be waited for as long. */
const DIFFERING_MAX = 1_000;
const HASTY_READINGS = 2;

interface Again {
  readonly ids: readonly PointId[];
  readonly shardKey: ShardKey | undefined;
  readonly readings: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Compared points of two sides that are written to, one after the other: a point that differs is read again and again,
 * and told to differ only where it goes on doing so. Points that are gone from both sides by then are left out.
 */
export async function* lookedAgain(
  plan: MigrationPlan,
  sides: Sides,
  { compared, signal }: { readonly compared: AsyncIterable<ComparedPoint> } & Pick<RunOptions, 'signal'>,
): AsyncGenerator<ComparedPoint> {
  let shardKey: ShardKey | undefined;
  let ids: PointId[] = [];
  let differing = 0;
  async function* again(): AsyncGenerator<ComparedPoint> {
    const readings = differing < DIFFERING_MAX ? READINGS : HASTY_READINGS;
    const taken = ids;
    ids = [];
    for await (const point of untilEqual(plan, sides, { ids: taken, shardKey, readings, signal })) {
      if (point.differences.length > 0) differing++;
      yield point;
    }
  }
  for await (const point of compared) {
    if (point.differences.length === 0) {
      yield point;
      continue;
    }
    if (ids.length >= POINTS_AT_ONCE || point.shardKey !== shardKey) yield* again();
    ({ shardKey } = point);
    ids.push(point.id);
  }
  yield* again();
}

async function* untilEqual(
  plan: MigrationPlan,
  sides: Sides,
  { ids, shardKey, readings, signal }: Again,
): AsyncGenerator<ComparedPoint> {
  const { vectorName } = plan;
  let left = ids;
  let pauseMs = FIRST_PAUSE_MS;
  async function* read(store: VectorStore, collection: string): AsyncGenerator<PointBatch> {
    yield await store.retrieve(collection, left, { vectorName, shardKey });
  }
  for (let reading = 1; left.length > 0; reading++) {
    await sleep(pauseMs, signal);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    const differing: PointId[] = [];
    const streams = {
      source: read(sides.source, plan.sourceCollection),
      target: read(sides.target, plan.targetCollection),
    };
    for await (const point of comparedStreams(plan, sides, streams)) {
      if (point.differences.length > 0 && reading < readings) differing.push(point.id);
      else yield { ...point, shardKey };
    }
    left = differing;
  }
}
