import { isLosslessNumber } from 'lossless-json';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import { gatherRows } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { formatPointId } from './point-id.js';
import type { PointBatch, WriteBatch } from '../../../src/store/points.js';
import {
  answeredList,
  isObject,
  num,
  parseJson,
  stringifyJson,
  valueAt,
  type Json,
} from '../transport/json.js';
import {
  exactPayload,
  hasInexactPayload,
  partedPayload,
  payloadJson,
  withExactPayload,
  withPayloadEntries,
} from './payload-and-other-vectors.js';
import { PAYLOAD_DEPTH_MAX } from './payload-depth.js';
import { pointJson } from './point-json.js';
import type { Grpc } from '../transport/grpc.js';
import { limitsOf, setPayload, type CollectionRef } from './read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { idJson, idOf, pathOf, shardKeyJson } from './ids-over-rest.js';
import { textReadAs } from '../transport/server-rounding.js';
import type { IdReads, StrictLimits } from '../transport/strict-mode-limits.js';
import { eachPart } from './write-in-halves.js';

/** Most bytes of JSON text in one request, unless a single point is larger. */
const WRITE_BYTES = 8 * 1024 ** 2;
const READ_POINTS = 256;
/** Deepest nesting that the server takes in the payload of a point. */
const POINT_DEPTH_MAX = 124;

/**
 * Returns the batch with the JSON text of each payload that gRPC cannot carry. Those payloads are read again over REST.
 * If a point was deleted in the meantime, its payload stays as gRPC gave it.
 */
export async function readExactPayloads(
  rest: Rest,
  place: CollectionRef,
  batch: PointBatch,
): Promise<PointBatch> {
  const inexact = batch.ids.filter((_, i) => hasInexactPayload(batch.extra[i]!));
  if (inexact.length === 0) return batch;
  const texts = new Map<string, string>();
  for (let start = 0, taken = 0; start < inexact.length; start += taken) {
    const found = await limitsOf(place).keeping(({ reads }) => {
      taken = Math.min(READ_POINTS, reads.ids);
      return payloadsOf(rest, place, { ids: inexact.slice(start, start + taken), reads });
    });
    for (const point of found) {
      const payload = valueAt(point, 'payload');
      const id = stringifyJson(idJson(idOf(valueAt(point, 'id'))));
      if (isObject(payload)) texts.set(id, stringifyJson(payload));
    }
  }
  const asked = new Set(inexact);
  const exact = batch.extra.map((bytes, i) => {
    const id = batch.ids[i]!;
    if (!asked.has(id)) return bytes;
    return withExactPayload(bytes, texts.get(stringifyJson(idJson(id))) ?? payloadJson(bytes));
  });
  return { ...batch, extra: exact };
}

async function payloadsOf(
  rest: Rest,
  place: CollectionRef,
  { ids, reads }: { readonly ids: readonly PointId[]; readonly reads: IdReads },
): Promise<Json[]> {
  const path = `${pathOf(place.collection)}/points`;
  const shared = { with_payload: true, with_vector: false, ...shardOf(place) };
  const wanted = ids.map(idJson);
  const of = `points of ${place.collection}`;
  if (!reads.byCondition) {
    const result = await rest.call('POST', path, { ids: wanted, ...shared });
    return answeredList({ json: { result }, of }, 'result');
  }
  const filter = { must: [{ has_id: wanted }] };
  const limit = num(ids.length);
  const json = await rest.call('POST', `${path}/scroll`, { filter, limit, ...shared });
  return answeredList({ json, of }, 'points');
}

/**
 * Returns the points of a batch that gRPC can carry, and the rows of those that have to be written over REST.
 * A payload that is kept as JSON only for its doubles goes over gRPC, with doubles that the server will read
 * as the original ones.
 */
export function byTransport(batch: WriteBatch): { readonly grpc: WriteBatch; readonly restAt: number[] } {
  const restAt: number[] = [];
  const extra = batch.extra.map((bytes, i) => {
    const json = exactPayload(bytes);
    if (json === null) return bytes;
    const carried = withPayloadEntries(bytes, json);
    if (carried === null) restAt.push(i);
    return carried ?? bytes;
  });
  const grpc: WriteBatch = { ...batch, extra };
  if (restAt.length === 0) return { grpc, restAt };
  const overRest = new Set(restAt);
  const kept = batch.ids.flatMap((_, i) => (overRest.has(i) ? [] : [i]));
  return { grpc: pointsAt(grpc, kept), restAt };
}

function pointsAt(batch: WriteBatch, kept: readonly number[]): WriteBatch {
  return {
    ids: kept.map((i) => batch.ids[i]!),
    extra: kept.map((i) => batch.extra[i]!),
    vectors: batch.vectors.map(({ name, matrix, has }) => ({
      name,
      matrix: gatherRows(matrix, kept),
      has: Uint8Array.from(kept, (i) => has[i]!),
    })),
  };
}

/**
 * Writes the points at `restAt` over REST, each as a whole in one request, with two exceptions. If a payload is nested
 * 125 or 126 deep, it needs a request of its own, since the server takes it only without its point. If a payload holds
 * values that only REST carries beside values that only gRPC carries, the latter need one more request.
 * @throws INVALID_DATA naming a point that the server cannot take
 */
