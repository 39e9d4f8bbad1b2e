import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import { firstNonFiniteRow, type Matrix } from '../../core/matrix.js';
import { firstOverflow, overflowText } from '../../store/vector-number-format.js';
import type { PointBatch, VectorColumn, WriteBatch } from '../../store/points.js';
import type { StoreKeys } from '../../store/vector-source.js';
import type { MigrationIdentity } from '../state/migration-state.js';

/** Source and vector names of points, and how the target stores them. */
export interface PointPlace extends Pick<
  MigrationIdentity,
  'sourceCollection' | 'vectorName' | 'compactName' | 'layout'
> {
  /** Bytes of one stored component of the compact vector. */
  readonly componentBytes: number;
  /** The source's keys, for messages. */
  readonly keys: Pick<StoreKeys, 'format'>;
}

/**
 * Returns the points as the target stores them: compact vectors and, in the two-stage layout, also full ones.
 * @throws INVALID_DATA naming a point whose vector is not finite or cannot be stored once it is projected
 */
export function projectBatch(encoder: Encoder, batch: PointBatch, destination: PointPlace): WriteBatch {
  return toWriteBatch(encoder, batch, { reduced: encoder.project(batch.vectors), destination });
}

/**
 * Returns the same for points that are already projected.
 * @throws as `projectBatch`
 */
export function toWriteBatch(
  encoder: Encoder,
  batch: PointBatch,
  { reduced, destination }: { readonly reduced: Matrix; readonly destination: PointPlace },
): WriteBatch {
  checkFinite(encoder, batch, { reduced, destination });
  checkStorable(batch, reduced, destination);
  const compact: VectorColumn = { name: destination.compactName, matrix: reduced, has: batch.hasVector };
  const full: VectorColumn = { name: destination.vectorName, matrix: batch.vectors, has: batch.hasVector };
  return {
    ids: batch.ids,
    vectors: destination.layout === 'two-stage' ? [full, compact] : [compact],
    extra: batch.extra,
  };
}

/** Checks the compact vectors alone if they show non-finite inputs, since they are much smaller. */
function checkFinite(
  encoder: Encoder,
  batch: PointBatch,
  { reduced, destination }: { readonly reduced: Matrix; readonly destination: PointPlace },
): void {
  if (encoder.showsNonFinite && firstNonFiniteRow(reduced) < 0) return;
  const { vectorName } = destination;
  const broken = firstNonFiniteRow(batch.vectors);
  const bad = broken >= 0 ? broken : firstNonFiniteRow(reduced);
  if (bad < 0) return;
  const what =
    broken >= 0
      ? `holds NaN or infinity in "${vectorName}"`
      : `is too large in "${vectorName}" to be projected`;
  throw new TldrError('INVALID_DATA', `${nameOf(batch, bad, destination)} ${what}: repair or delete it`);
}

function checkStorable(batch: PointBatch, reduced: Matrix, destination: PointPlace): void {
  const overflow = firstOverflow(reduced, destination.componentBytes, batch.hasVector);
  if (overflow === null) return;
  const point = nameOf(batch, overflow.at, destination);
  throw new TldrError(
    'INVALID_DATA',
    `${point} ${overflowText(overflow.value)} in "${destination.compactName}": smaller values fit, or a target with the datatype float32`,
    { hint: 'migrate-as-float32' },
  );
}

function nameOf({ ids }: PointBatch, at: number, { sourceCollection, keys }: PointPlace): string {
  const id = ids[at];
  if (id === undefined) throw new TldrError('INTERNAL', `row ${at} of a batch of ${ids.length} has no id`);
  return `point ${keys.format(id)} of ${sourceCollection}`;
}
