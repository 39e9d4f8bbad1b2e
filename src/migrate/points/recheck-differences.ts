import { REQUEST_POINTS } from '../../store/defaults.js';
import type { PointId } from '../../core/point-id.js';
import { sleep, type RunOptions } from '../../core/run-options.js';
import type { Partition } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { PointBatch } from '../../store/points.js';
import { comparedStreams, type ComparedPoint, type Sides } from './compare-points.js';
import type { MigrationPlan } from '../plan/migration.js';

/** Reads of a point and pauses between them: eight seconds in all. A write is usually over much sooner. */
const READINGS = 20;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;
/** If this many points still differ, the copy is wrong, and the other points get fewer reads. */
const DIFFERING_MAX = 1_000;
const HASTY_READINGS = 2;

interface Again {
  readonly ids: readonly PointId[];
  readonly partition: Partition | undefined;
  readonly readings: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Yields compared points while clients write to the source and the proxy brings their writes to the target. A
 * point that differs is read again several times, and is reported only if it still differs. Points that
 * neither collection has by then are omitted.
 */
export async function* lookedAgain(
  plan: MigrationPlan,
  sides: Sides,
  { compared, signal }: { readonly compared: AsyncIterable<ComparedPoint> } & Pick<RunOptions, 'signal'>,
): AsyncGenerator<ComparedPoint> {
  let partition: Partition | undefined;
  let ids: PointId[] = [];
  let differing = 0;
  async function* again(): AsyncGenerator<ComparedPoint> {
    const readings = differing < DIFFERING_MAX ? READINGS : HASTY_READINGS;
    const taken = ids;
    ids = [];
    for await (const point of untilEqual(plan, sides, { ids: taken, partition, readings, signal })) {
      if (point.differences.length > 0) differing++;
      yield point;
    }
  }
  for await (const point of compared) {
    if (point.differences.length === 0) {
      yield point;
      continue;
    }
    if (ids.length >= REQUEST_POINTS || point.partition !== partition) yield* again();
    ({ partition } = point);
    ids.push(point.id);
  }
  yield* again();
}

async function* untilEqual(
  plan: MigrationPlan,
  sides: Sides,
  { ids, partition, readings, signal }: Again,
): AsyncGenerator<ComparedPoint> {
  const { vectorName } = plan;
  let left = ids;
  let pauseMs = FIRST_PAUSE_MS;
  async function* read(store: CopyTarget, collection: string): AsyncGenerator<PointBatch> {
    yield await store.retrieve(collection, left, { vectorName, partition });
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
      else yield { ...point, partition };
    }
    left = differing;
  }
}
