import { isTldrError, TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import type { PointCondition } from '../../../src/store/points.js';
import { CONDITION_FORM } from '../points/condition-form.js';
import type { Grpc } from '../transport/grpc.js';
import { num, parseJson, textAt, valueAt, type Json, type JsonObject } from '../transport/json.js';
import { limitsOf, type CollectionRef } from '../points/read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { idOf, idsIn, pathOf } from '../points/ids-over-rest.js';
import { StrictRefusal } from '../transport/strict-mode-refusal.js';
import { answerReader, decodePointId, encodePointId, retrievedId, selector } from '../transport/wire.js';

const PAGE_POINTS = 4096;
/** The server's answer to a write to all shards if the collection has no shard. */
const NO_SHARD = 'Shard key not specified';
/** A payload field without an index. */
const NO_FIELD = 'qdrant-tldr-no-such-field';
/** States of a write that is logged: Acknowledged and WaitTimeout. */
const NOT_APPLIED = ['acknowledged', 'wait_timeout'];
const NOT_APPLIED_NUMBERS = [1n, 4n];
/** A filter that selects every point. */
const EVERYTHING: JsonObject = {};

interface IdPage {
  readonly ids: PointId[];
  readonly next: PointId | null;
}

/**
 * Yields the ids of the points that a filter selects, in pages. The filter is JSON text or a Filter message.
 * If strict mode allows updates by the filter but no reads by it, the ids of all points are given.
 * @throws INVALID_ARGUMENT for a filter that the server does not take
 */
export async function* matchingIds(
  { rest, grpc }: { readonly rest: Rest; readonly grpc: Grpc },
  place: CollectionRef,
  { form, bytes }: PointCondition,
): AsyncGenerator<readonly PointId[]> {
  let filter = form === CONDITION_FORM.json ? jsonOf(bytes) : null;
  let from: PointId | null = null;
  do {
    const { ids, next }: IdPage = await limitsOf(place).keeping(async ({ queryPoints, settings }) => {
      const limit = Math.min(PAGE_POINTS, queryPoints);
      try {
        return await (filter === null
          ? grpcPage(grpc, place, { filter: bytes, limit, from })
          : restPage(rest, place, { filter, limit, from }));
      } catch (error) {
        const unread = error instanceof StrictRefusal && error.limit === 'unindexed_filtering_retrieve';
        if (!unread || settings['unindexed_filtering_update'] === false) throw error;
        filter = EVERYTHING;
        return restPage(rest, place, { filter, limit, from });
      }
    });
    if (ids.length > 0) yield ids;
    from = next;
  } while (from !== null);
}

function jsonOf(bytes: Uint8Array): Json {
  const text = Buffer.from(bytes).toString('utf8');
  try {
    return parseJson(text);
  } catch (cause) {
    throw new TldrError('INVALID_ARGUMENT', 'the filter is not valid JSON', { cause });
  }
}

interface PageRequest<Filter> {
  readonly filter: Filter;
  readonly limit: number;
  readonly from: PointId | null;
}

async function restPage(rest: Rest, { collection }: CollectionRef, page: PageRequest<Json>): Promise<IdPage> {
  const { filter, limit, from } = page;
  const body: JsonObject = { filter, limit: num(limit), with_payload: false, with_vector: false };
  if (from !== null) body['offset'] = typeof from === 'bigint' ? num(from) : from;
  const result = await rest.call('POST', `${pathOf(collection)}/points/scroll`, body);
  const next = valueAt(result, 'next_page_offset') ?? null;
  return {
    ids: idsIn({ json: result, of: `points of ${collection}` }),
    next: next === null ? null : idOf(next),
  };
}

/** ScrollPoints: filter 2, offset 3, limit 4, with_payload 6, with_vectors 7; answer: next_page_offset 1, result 2. */
async function grpcPage(
  grpc: Grpc,
  { collection }: CollectionRef,
  page: PageRequest<Uint8Array>,
): Promise<IdPage> {
  const request = new ProtoWriter().string(1, collection).bytes(2, page.filter);
  if (page.from !== null) request.message(3, encodePointId(page.from));
  request.varint(4, page.limit).message(6, selector(false)).message(7, selector(false));
  const reader = answerReader(await grpc.call('Points/Scroll', request.finish()));
  const ids: PointId[] = [];
  let next: PointId | null = null;
  while (reader.next()) {
    if (reader.field === 1) next = decodePointId(reader.message());
    else if (reader.field === 2) ids.push(retrievedId(reader.bytes()));
    else reader.skip();
  }
  return { ids, next };
}

/**
 * Waits until all earlier writes to a collection are applied. Each shard applies its writes in order. So an
 * empty deletion (points 3: filter 2 of must 2: has_id 3 without ids) is sent to all shards: once it is
 * applied, so are all writes before it. If strict mode allows no condition, the deletion of a missing payload
 * index does the same. A collection without shards, such as a new one with custom sharding, has nothing to
 * wait for.
 * @throws UNAVAILABLE when a server from 1.17 on stops waiting before the deletion is applied
 */
export async function waitForApplied(
  { rest, grpc }: { readonly rest: Rest; readonly grpc: Grpc },
  { collection }: CollectionRef,
): Promise<void> {
  const hasNoId = new ProtoWriter(8).message(3, new ProtoWriter(8));
  const nothing = new ProtoWriter(16).message(2, new ProtoWriter(8).message(2, hasNoId));
  const request = new ProtoWriter().string(1, collection).varint(2, 1).message(3, nothing).finish();
  try {
    if (!isApplied(await grpc.call('Points/Delete', request))) throw notApplied(collection);
  } catch (error) {
    if (error instanceof StrictRefusal) {
      const answer = await rest.call('DELETE', `${pathOf(collection)}/index/${NO_FIELD}?wait=true`);
      if (NOT_APPLIED.includes(textAt(answer, 'status') ?? '')) throw notApplied(collection);
    } else if (!isTldrError(error, 'INVALID_ARGUMENT') || !error.message.endsWith(NO_SHARD)) throw error;
  }
}

function notApplied(collection: string): TldrError {
  return new TldrError('UNAVAILABLE', `${collection}: the server has not applied all earlier writes yet`);
}

/** Returns whether a PointsOperationResponse (result 1: UpdateResult, status 2) says that the write was applied. */
export function isApplied(answer: Uint8Array): boolean {
  const reader = answerReader(answer);
  while (reader.next()) {
    if (reader.field !== 1) {
      reader.skip();
      continue;
    }
    const result = reader.message();
    while (result.next())
      if (result.field !== 2) result.skip();
      else if (NOT_APPLIED_NUMBERS.includes(result.uint64())) return false;
  }
  return true;
}
