import { answeredList, answeredNumber, num, valueAt, type Json } from '../transport/json.js';
import { limitsOf, type CollectionRef } from './read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { pathOf, shardKeyJson } from './ids-over-rest.js';
import { StrictRefusal } from '../transport/strict-mode-refusal.js';

const PAGE_POINTS = 10_000;

/**
 * Returns the exact number of points. If strict mode allows no exact count, the ids are read page by page.
 */
export async function countPoints(rest: Rest, place: CollectionRef): Promise<number> {
  const { collection, partition } = place;
  const shard = partition === undefined ? {} : { shard_key: shardKeyJson(partition) };
  try {
    const result = await limitsOf(place).keeping(() =>
      rest.call('POST', `${pathOf(collection)}/points/count`, { exact: true, ...shard }),
    );
    return answeredNumber({ json: result, of: `the number of points of ${collection}` }, 'count');
  } catch (error) {
    if (!(error instanceof StrictRefusal)) throw error;
  }
  let total = 0;
  let offset: Json = null;
  do {
    const page: Json = await limitsOf(place).keeping(({ queryPoints }) => {
      const limit = num(Math.min(PAGE_POINTS, queryPoints));
      const body = { limit, offset, with_payload: false, with_vector: false, ...shard };
      return rest.call('POST', `${pathOf(collection)}/points/scroll`, body);
    });
    total += answeredList({ json: page, of: `points of ${collection}` }, 'points').length;
    offset = valueAt(page, 'next_page_offset') ?? null;
  } while (offset !== null);
  return total;
}
