import type { Encoder } from '../core/encoder.js';
import { TldrError } from '../core/errors.js';
import { firstNonFiniteRow, type Matrix } from '../core/matrix.js';
import { formatPointId } from '../core/point-id.js';
import type { PointBatch, VectorColumn, WriteBatch } from '../core/vector-store.js';
import type { MigrationIdentity } from './migration-record.js';

/**
 * The points as the target stores them: reduced, and in the two-stage layout the full vector beside it.
 * @throws INVALID_DATA naming a point that is not finite, or whose reduced vector is not
 */
export function projectBatch(encoder: Encoder, batch: PointBatch, record: MigrationIdentity): WriteBatch {
  return toWriteBatch(encoder, batch, { reduced: encoder.project(batch.vectors), record });
}

/**
 * The same for points that are projected already.
 * @throws as `projectBatch`
 */
export function toWriteBatch(
  encoder: Encoder,
  batch: PointBatch,
  { reduced, record }: { readonly reduced: Matrix; readonly record: MigrationIdentity },
): WriteBatch {
  checkProjected(encoder, batch, { reduced, record });
  const compact: VectorColumn = { name: record.compactName, matrix: reduced, has: batch.hasVector };
  const full: VectorColumn = { name: record.vectorName, matrix: batch.vectors, has: batch.hasVector };
  return {
    ids: batch.ids,
    vectors: record.layout === 'two-stage' ? [full, compact] : [compact],
    rest: batch.rest,
  };
}

/** Looks at the reduced vectors where they tell: they are a fraction of the full ones. */
function checkProjected(
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
