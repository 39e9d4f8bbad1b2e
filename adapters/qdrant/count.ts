import { isTldrError, messageOf, TldrError } from '../../src/core/errors.js';
import { listAt, num, numberAt, valueAt, type Json } from './json.js';
import type { Place } from './points.js';
import type { Rest } from './rest.js';
import { pathOf, shardKeyJson } from './sampling.js';
import { NO_LIMITS } from './strict-limits.js';

const PAGE_POINTS = 10_000;

/** How many points there are, exactly; read page by page where strict mode allows no exact count. */
export async function countPoints(rest: Rest, place: Place): Promise<number> {
  const { collection, shardKey } = place;
  const shard = shardKey === undefined ? {} : { shard_key: shardKeyJson(shardKey) };
  try {
    const result = await rest.call('POST', `${pathOf(collection)}/points/count`, { exact: true, ...shard });
    const count = numberAt(result, 'count');
    if (count === undefined) throw new TldrError('UNAVAILABLE', `${collection}: the answer holds no count`);
    return count;
  } catch (error) {
    // As strict mode's `search_allow_exact: false` says it.
    if (!isTldrError(error, 'INVALID_ARGUMENT') || !messageOf(error).includes('Exact search disabled'))
      throw error;
  }
  const limit = num(Math.min(PAGE_POINTS, (place.limits ?? NO_LIMITS).queryPoints));
  let total = 0;
  let offset: Json = null;
  do {
    const body = { limit, offset, with_payload: false, with_vector: false, ...shard };
    const page: Json = await rest.call('POST', `${pathOf(collection)}/points/scroll`, body);
    total += listAt(page, 'points').length;
    offset = valueAt(page, 'next_page_offset') ?? null;
  } while (offset !== null);
  return total;
}
