import { REQUEST_POINTS } from '../../../src/store/defaults.js';
import type { PointId } from '../../../src/core/point-id.js';
import { comparePointIds } from './point-id.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import { ReusedRowMemory } from '../../../src/core/reused-row-memory.js';
import { throwIfAborted } from '../../../src/core/run-options.js';
import type { Partition } from '../../../src/store/collection.js';
import type { PointBatch, ScanOptions, WriteBatch } from '../../../src/store/points.js';
import { AnswerTooLarge, type CallOptions, type Grpc } from '../transport/grpc.js';
import { BatchBuilder, foundPoint, toBatch, type FoundPoint } from './decode-points.js';
import { PointStructs } from './encode-points.js';
import { KnownLimits, type StrictLimits } from '../transport/strict-mode-limits.js';
import {
  answerReader,
  decodePointId,
  encodePointId,
  encodeShardKey,
  fieldBytes,
  selector,
} from '../transport/wire.js';
import { eachPart } from './write-in-halves.js';

/** Points of a page if a rate limit counts pages: then only the bytes of a page limit it. */
export const COUNTED_BATCH_POINTS = 4096;
/** The first page of a scan is small, to learn the size of points. */
const FIRST_PAGE_POINTS = 32;
const COUNTED_FIRST_PAGE_POINTS = 256;
/** Largest growth from one page to the next, since later points may be larger than earlier ones. */
const GROWTH = 2;
const COUNTED_GROWTH = 4;
/**
 * Intended bytes of a page, and most bytes: a page that exceeds these is requested again with fewer points.
 */
const PAGE_BYTES = 16 * 1024 ** 2;
const PAGE_BYTES_MAX = 2 * PAGE_BYTES;
const WRITE_BYTES_MAX = 24 * 1024 ** 2;
export const RETRIEVE_POINTS = 256;
const DELETE_POINTS = 10_000;

export interface CollectionRef {
  readonly collection: string;
  readonly partition?: Partition | undefined;
  readonly limits?: KnownLimits;
}

export interface VectorPlace extends CollectionRef {
  readonly vectorName: string;
  readonly dim: number;
}

interface Page {
  readonly batch: PointBatch;
  readonly next: PointId | undefined;
}

/** Yields batches in id order. The next page is fetched while the caller works on the current one. */
export async function* scanPoints(
  grpc: Grpc,
  place: VectorPlace,
  options: ScanOptions,
): AsyncGenerator<PointBatch> {
  const { range, signal, rowMemory } = options;
  const limits = limitsOf(place);
  const counted = (): boolean => limits.now.readTokens !== Infinity;
  const asked = (): number => options.batchSize ?? (counted() ? COUNTED_BATCH_POINTS : REQUEST_POINTS);
  const pageMax = (): number => Math.max(1, Math.floor(Math.min(asked(), limits.now.queryPoints)));
  const to = range?.to ?? null;
  let limit = Math.min(pageMax(), counted() ? COUNTED_FIRST_PAGE_POINTS : FIRST_PAGE_POINTS);
  let pending = fetchAhead(grpc, place, { from: range?.from ?? null, limit, signal, rowMemory });
  for (;;) {
    const { batch, next } = await pending;
    throwIfAborted(signal);
    const bytesPerPoint = Math.max(1, batch.sizeBytes / Math.max(1, batch.ids.length));
    const room = Math.floor(PAGE_BYTES / bytesPerPoint);
    const growth = counted() ? COUNTED_GROWTH : GROWTH;
    limit = Math.max(1, Math.min(pageMax(), growth * batch.ids.length, room));
    const past = to === null ? -1 : batch.ids.findIndex((id) => comparePointIds(id, to) >= 0);
    const last = past >= 0 || next === undefined;
    if (!last) pending = fetchAhead(grpc, place, { from: next, limit, signal, rowMemory });
    const kept = past < 0 ? batch : firstPoints(batch, past);
    if (kept.ids.length > 0) yield kept;
    if (last) return;
  }
}

/** Returns the limits of strict mode for a collection. */
export function limitsOf({ limits = KnownLimits.none }: CollectionRef): KnownLimits {
  return limits;
}

interface PageRequest {
  readonly from: PointId | null;
  readonly limit: number;
  readonly signal: AbortSignal | undefined;
  readonly rowMemory: ReusedRowMemory | undefined;
}

/**
 * Starts fetching a page. The fetch may fail while the caller still works on the previous page, or the caller
 * may never await it. Until then, the failure must not count as unhandled, which would end the process.
 */
function fetchAhead(grpc: Grpc, place: VectorPlace, page: PageRequest): Promise<Page> {
  const pending = scrollPage(grpc, place, page);
  pending.catch(() => undefined);
  return pending;
}

