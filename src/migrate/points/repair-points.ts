import { expectDefined } from '../../core/errors.js';
import { REQUEST_POINTS } from '../../store/defaults.js';
import { matrix, row } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { componentBytesOf } from '../../store/vector-number-format.js';
import type { Partition } from '../../store/collection.js';
import type { PointBatch } from '../../store/points.js';
import { comparedPoints, type ComparePointsOptions, type PointAt, type Sides } from './compare-points.js';
import { toWriteBatch } from './project-batch.js';
import type { MigrationPlan } from '../plan/migration.js';

/** Most bytes of points held for one write. */
const WRITE_BYTES = 16 * 1024 ** 2;

interface Repair {
  readonly partition: Partition | undefined;
  readonly wrong: {
    readonly id: PointId;
    readonly has: number;
    readonly rest: Uint8Array;
    vector: Float32Array;
  }[];
  readonly extra: PointId[];
  sizeBytes: number;
}

/**
 * Makes the target equal to the source: copies points again that are missing or differ, and removes points
 * that only the target has. Compares as verification does and can be repeated, so it needs no cursor.
 * @returns the number of points written and removed
 */
export async function repairPoints(
  plan: MigrationPlan,
  sides: Sides,
  run: ComparePointsOptions & {
    /** Called for each point that differed, in order. */
    readonly differed?: ((id: PointId, partition: Partition | undefined) => void) | undefined;
  } = {},
): Promise<number> {
  const pointsMax = run.batchSize ?? REQUEST_POINTS;
  const componentBytes = componentBytesOf(plan.targetSpec, plan.compactName);
  const destination = { ...plan, componentBytes, keys: sides.source.keys };
  let repaired = 0;
  let repair = emptyRepair(undefined);
  const flush = async (): Promise<void> => {
    const { wrong, extra, partition } = repair;
    repaired += wrong.length + extra.length;
    if (wrong.length > 0) {
      const batch = batchOf(repair, plan.inputDim);
      const reduced = await (sides.projector ?? sides.encoder).project(batch.vectors);
      const ready = toWriteBatch(sides.encoder, batch, { reduced, destination });
      await sides.target.upsert(plan.targetCollection, ready, { partition });
    }
    if (extra.length > 0) await sides.target.remove(plan.targetCollection, extra, { partition });
  };
  for await (const point of comparedPoints(plan, sides, { ...run, step: 'repairing' })) {
    const full = repair.wrong.length + repair.extra.length >= pointsMax || repair.sizeBytes >= WRITE_BYTES;
    if (full || point.partition !== repair.partition) {
      await flush();
      repair = emptyRepair(point.partition);
    }
    if (point.differences.length > 0) run.differed?.(point.id, point.partition);
    if (point.source === undefined) repair.extra.push(point.id);
    else if (point.differences.length > 0) add(repair, point.id, point.source);
  }
  await flush();
  return repaired;
}

function emptyRepair(partition: Partition | undefined): Repair {
  return { partition, wrong: [], extra: [], sizeBytes: 0 };
}

/** Copies the point out of its batch; a reference would keep the whole batch in memory. */
function add(repair: Repair, id: PointId, { batch, i }: PointAt): void {
  const rest = Uint8Array.from(expectDefined(batch.extra[i], 'the payload of a point'));
  const vector = Float32Array.from(row(batch.vectors, i));
  repair.wrong.push({
    id,
    has: expectDefined(batch.hasVector[i], 'whether a point has the vector'),
    rest,
    vector,
  });
  repair.sizeBytes += rest.length + vector.byteLength;
}

function batchOf({ wrong, sizeBytes }: Repair, dim: number): PointBatch {
  const vectors = matrix(wrong.length, dim);
  wrong.forEach(({ vector }, i) => vectors.data.set(vector, i * dim));
  return {
    ids: wrong.map(({ id }) => id),
    vectors,
    hasVector: Uint8Array.from(wrong, ({ has }) => has),
    extra: wrong.map(({ rest }) => rest),
    sizeBytes,
  };
}
