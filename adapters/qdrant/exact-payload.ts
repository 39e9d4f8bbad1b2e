import type { PointId } from '../../src/core/point-id.js';
import type { PointBatch, ShardKey, WriteBatch } from '../../src/core/vector-store.js';
import { isObject, listAt, parseJson, stringifyJson, valueAt, type Json } from './json.js';
import { exactPayload, hasInexactPayload, withExactPayload } from './payload.js';
import type { Rest } from './rest.js';
import { idJson, pathOf, shardKeyJson } from './sampling.js';

/** Payload text sent in one request, unless a single payload is larger. */
const WRITE_BYTES = 8 * 1024 ** 2;

interface Place {
  readonly collection: string;
  readonly shardKey?: ShardKey | undefined;
}

/**
 * Returns the batch with the JSON text of each payload that gRPC cannot carry: gRPC has no unsigned 64-bit integers
 * and refuses deep nesting. Those payloads are read again over REST.
 */
export async function readExactPayloads(rest: Rest, place: Place, batch: PointBatch): Promise<PointBatch> {
  const inexact = batch.ids.filter((_, i) => hasInexactPayload(batch.rest[i] ?? new Uint8Array(0)));
  if (inexact.length === 0) return batch;
  const found = await rest.call('POST', `${pathOf(place.collection)}/points`, {
    ids: inexact.map(idJson),
    with_payload: true,
    with_vector: false,
    ...shardOf(place),
  });
  const texts = new Map<string, string>();
  for (const point of listAt({ found }, 'found')) {
    const payload = valueAt(point, 'payload');
    const id = valueAt(point, 'id');
    if (isObject(payload) && id !== undefined) texts.set(stringifyJson(id), stringifyJson(payload));
  }
  const exact = batch.rest.map((bytes, i) => {
    const id = batch.ids[i];
    const text = id === undefined ? undefined : texts.get(stringifyJson(idJson(id)));
    return text === undefined ? bytes : withExactPayload(bytes, text);
  });
  return { ...batch, rest: exact };
}

/** Writes the payloads that gRPC cannot carry over REST, after their points were written without them. */
export async function writeExactPayloads(rest: Rest, place: Place, batch: WriteBatch): Promise<void> {
  let operations: Json[] = [];
  let sizeBytes = 0;
  const flush = async (): Promise<void> => {
    if (operations.length > 0)
      await rest.call('POST', `${pathOf(place.collection)}/points/batch?wait=true`, { operations });
    operations = [];
    sizeBytes = 0;
  };
  for (const [i, id] of batch.ids.entries()) {
    const text = exactPayload(batch.rest[i] ?? new Uint8Array(0));
    if (text === null) continue;
    if (sizeBytes + text.length > WRITE_BYTES) await flush();
    operations.push(overwrite(place, id, text));
    sizeBytes += text.length;
  }
  await flush();
}

function overwrite(place: Place, id: PointId, text: string): Json {
  return { overwrite_payload: { payload: parseJson(text), points: [idJson(id)], ...shardOf(place) } };
}

function shardOf({ shardKey }: Place): { shard_key?: Json } {
  return shardKey === undefined ? {} : { shard_key: shardKeyJson(shardKey) };
}