export async function writeExactPoints(
  { rest, grpc }: { readonly rest: Rest; readonly grpc: Grpc },
  place: CollectionRef,
  write: {
    readonly batch: WriteBatch;
    readonly restAt: readonly number[];
    readonly pointsMax: StrictLimits['upsertPoints'];
  },
): Promise<void> {
  const { batch, restAt, pointsMax } = write;
  let texts: string[] = [];
  let ids: PointId[] = [];
  let sizeBytes = 0;
  const flush = async (): Promise<void> => {
    if (texts.length === 0) return;
    const points = texts;
    const tail = shardText(place);
    await eachPart({ ids, collection: place.collection }, (from, to) =>
      rest.callText(
        'PUT',
        `${pathOf(place.collection)}/points?wait=true`,
        `{"points":[${points.slice(from, to).join()}]${tail}}`,
      ),
    );
    [texts, ids, sizeBytes] = [[], [], 0];
  };
  for (const i of restAt) {
    const id = expectDefined(batch.ids[i], 'the id of a point');
    const bytes = expectDefined(batch.extra[i], 'the payload of a point');
    const payload = expectDefined(exactPayload(bytes), 'the JSON text of a payload');
    const at = { ...place, id };
    const { text, depth, after } = writable(at, payload);
    if (depth > POINT_DEPTH_MAX || after.length > 0) {
      await flush();
      if (depth > POINT_DEPTH_MAX)
        await writeDeep(rest, at, { point: pointJson(batch, i, '{}'), payload: text });
      else await writePoint(rest, at, pointJson(batch, i, text));
      await writeAfter(grpc, at, after);
      continue;
    }
    const point = pointJson(batch, i, text);
    if (texts.length >= pointsMax || (texts.length > 0 && sizeBytes + point.length > WRITE_BYTES))
      await flush();
    texts.push(point);
    ids.push(id);
    sizeBytes += point.length;
  }
  await flush();
}

interface PointPlace extends CollectionRef {
  readonly id: PointId;
}

async function writePoint(rest: Rest, at: PointPlace, point: string): Promise<void> {
  const path = `${pathOf(at.collection)}/points?wait=true`;
  await eachPart({ ids: [at.id], collection: at.collection }, () =>
    rest.callText('PUT', path, `{"points":[${point}]${shardText(at)}}`),
  );
}

async function writeDeep(
  rest: Rest,
  at: PointPlace,
  { point, payload }: { readonly point: string; readonly payload: string },
): Promise<void> {
  await writePoint(rest, at, point);
  const path = `${pathOf(at.collection)}/points/payload?wait=true`;
  const points = `"points":[${stringifyJson(idJson(at.id))}]`;
  await eachPart({ ids: [at.id], collection: at.collection }, () =>
    rest.callText('PUT', path, `{"payload":${payload},${points}${shardText(at)}}`),
  );
}

/**
 * Writes the entries that only gRPC carries. They come last, since the server then stores the rest once more.
 */
async function writeAfter(grpc: Grpc, at: PointPlace, entries: readonly Uint8Array[]): Promise<void> {
  if (entries.length === 0) return;
  await eachPart({ ids: [at.id], collection: at.collection }, () =>
    setPayload(grpc, at, { id: at.id, entries }),
  );
}

interface Writable {
  readonly text: string;
  readonly depth: number;
  /** Entries of the payload that are written over gRPC after the text. */
  readonly after: readonly Uint8Array[];
}

/**
 * Returns the payload in a form that reads the same once the server has stored it.
 * @throws INVALID_DATA when no transport can carry all of its values, or when it is nested too deep
 */
function writable(at: PointPlace, payload: string): Writable {
  const value = parseJson(payload);
  const whole = written(value);
  const parts = whole === null ? partedPayload(value) : { json: value, entries: [] };
  const found = whole ?? (parts === null ? null : written(parts.json));
  if (found === null || parts === null) throw mixed(at);
  if (found.depth > PAYLOAD_DEPTH_MAX) throw tooDeep(at, found.depth, PAYLOAD_DEPTH_MAX);
  return { ...found, after: parts.entries };
}

function mixed(at: PointPlace): TldrError {
  return new TldrError(
    'INVALID_DATA',
    `${pointName(at)}: its payload holds a number that only gRPC carries exactly, and a value that only REST carries: change one of them or delete the point`,
  );
}

function tooDeep(at: PointPlace, depth: number, max: number): TldrError {
  return new TldrError(
    'INVALID_DATA',
    `${pointName(at)}: its payload is nested ${depth} deep, and the server takes at most ${max} in a request: flatten the payload or delete the point`,
  );
}

function pointName({ id, collection }: PointPlace): string {
  return `point ${formatPointId(id)} cannot be written to ${collection}`;
}

interface Written {
  readonly text: string;
  readonly depth: number;
}

/**
 * Returns JSON text that the server reads as these doubles, and its depth; null if a double has no such text.
 */
function written(value: Json): Written | null {
  if (isLosslessNumber(value)) {
    const text = /^-?\d+$/.test(value.value) ? value.value : textReadAs(Number(value.value));
    return text === null ? null : { text, depth: 0 };
  }
  if (typeof value !== 'object' || value === null) return { text: stringifyJson(value), depth: 0 };
  const isList = Array.isArray(value);
  const texts: string[] = [];
  let depth = 0;
  for (const [key, item] of Object.entries(value)) {
    const found = written(item);
    if (found === null) return null;
    depth = Math.max(depth, found.depth);
    texts.push(isList ? found.text : `${JSON.stringify(key)}:${found.text}`);
  }
  return { text: isList ? `[${texts.join()}]` : `{${texts.join()}}`, depth: depth + 1 };
}

function shardOf({ partition }: CollectionRef): { shard_key?: Json } {
  return partition === undefined ? {} : { shard_key: shardKeyJson(partition) };
}

function shardText({ partition }: CollectionRef): string {
  return partition === undefined ? '' : `,"shard_key":${stringifyJson(shardKeyJson(partition))}`;
}