function firstPoints(batch: PointBatch, count: number): PointBatch {
  const { vectors } = batch;
  return {
    ids: batch.ids.slice(0, count),
    vectors: { ...vectors, rows: count, data: vectors.data.subarray(0, count * vectors.cols) },
    hasVector: batch.hasVector.subarray(0, count),
    extra: batch.extra.slice(0, count),
    sizeBytes: batch.sizeBytes,
  };
}

/** Requests fewer and fewer points until the answer fits the size limit. A single point has no limit. */
async function bounded(
  count: number,
  ask: (count: number, options: Pick<CallOptions, 'answerBytesMax'>) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  for (let limit = count; ; limit = Math.ceil(limit / 2)) {
    if (limit <= 1) return ask(1, {});
    try {
      return await ask(limit, { answerBytesMax: PAGE_BYTES_MAX });
    } catch (error) {
      if (!(error instanceof AnswerTooLarge)) throw error;
    }
  }
}

/**
 * Returns a page. ScrollPoints: collection 1, offset 3, limit 4, with_payload 6, with_vectors 7,
 * shard_key_selector 9.
 */
async function scrollPage(grpc: Grpc, place: VectorPlace, page: PageRequest): Promise<Page> {
  const ask = (limit: number, options: CallOptions): Promise<Uint8Array> => {
    const request = new ProtoWriter().string(1, place.collection);
    if (page.from !== null) request.message(3, encodePointId(page.from));
    request.varint(4, limit).message(6, selector(true)).message(7, selector(true));
    if (place.partition !== undefined) request.message(9, encodeShardKey(place.partition));
    return grpc.call('Points/Scroll', request.finish(), { ...options, signal: page.signal });
  };
  const answer = await limitsOf(place).keeping(({ queryPoints }) =>
    bounded(Math.min(page.limit, queryPoints), ask),
  );
  // ScrollResponse: next_page_offset 1, result 2.
  const { rowMemory = new ReusedRowMemory() } = page;
  const sizeBytes = answer.length;
  const points = new BatchBuilder(place.vectorName, {
    vectors: rowMemory.take(page.limit, place.dim),
    sizeBytes,
  });
  let next: PointId | undefined;
  const reader = answerReader(answer);
  while (reader.next()) {
    if (reader.field === 1) next = decodePointId(reader.message());
    else if (reader.field === 2) points.add(reader.message());
    else reader.skip();
  }
  grpc.memory.give(answer);
  return { batch: points.finish(), next };
}

export async function retrievePoints(
  grpc: Grpc,
  place: VectorPlace,
  wanted: { ids: readonly PointId[]; withPayload: boolean; signal?: AbortSignal | undefined },
): Promise<PointBatch> {
  const points: FoundPoint[] = [];
  let sizeBytes = 0;
  for (let start = 0, taken = 0; start < wanted.ids.length; start += taken) {
    const { answer, result } = await limitsOf(place).keeping(async ({ reads }) => {
      const way = reads.byCondition ? BY_CONDITION : BY_IDS;
      const most = Math.min(RETRIEVE_POINTS, reads.ids, wanted.ids.length - start);
      const found = await bounded(most, (count, options) => {
        taken = count;
        const request = way.message(place, wanted.ids.slice(start, start + count), wanted.withPayload);
        return grpc.call(way.method, request.finish(), { ...options, signal: wanted.signal });
      });
      return { answer: found, result: way.result };
    });
    sizeBytes += answer.length;
    const reader = answerReader(answer);
    while (reader.next()) {
      if (reader.field === result) points.push(foundPoint(reader.bytes()));
      else reader.skip();
    }
  }
  points.sort((a, b) => comparePointIds(a.id, b.id));
  return toBatch(points, place, sizeBytes);
}

/** A way to read points by id: the call, its request, and the field of a point in the answer. */
interface WayById {
  readonly method: string;
  readonly result: number;
  readonly message: (place: CollectionRef, ids: readonly PointId[], withPayload: boolean) => ProtoWriter;
}

/** GetPoints: collection 1, ids 2, with_payload 4, with_vectors 5, shard_key_selector 7; answer: result 1. */
const BY_IDS: WayById = {
  method: 'Points/Get',
  result: 1,
  message: (place, ids, withPayload) => {
    const request = new ProtoWriter().string(1, place.collection);
    for (const id of ids) request.message(2, encodePointId(id));
    request.message(4, selector(withPayload)).message(5, selector(true));
    if (place.partition !== undefined) request.message(7, encodeShardKey(place.partition));
    return request;
  },
};

