import { isLosslessNumber } from 'lossless-json';
import { isTldrError, TldrError } from '../../../src/core/errors.js';
import { sleep, throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import { identifying } from '../../../src/store/target-description.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import {
  flatten,
  numberAt,
  objectAt,
  parseJson,
  stringifyJson,
  textAt,
  valueAt,
  type Json,
} from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import {
  createBody,
  patchAfterCreate,
  patchToFinish,
  payloadIndexes,
  shardKeyBodies,
} from './collection-settings.js';
import { SOURCE_SETTINGS_KEYS } from './source-settings-metadata.js';
import { hasRateLimits, isStrict, UNLIMITED } from '../transport/strict-mode-limits.js';

const GREEN_POLL_MS = 500;
/** The status must be green this often in a row, since it is briefly green before optimisation begins. */
const GREEN_POLLS = 3;

interface Server {
  readonly rest: Rest;
  readonly describe: (collection: string) => Promise<CollectionSpec>;
}

/**
 * Creates a collection, its shard keys and payload indexes. If an answer is lost and the call is repeated,
 * the collection may exist already. It is completed if its metadata identifies it as this one; with `resume`,
 * this also holds for the first call.
 * @throws ALREADY_EXISTS for any other collection of that name
 */
export async function createCollection(
  { rest, describe }: Server,
  spec: CollectionSpec,
  { resume, exists }: { readonly resume: boolean; readonly exists: boolean },
): Promise<void> {
  const path = pathOf(spec.name);
  const isOwn = async (): Promise<boolean> => isBegun(await describe(spec.name), spec);
  if (exists && !(resume && (await isOwn())))
    throw new TldrError('ALREADY_EXISTS', `collection ${spec.name} exists already`);
  if (!exists) await unlessMade(() => rest.call('PUT', path, createBody(spec)), isOwn);
  const late = patchAfterCreate(spec);
  if (late !== null) await rest.call('PATCH', path, late);
  const made = await describe(spec.name);
  if (hasStrayLimits(parseJson(made.native), parseJson(spec.native)))
    await rest.call('PATCH', path, UNLIMITED);
  const present = new Set(made.partitions.map(({ kind, value }) => `${kind} ${value}`));
  for (const [i, body] of shardKeyBodies(spec).entries()) {
    const key = spec.partitions[i];
    if (key !== undefined && present.has(`${key.kind} ${key.value}`)) continue;
    await unlessMade(
      () => rest.call('PUT', `${path}/shards`, body),
      () => Promise.resolve(true),
    );
  }
  await createMissingIndexes({ rest, describe }, spec);
}

/**
 * Returns whether a collection has limits that it must not have, or not yet. The server may have default
 * limits for every new collection. It enforces default rate limits even with strict mode off, until strict
 * mode is set again.
 */
function hasStrayLimits(made: Json, wanted: Json): boolean {
  return isStrict(made) ? !isStrict(wanted) : hasRateLimits(made);
}

async function unlessMade(make: () => Promise<unknown>, isOwn: () => Promise<boolean>): Promise<void> {
  try {
    await make();
  } catch (error) {
    if (!isTldrError(error, 'ALREADY_EXISTS') || !(await isOwn())) throw error;
  }
}

/**
 * Returns whether an existing collection is the wanted one, created earlier. A migration's target is
 * identified by the metadata about the migration, any other collection by all wanted metadata. Further keys
 * may have been added since, but wanted values must be unchanged.
 */
function isBegun(found: CollectionSpec, wanted: CollectionSpec): boolean {
  const telling = Object.keys(identifying(wanted.metadata)).filter(
    (key) => !SOURCE_SETTINGS_KEYS.includes(key),
  );
  const text = ({ metadata }: CollectionSpec, key: string): string =>
    JSON.stringify([...flatten(parseJson(metadata[key] ?? 'null'))].sort(([a], [b]) => (a < b ? -1 : 1)));
  const same = (key: string): boolean =>
    Object.hasOwn(found.metadata, key) && text(found, key) === text(wanted, key);
  return telling.length > 0 && telling.every(same);
}

async function createIndex(
  rest: Rest,
  collection: string,
  [field, schema]: readonly [string, Json],
): Promise<void> {
  const body = { field_name: field, field_schema: schema };
  await rest.call('PUT', `${pathOf(collection)}/index?wait=true`, body);
}

async function createMissingIndexes({ rest, describe }: Server, spec: CollectionSpec): Promise<void> {
  const present = new Set(payloadIndexes(await describe(spec.name)).map(([field]) => field));
  for (const index of payloadIndexes(spec))
    if (!present.has(index[0])) await createIndex(rest, spec.name, index);
}

/**
 * Ends a bulk load: applies the settings that were held back and waits until every index is built.
 * @throws UNAVAILABLE when the optimizer failed, TIMEOUT when indexing makes no progress for `stallMs`
 */
export async function finishCollection(
  { rest, describe }: Server,
  spec: CollectionSpec,
  run: RunOptions & { readonly stallMs: number },
): Promise<void> {
  const path = pathOf(spec.name);
  await createMissingIndexes({ rest, describe }, spec);
  await rest.call('PATCH', path, patchToFinish(spec));
  // Without optimisation threads, no index will ever be built, as in the source.
  if (optimizerThreads(spec) === 0) return;
  let seen = '';
  let movedAtMs = performance.now();
  for (let green = 0; green < GREEN_POLLS;) {
    throwIfAborted(run.signal);
    const info = await rest.call('GET', path);
    const status = textAt(info, 'status');
    checkOptimizer(spec.name, info);
    green = status === 'green' ? green + 1 : 0;
    const total = numberAt(info, 'points_count') ?? 0;
    const indexed = numberAt(info, 'indexed_vectors_count') ?? 0;
    const done = green > 0 ? total : Math.min(total, indexed);
    run.onProgress?.({ step: 'indexing', done, total, unit: 'points' });
    const state = JSON.stringify([status, indexed, numberAt(info, 'segments_count'), green]);
    if (state !== seen) movedAtMs = performance.now();
    seen = state;
    if (performance.now() - movedAtMs > run.stallMs) {
      throw new TldrError(
        'TIMEOUT',
        `collection ${spec.name}: indexing makes no progress: status ${status ?? 'unknown'} with ${indexed} vectors indexed for ${Math.round(run.stallMs / 1000)} s. See the server's log, then run this again`,
      );
    }
    // After a restart, the server waits for an update before it optimises. This update changes nothing.
    if (status === 'grey') await rest.call('PATCH', path, { optimizers_config: {} });
    if (green < GREEN_POLLS) await sleep(GREEN_POLL_MS, run.signal);
  }
}

function checkOptimizer(collection: string, info: Json): void {
  const optimizer = valueAt(info, 'optimizer_status');
  if (optimizer === 'ok') return;
  throw new TldrError(
    'UNAVAILABLE',
    `collection ${collection}: its optimizer failed: ${stringifyJson(optimizer ?? null)}`,
  );
}

function optimizerThreads(spec: CollectionSpec): number | undefined {
  const threads = objectAt(parseJson(spec.native), 'optimizer_config')['max_optimization_threads'];
  return isLosslessNumber(threads) ? Number(threads.value) : undefined;
}
