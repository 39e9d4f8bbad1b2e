import type { PointId } from '../../../src/core/point-id.js';
import { comparePointIds } from '../points/point-id.js';
import { throwIfAborted } from '../../../src/core/run-options.js';
import type { VersionBatch } from '../../../src/store/points.js';
import {
  answeredList,
  answeredNumber,
  listAt,
  num,
  valueAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';
import { limitsOf, type CollectionRef } from '../points/read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { idJson, idOf, idsIn, pathOf, shardKeyJson } from '../points/ids-over-rest.js';

const PAGE_POINTS = 5_000;

/**
 * Returns whether versions are comparable between reads. A version is the number of an operation, and each
 * replica of a shard counts its own operations.
 */
export async function hasOneReplica(rest: Rest, collection: string): Promise<boolean> {
  const json = await rest.call('GET', `${pathOf(collection)}/cluster`);
  const of = `the shards of ${collection}`;
  const shards = answeredList({ json, of }, 'local_shards');
  const ids = shards.map((shard) => answeredNumber({ json: shard, of }, 'shard_id'));
  const elsewhere = answeredList({ json, of }, 'remote_shards').length;
  // Servers that cannot reshard do not list it.
  const moving =
    answeredList({ json, of }, 'shard_transfers').length + listAt(json, 'resharding_operations').length;
  return elsewhere === 0 && new Set(ids).size === ids.length && moving === 0;
}

/** Yields every point's version, by a query whose formula has the same value for all points. */
export async function* readVersions(
  rest: Rest,
  place: CollectionRef,
  signal: AbortSignal | undefined,
): AsyncGenerator<VersionBatch> {
  const { collection, partition } = place;
  const path = pathOf(collection);
  const shard: JsonObject = partition === undefined ? {} : { shard_key: shardKeyJson(partition) };
  let next: Json | undefined;
  do {
    throwIfAborted(signal);
    const offset: JsonObject = next === undefined ? {} : { offset: next };
    const bare = { with_payload: false, with_vector: false };
    const page = await limitsOf(place).keeping(({ queryPoints, reads }) => {
      const limit = num(Math.max(1, Math.min(PAGE_POINTS, queryPoints, reads.conditionIds)));
      return rest.call('POST', `${path}/points/scroll`, { limit, ...bare, ...offset, ...shard });
    });
    const all = idsIn({ json: page, of: `points of ${collection}` });
    for (let start = 0, taken = 0; start < all.length; start += taken) {
      yield await limitsOf(place).keeping(({ queryPoints, reads }) => {
        taken = Math.max(1, Math.min(PAGE_POINTS, queryPoints, reads.conditionIds));
        return versionsOf(rest, { collection, shard }, all.slice(start, start + taken));
      });
    }
    next = valueAt(page, 'next_page_offset') ?? undefined;
  } while (next !== undefined);
}

async function versionsOf(
  rest: Rest,
  { collection, shard }: { readonly collection: string; readonly shard: JsonObject },
  ids: readonly PointId[],
): Promise<VersionBatch> {
  const limit = num(ids.length);
  const json = await rest.call('POST', `${pathOf(collection)}/points/query`, {
    prefetch: { filter: { must: [{ has_id: ids.map(idJson) }] }, limit },
    query: { formula: { sum: [num(1)] } },
    limit,
    with_payload: false,
    ...shard,
  });
  const of = `the versions of points of ${collection}`;
  const found = answeredList({ json, of }, 'points').map((point): readonly [PointId, string] => [
    idOf(valueAt(point, 'id')),
    String(answeredNumber({ json: point, of }, 'version')),
  ]);
  found.sort(([a], [b]) => comparePointIds(a, b));
  return { ids: found.map(([id]) => id), versions: found.map(([, version]) => version) };
}
