import { isLosslessNumber } from 'lossless-json';
import { TldrError } from '../../../src/core/errors.js';
import { concatRows, gatherRows, matrix, type Matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { comparePointIds, parsePointId } from './point-id.js';
import { Rng } from '../../../src/core/rng.js';
import { throwIfAborted } from '../../../src/core/run-options.js';
import type { Partition } from '../../../src/store/collection.js';
import type { IdRange, PointSample, SampleOptions } from '../../../src/store/points.js';
import type { Grpc } from '../transport/grpc.js';
import { answeredList, num, valueAt, type Json, type JsonObject } from '../transport/json.js';
import { checkCollectionName } from '../transport/check-name.js';
import {
  COUNTED_BATCH_POINTS,
  limitsOf,
  RETRIEVE_POINTS,
  retrievePoints,
  scanPoints,
  type CollectionRef,
  type VectorPlace,
} from './read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { CONDITION_TOKENS } from '../transport/strict-mode-limits.js';

const SAMPLE_REQUEST_POINTS = 10_000;
/** After this many rounds of random ids without a new one, a sample counts as complete. */
const DRY_ROUNDS_MAX = 8;

/** Returns the REST path of a collection. @throws INVALID_ARGUMENT for a name that no address can hold */
export function pathOf(collection: string): string {
  checkCollectionName(collection);
  return `/collections/${encodeURIComponent(collection)}`;
}

export function shardKeyJson({ kind, value }: Partition): Json {
  return kind === 'keyword' ? value : num(BigInt(value));
}

/** Returns a point id as JSON that keeps all digits. */
export function idJson(id: PointId): Json {
  return typeof id === 'bigint' ? num(id) : id;
}

/** Returns a point id from JSON with all digits. */
export function idOf(value: Json | undefined): PointId {
  if (isLosslessNumber(value)) return BigInt(value.value);
  if (typeof value === 'string') return parsePointId(value);
  throw new TldrError('UNAVAILABLE', 'an answer holds a point without an id');
}

/** Returns the ids of the points in an answer. @throws UNAVAILABLE when it holds no list of points */
export function idsIn(answer: Parameters<typeof answeredList>[0]): PointId[] {
  return answeredList(answer, 'points').map((point) => idOf(valueAt(point, 'id')));
}

/** Returns up to `wanted` distinct random ids, in as many requests as the limit of points demands. */
export async function randomIds(rest: Rest, place: CollectionRef, wanted: number): Promise<PointId[]> {
  const found = new Set<PointId>();
  for (let dry = 0; found.size < wanted && dry < DRY_ROUNDS_MAX;) {
    const before = found.size;
    const ids = await someIds(rest, place, wanted);
    for (const id of ids) if (found.size < wanted) found.add(id);
    // The server returned fewer ids than requested: these were all.
    if (ids.length < requestSize(place, wanted)) break;
    dry = found.size === before ? dry + 1 : 0;
  }
  return [...found];
}

function requestSize(place: CollectionRef, wanted: number): number {
  return Math.min(wanted, limitsOf(place).now.queryPoints, SAMPLE_REQUEST_POINTS);
}

/** Returns random ids from one request. */
async function someIds(rest: Rest, place: CollectionRef, wanted: number): Promise<PointId[]> {
  const { collection, partition } = place;
  const shard = partition === undefined ? {} : { shard_key: shardKeyJson(partition) };
  const result = await limitsOf(place).keeping(() => {
    const limit = num(requestSize(place, wanted));
    const body: JsonObject = { query: { sample: 'random' }, limit, with_payload: false, ...shard };
    return rest.call('POST', `${pathOf(collection)}/points/query`, body);
  });
  return idsIn({ json: result, of: `points of ${collection}` });
}

/** Returns ranges between evenly spaced ids of a random sample. They hold about equally many points. */
export function cutRanges(sampled: readonly PointId[], parts: number): IdRange[] {
  const ids = [...new Set(sampled)].sort(comparePointIds);
  const cuts = Array.from({ length: parts - 1 }, (_, i) => ids[Math.floor(((i + 1) * ids.length) / parts)]);
  const distinct = [...new Set(cuts.filter((id) => id !== undefined))];
  return [null, ...distinct].map((from, i) => ({ from, to: distinct[i] ?? null }));
}

/** Returns vectors of random points, fetched in limited requests until there are enough. */
export async function sampleByIds(
  { rest, grpc }: { rest: Rest; grpc: Grpc },
  place: VectorPlace,
  { size, signal, onProgress }: SampleOptions,
): Promise<PointSample> {
  const chosen = new Set<PointId>();
  const taken: PointId[] = [];
  const parts: Matrix[] = [];
  for (let dry = 0; taken.length < size && dry < DRY_ROUNDS_MAX;) {
    throwIfAborted(signal);
    const fresh = (await someIds(rest, place, size - taken.length)).filter((id) => !chosen.has(id));
    for (const id of fresh) chosen.add(id);
    dry = fresh.length === 0 ? dry + 1 : 0;
    const batch = await retrievePoints(grpc, place, { ids: fresh, withPayload: false, signal });
    const kept = batch.ids.map((_, i) => i).filter((i) => batch.hasVector[i] !== 0);
    parts.push(gatherRows(batch.vectors, kept));
    taken.push(...batch.ids.filter((_, i) => batch.hasVector[i] !== 0));
    onProgress?.({ step: 'sampling', done: taken.length, total: size, unit: 'points' });
  }
  return { ids: taken, vectors: concatRows(parts, place.dim) };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/**
 * Returns whole numbers in the proportion of the weights that add up to `total` (largest remainder method).
 */
export function inProportion(total: number, weights: readonly number[]): number[] {
  const whole = sum(weights);
  const exact = weights.map((weight) => (whole === 0 ? 0 : (total * weight) / whole));
  const shares = exact.map(Math.floor);
  const order = exact
    .map((share, i) => ({ i, left: share - Math.floor(share) }))
    .sort((a, b) => b.left - a.left || a.i - b.i);
  for (const { i } of order.slice(0, total - sum(shares))) shares[i]!++;
  return shares;
}

/**
 * Returns whether a scan reads a sample faster than single points. If reads are limited, fewer requests win.
 */
export function isReadByScan(
  place: CollectionRef,
  { size, count }: { size: number; count: number },
): boolean {
  const { readTokens, reads } = limitsOf(place).now;
  if (readTokens === Infinity) return size * 2 >= count;
  const perPage = Math.min(COUNTED_BATCH_POINTS, limitsOf(place).now.queryPoints);
  const tokensPerId = reads.byCondition ? CONDITION_TOKENS / Math.min(RETRIEVE_POINTS, reads.ids) : 1;
  return Math.ceil(count / perPage) <= Math.ceil(size * tokensPerId) + Math.ceil(size / perPage);
}

/**
 * Returns a sample from a full scan (reservoir sampling, Vitter 1985, algorithm R). For half the points or
 * more.
 */
export async function sampleByScan(
  grpc: Grpc,
  place: VectorPlace,
  options: SampleOptions,
): Promise<PointSample> {
  const { size, signal, onProgress } = options;
  const { dim, vectorName } = place;
  const rng = new Rng(1);
  const ids: PointId[] = [];
  const kept = matrix(size, dim);
  let seen = 0;
  for await (const batch of scanPoints(grpc, place, { vectorName, signal })) {
    batch.ids.forEach((id, i) => {
      if (batch.hasVector[i] === 0) return;
      const slot = seen < size ? seen : rng.int(seen + 1);
      seen++;
      if (slot >= size) return;
      ids[slot] = id;
      kept.data.set(batch.vectors.data.subarray(i * dim, (i + 1) * dim), slot * dim);
    });
    onProgress?.({ step: 'sampling', done: Math.min(seen, size), total: size, unit: 'points' });
  }
  return { ids, vectors: { rows: ids.length, cols: dim, data: kept.data.subarray(0, ids.length * dim) } };
}
