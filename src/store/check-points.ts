import { TldrError } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import { firstNonFiniteRow, firstTooLargeRow, TOO_LARGE_TO_LEARN } from '../core/matrix.js';
import type { PointSample } from './points.js';
import type { StoreKeys } from './vector-source.js';

/** Collection, vector and distance of points that were read, for messages. */
export interface PointsPlace {
  readonly collection: string;
  readonly vectorName: string;
  readonly distance: Distance;
  readonly keys: Pick<StoreKeys, 'format'>;
}

/** Returns the INVALID_DATA error that names the point and tells the user to repair or delete it. */
function faultyPoint(
  { ids }: Pick<PointSample, 'ids'>,
  at: number,
  { collection, vectorName, keys, fault }: Omit<PointsPlace, 'distance'> & { readonly fault: string },
): TldrError {
  const id = ids[at];
  if (id === undefined) {
    throw new TldrError('INTERNAL', `row ${at} of ${ids.length} points of ${collection} has no id`);
  }
  const point = `point ${keys.format(id)} of ${collection}`;
  return new TldrError('INVALID_DATA', `${point} ${fault} "${vectorName}": repair or delete it`);
}

/**
 * Checks points that training or a search will use.
 * @throws INVALID_DATA when a vector holds NaN or infinity or, unless the distance is cosine, a value too
 * large for training; names the first such point
 */
export function checkPoints(sample: PointSample, place: PointsPlace): void {
  const bad = firstNonFiniteRow(sample.vectors);
  if (bad >= 0) throw faultyPoint(sample, bad, { ...place, fault: 'holds NaN or infinity in' });
  const large = place.distance === 'cosine' ? -1 : firstTooLargeRow(sample.vectors);
  if (large >= 0) throw faultyPoint(sample, large, { ...place, fault: `${TOO_LARGE_TO_LEARN}, in` });
}