/** ScrollPoints as above, filter 2 of must 2: has_id 3 with ids 1; answer: result 2. */
const BY_CONDITION: WayById = {
  method: 'Points/Scroll',
  result: 2,
  message: (place, ids, withPayload) => {
    const list = new ProtoWriter();
    for (const id of ids) list.message(1, encodePointId(id));
    const hasId = new ProtoWriter().message(3, list);
    const request = new ProtoWriter()
      .string(1, place.collection)
      .message(2, new ProtoWriter().message(2, hasId))
      .varint(4, ids.length)
      .message(6, selector(withPayload))
      .message(7, selector(true));
    if (place.partition !== undefined) request.message(9, encodeShardKey(place.partition));
    return request;
  },
};

/**
 * Writes points. UpsertPoints: collection 1, wait 2, points 3, shard_key_selector 5.
 */
export async function upsertPoints(
  grpc: Grpc,
  place: CollectionRef,
  { batch, pointsMax }: { batch: WriteBatch; pointsMax: StrictLimits['upsertPoints'] },
): Promise<void> {
  const head = new ProtoWriter().string(1, place.collection).varint(2, 1);
  if (place.partition !== undefined) head.message(5, encodeShardKey(place.partition));
  const points = new PointStructs(batch);
  let message = new ProtoWriter(grpc.memory.take(Math.min(WRITE_BYTES_MAX, head.length + points.sizeBytes)));
  const send = async (from: number, to: number): Promise<void> => {
    message.clear().raw(head.finish());
    for (let i = from; i < to; i++) points.point(i).write(message, 3);
    try {
      await grpc.call('Points/Upsert', message.finish());
    } catch (error) {
      // The connection may still hold the message.
      message = new ProtoWriter(head.length);
      throw error;
    }
  };
  const sendAll = async (from: number, to: number): Promise<void> => {
    const ids = batch.ids.slice(from, to);
    await eachPart({ ids, collection: place.collection }, (first, end) => send(from + first, from + end));
  };
  let [from, sizeBytes] = [0, head.length];
  for (let i = 0; i < batch.ids.length; i++) {
    const pointBytes = points.point(i).sizeBytes;
    if (i > from && (i - from >= pointsMax || sizeBytes + pointBytes > WRITE_BYTES_MAX)) {
      await sendAll(from, i);
      [from, sizeBytes] = [i, head.length];
    }
    sizeBytes += fieldBytes(pointBytes);
  }
  if (batch.ids.length > from) await sendAll(from, batch.ids.length);
  grpc.memory.give(message.finish());
}

/**
 * Adds entries to a point's payload. SetPayloadPoints: collection 1, wait 2, payload 3 (entries),
 * points_selector 5 (points 1: ids 1), shard_key_selector 7.
 */
export async function setPayload(
  grpc: Grpc,
  place: CollectionRef,
  { id, entries }: { readonly id: PointId; readonly entries: readonly Uint8Array[] },
): Promise<void> {
  const request = new ProtoWriter().string(1, place.collection).varint(2, 1);
  for (const entry of entries) request.bytes(3, entry);
  request.message(5, new ProtoWriter().message(1, new ProtoWriter().message(1, encodePointId(id))));
  if (place.partition !== undefined) request.message(7, encodeShardKey(place.partition));
  await grpc.call('Points/SetPayload', request.finish());
}

/** PointsSelector: points 1 (PointsIdsList: ids 1). */
export function idSelector(ids: readonly PointId[]): ProtoWriter {
  const list = new ProtoWriter();
  for (const id of ids) list.message(1, encodePointId(id));
  return new ProtoWriter().message(1, list);
}

/** Calls `send` with ids in parts of which one request may delete as many. */
export async function eachDeletable(
  place: CollectionRef,
  ids: readonly PointId[],
  send: (some: readonly PointId[]) => Promise<unknown>,
): Promise<void> {
  for (let start = 0, taken = 0; start < ids.length; start += taken) {
    taken = Math.min(DELETE_POINTS, limitsOf(place).now.deletePoints);
    await send(ids.slice(start, start + taken));
  }
}

/** Deletes points. DeletePoints: collection 1, wait 2, points 3, shard_key_selector 5. */
export async function deletePoints(grpc: Grpc, place: CollectionRef, ids: readonly PointId[]): Promise<void> {
  await eachDeletable(place, ids, (some) => {
    const request = new ProtoWriter().string(1, place.collection).varint(2, 1).message(3, idSelector(some));
    if (place.partition !== undefined) request.message(5, encodeShardKey(place.partition));
    return grpc.call('Points/Delete', request.finish());
  });
}
