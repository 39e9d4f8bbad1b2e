import { expectDefined, isTldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import type { WriteBatch } from '../../../src/store/points.js';
import type { Grpc } from '../transport/grpc.js';
import { encodeShardKey } from '../transport/wire.js';
import { exactPayload, extraVectors, payloadStart } from './payload-and-other-vectors.js';
import { eachDeletable, idSelector, type CollectionRef } from './read-and-write-points.js';

/**
 * Removes from the points of a batch, which has just been written, what they have from before. The server replaces a
 * point of an indexed segment only in part: it keeps the payload if the new point has none, and each vector that the
 * new point lacks. Over gRPC, an empty payload counts as none. Points that are not there any more are passed over.
 * @param vectorNames all vectors of the collection
 */
export async function removePartsOfBefore(
  grpc: Grpc,
  place: CollectionRef,
  { batch, vectorNames }: { readonly batch: WriteBatch; readonly vectorNames: readonly string[] },
): Promise<void> {
  const withoutPayload: PointId[] = [];
  const withoutVector = new Map<string, PointId[]>(vectorNames.map((name) => [name, []]));
  batch.ids.forEach((id, i) => {
    const extra = expectDefined(batch.extra[i], 'the payload of a point');
    if (payloadStart(extra) === extra.length || exactPayload(extra) === '{}') withoutPayload.push(id);
    for (const name of absentVectors(batch, i, vectorNames)) withoutVector.get(name)?.push(id);
  });
  const clear = (ids: readonly PointId[]): Promise<unknown> =>
    grpc.call('Points/ClearPayload', clearPayloadRequest(place, ids).finish());
  await eachDeletable(place, withoutPayload, (some) => passingOver(some, clear));
  for (const [name, all] of withoutVector) {
    const remove = (ids: readonly PointId[]): Promise<unknown> =>
      grpc.call('Points/DeleteVectors', deleteVectorsRequest(place, ids, name).finish());
    await eachDeletable(place, all, (some) => passingOver(some, remove));
  }
}

function absentVectors(batch: WriteBatch, i: number, vectorNames: readonly string[]): string[] {
  const columns = batch.vectors.filter(({ has }) => has[i] !== 0);
  const missing = vectorNames.filter((name) => !columns.some((column) => column.name === name));
  if (missing.length === 0) return missing;
  const others = extraVectors(expectDefined(batch.extra[i], 'the other vectors of a point'));
  return missing.filter((name) => !others.some((other) => other.name === name));
}

/** The server refuses a request with a point that is not there, after it has done a part of it. */
async function passingOver(
  ids: readonly PointId[],
  send: (ids: readonly PointId[]) => Promise<unknown>,
): Promise<void> {
  try {
    await send(ids);
  } catch (error) {
    if (!isTldrError(error, 'NOT_FOUND')) throw error;
    if (ids.length === 1) return;
    const middle = Math.ceil(ids.length / 2);
    await passingOver(ids.slice(0, middle), send);
    await passingOver(ids.slice(middle), send);
  }
}

/** ClearPayloadPoints: collection 1, wait 2, points 3, shard_key_selector 5. */
function clearPayloadRequest(place: CollectionRef, ids: readonly PointId[]): ProtoWriter {
  const request = new ProtoWriter().string(1, place.collection).varint(2, 1).message(3, idSelector(ids));
  return place.partition === undefined ? request : request.message(5, encodeShardKey(place.partition));
}

/**
 * DeletePointVectors: collection 1, wait 2, points_selector 3, vectors 4 (names 1), shard_key_selector 6.
 */
function deleteVectorsRequest(
  place: CollectionRef,
  ids: readonly PointId[],
  vectorName: string,
): ProtoWriter {
  const names = new ProtoWriter().string(1, vectorName);
  const request = new ProtoWriter()
    .string(1, place.collection)
    .varint(2, 1)
    .message(3, idSelector(ids))
    .message(4, names);
  return place.partition === undefined ? request : request.message(6, encodeShardKey(place.partition));
}
