import type { PointCodec } from '../../store/copy-target.js';
import type { PointBatch } from '../../store/points.js';

/**
 * Returns the points without the vector that a migration does not copy. If the source is itself a two-stage
 * target, its hidden vector belongs to the encoder of the earlier migration.
 * @param name the vector; null if every vector is copied
 */
export function withoutVector(batch: PointBatch, name: string | null, codec: PointCodec): PointBatch {
  if (name === null) return batch;
  return { ...batch, extra: batch.extra.map((extra) => codec.withoutVector(extra, name)) };
}

/** Yields the batches of points without that vector, as `withoutVector` does. */
export async function* eachWithoutVector(
  batches: AsyncIterable<PointBatch>,
  name: string | null,
  codec: PointCodec,
): AsyncGenerator<PointBatch> {
  for await (const batch of batches) yield withoutVector(batch, name, codec);
}
