import { isTldrError, messageOf, TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { formatPointId } from './point-id.js';

/**
 * Writes points `from` (included) to `to` (excluded). If the server refuses them, each half is written
 * separately.
 * @throws INVALID_DATA naming the first point that the server refuses on its own
 */
export async function eachPart(
  points: { readonly ids: readonly PointId[]; readonly collection: string },
  write: (from: number, to: number) => Promise<unknown>,
): Promise<void> {
  const { ids, collection } = points;
  const part = async (from: number, to: number): Promise<void> => {
    try {
      await write(from, to);
    } catch (error) {
      if (!isTldrError(error, 'INVALID_ARGUMENT')) throw error;
      if (to - from <= 1) throw refused(collection, ids[from], error);
      const middle = Math.ceil((from + to) / 2);
      await part(from, middle);
      await part(middle, to);
    }
  };
  await part(0, ids.length);
}

function refused(collection: string, id: PointId | undefined, cause: TldrError): TldrError {
  const name = id === undefined ? '?' : formatPointId(id);
  const message = `point ${name} cannot be written to ${collection}: ${messageOf(cause)}. Change or delete the point`;
  return new TldrError('INVALID_DATA', message, { cause });
}
