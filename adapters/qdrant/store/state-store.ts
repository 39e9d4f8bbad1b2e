import { createHash } from 'node:crypto';
import { isTldrError, TldrError } from '../../../src/core/errors.js';
import type { StateStore, Fields } from '../../../src/store/state-store.js';
import { sleep } from '../../../src/core/run-options.js';
import { countPoints } from '../points/count.js';
import { isVersionAtLeast } from '../transport/server-version.js';
import { CallError } from '../transport/call-error.js';
import { answeredList, isObject, num, objectAt, valueAt, type JsonObject } from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import { hasRateLimits, UNLIMITED } from '../transport/strict-mode-limits.js';
import { STATE_COLLECTION } from '../transport/collection-names.js';

/** Metadata key that marks the collection as made by this file. */
const MARK = 'qdrant-tldr-state';
/** Fields in conditions. Strict mode may require an index for them. */
const INDEXED = ['holder', 'beat'];
const REPLICAS_MAX = 3;
/** The first version with `update_mode`. */
const UPDATE_MODE_SINCE = [1, 17] as const;
const PATH = pathOf(STATE_COLLECTION);
/** Longest wait while a peer of a cluster restarts. */
const OUTAGE_MS_MAX = 30_000;
const OUTAGE_POLL_MS = 500;
/** One leader orders all writes, so that a condition has the same result in every replica. */
const ORDERED = 'wait=true&ordering=strong';

/**
 * Returns a store whose entries are points of `STATE_COLLECTION`. Their payloads hold only texts, so that no
 * number in them is ever parsed. Conditions are filters of the update itself, and a shard applies updates one
 * after another.
 */
export function openStateStore({
  rest,
  version,
  endpoint,
}: {
  readonly rest: Rest;
  readonly version: string;
  readonly endpoint: string;
}): StateStore {
  const onlyNew = insertOnly(version);
  return {
    endpoint,
    label: (key) => `point ${pointIdOf(key)} of ${STATE_COLLECTION}`,
    read: (key, names) => readEntry(rest, key, names),
    create: async (key, texts) => {
      await makeCollection(rest);
      const point = { id: pointIdOf(key), vector: {}, payload: { ...texts } };
      await rest.call('PUT', `${PATH}/points?${ORDERED}`, { points: [point], ...onlyNew });
    },
    change: async (key, texts, where) => {
      const body = { payload: { ...texts }, filter: condition(key, where) };
      await unlessGone(() => rest.call('POST', `${PATH}/points/payload?${ORDERED}`, body));
    },
    remove: async (key, where) => {
      const body = { filter: condition(key, where) };
      await unlessGone(() => rest.call('POST', `${PATH}/points/delete?${ORDERED}`, body));
      await dropIfEmpty(rest);
    },
  };
}

/** Returns a UUID for custom uses (version 8, RFC 9562). The same key gives the same UUID. */
function pointIdOf(key: string): string {
  const hash = createHash('sha256').update(key).digest('hex');
  const variant = ((parseInt(hash.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `${variant}${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ].join('-');
}

/**
 * Returns the members of a write that leaves existing points as they are. The server's version decides: a
 * server ignores an unknown field silently and would replace the point. On 1.16, a filter that no point
 * matches still inserts new points.
 */
export function insertOnly(version: string): JsonObject {
  if (isVersionAtLeast(version, UPDATE_MODE_SINCE)) return { update_mode: 'insert_only' };
  return { update_filter: { must: [{ has_id: [] }] } };
}

function condition(key: string, where: Fields): JsonObject {
  const same = Object.entries(where).map(([name, value]) => ({ key: name, match: { value } }));
  return { must: [{ has_id: [pointIdOf(key)] }, ...same] };
}

/**
 * Reads an entry by a majority of replicas. They omit a point on which they differ, for example while a write
 * is in progress: it is then read from one replica.
 */
async function readEntry(
  rest: Rest,
  key: string,
  names: readonly string[] | undefined,
): Promise<Fields | null> {
  for (const consistency of ['quorum', '1']) {
    const body = { ids: [pointIdOf(key)], with_payload: names === undefined ? true : [...names] };
    const found = await unlessGone(() =>
      rest.call('POST', `${PATH}/points?consistency=${consistency}`, body),
    );
    if (found === null) continue;
    const [point] = answeredList({ json: { result: found }, of: `points of ${STATE_COLLECTION}` }, 'result');
    if (point === undefined) continue;
    const texts = Object.entries(objectAt(point, 'payload'));
    return Object.fromEntries(
      texts.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  }
  return null;
}

/**
 * Returns the result of a call, or null if the collection does not exist. The call is repeated while the
 * leader or too many replicas are unreachable. Conditions make this safe.
 */
async function unlessGone<T>(call: () => Promise<T>): Promise<T | null> {
  const giveUpAtMs = performance.now() + OUTAGE_MS_MAX;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (isTldrError(error, 'NOT_FOUND')) return null;
      // The transport has already repeated calls that are marked as safe.
      const away = error instanceof CallError && error.code === 'UNAVAILABLE' && !error.retry.safe;
      if (!away || performance.now() > giveUpAtMs) throw error;
      await sleep(OUTAGE_POLL_MS);
    }
  }
}

/**
 * Creates the collection and its indexes if they are missing. @throws ALREADY_EXISTS when
 * a collection of this name was not made for migration states
 */
async function makeCollection(rest: Rest): Promise<void> {
  if (!(await isOurs(rest))) {
    const peers = Object.keys(objectAt(await rest.call('GET', '/cluster'), 'peers')).length;
    try {
      await rest.call('PUT', PATH, settings(Math.min(REPLICAS_MAX, Math.max(1, peers))));
    } catch (error) {
      // Another process may create it at the same time.
      if (!isTldrError(error, 'ALREADY_EXISTS') || !(await isOurs(rest))) throw error;
    }
  }
  // The server's default rate limits for new collections apply until strict mode is set again.
  const native = objectAt(await rest.call('GET', PATH), 'config');
  if (hasRateLimits(native)) await rest.call('PATCH', PATH, UNLIMITED);
  for (const name of INDEXED)
    await rest.call('PUT', `${PATH}/index?${ORDERED}`, { field_name: name, field_schema: 'keyword' });
}

function settings(replicas: number): JsonObject {
  const about = 'States of migrations under way. Remove a point only when its migration is over.';
  return {
    vectors: {},
    ...UNLIMITED,
    shard_number: num(1),
    replication_factor: num(replicas),
    write_consistency_factor: num(Math.floor(replicas / 2) + 1),
    wal_config: { wal_capacity_mb: num(1) },
    optimizers_config: { default_segment_number: num(1) },
    metadata: { [MARK]: { version: num(1), about } },
  };
}

/** Returns whether the collection exists. @throws ALREADY_EXISTS when it was not made for migration states */
async function isOurs(rest: Rest): Promise<boolean> {
  const info = await unlessGone(() => rest.call('GET', PATH));
  if (info === null) return false;
  if (!isObject(valueAt(info, 'config', 'metadata', MARK)))
    throw new TldrError(
      'ALREADY_EXISTS',
      `the collection ${STATE_COLLECTION} was not made for migration states: delete it if nobody needs it, or keep the state in a file`,
    );
  return true;
}

async function dropIfEmpty(rest: Rest): Promise<void> {
  const counted = await unlessGone(() => countPoints(rest, { collection: STATE_COLLECTION }));
  if (counted === 0 && (await isOurs(rest))) await rest.call('DELETE', PATH);
}
