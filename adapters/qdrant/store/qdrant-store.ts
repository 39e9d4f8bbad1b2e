import { isLosslessNumber } from 'lossless-json';
import { isTldrError, TldrError } from '../../../src/core/errors.js';
import { concatRows } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { RunOptions } from '../../../src/core/run-options.js';
import type { CollectionSpec, Partition, StorageKind } from '../../../src/store/collection.js';
import type {
  CollectionNames,
  CopyTarget,
  TargetCapabilities,
  TargetChange,
} from '../../../src/store/copy-target.js';
import type {
  IdRange,
  InPartition,
  PointBatch,
  PointSample,
  SampleOptions,
  ScanOptions,
  WriteBatch,
} from '../../../src/store/points.js';
import { missingCollection } from '../../../src/store/missing-collection.js';
import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import type { StateStore } from '../../../src/store/state-store.js';
import type { Storage } from '../../../src/store/storage.js';
import type { SourceChanges, Load, StoreKeys } from '../../../src/store/vector-source.js';
import { byTransport, readExactPayloads, writeExactPoints } from '../points/exact-payload.js';
import { POINT_CODEC, payloadJson } from '../points/payload-and-other-vectors.js';
import { ID_KEYS } from '../points/point-id.js';
import {
  cutRanges,
  inProportion,
  isReadByScan,
  pathOf,
  randomIds,
  sampleByIds,
  sampleByScan,
  sum,
} from '../points/ids-over-rest.js';
import {
  deletePoints,
  retrievePoints,
  scanPoints,
  upsertPoints,
  type VectorPlace,
} from '../points/read-and-write-points.js';
import { removePartsOfBefore } from '../points/remove-old-parts.js';
import {
  answeredBoolean,
  answeredList,
  answeredNumber,
  parseJson,
  textAt,
  valueAt,
  type Json,
} from '../transport/json.js';
import { collectionsOf, namesOf } from './aliases.js';
import { createCollection, finishCollection } from './create-and-finish-collection.js';
import type { Connection } from './connection.js';
import { countPoints } from '../points/count.js';
import { CollectionCache } from './collection-cache.js';
import { loadOf } from './collection-status.js';
import { matchingIds, waitForApplied } from './matching-ids.js';
import { queryPoints, scoredPoints } from './query.js';
import { deriveScratch, dropScratch, measureVectors, vectorStorage } from './scratch-collection.js';
import { deriveTarget, differences, estimateMemory, specFromInfo } from './collection-settings.js';
import { capabilitiesOf, lackingText } from './vector-storage.js';
import { openStateStore } from './state-store.js';
import { STATE_COLLECTION } from '../transport/collection-names.js';
import { hasOneReplica, readVersions } from './point-versions.js';

const CUT_POINTS_PER_RANGE = 16;

/** The store contract on a Qdrant server: settings over REST, points over gRPC. */
export class QdrantStore implements CopyTarget {
  readonly kind = 'qdrant';
  readonly endpoint: string;
  readonly capabilities: TargetCapabilities;
  readonly codec = POINT_CODEC;
  readonly keys: Required<StoreKeys>;
  readonly storage: Storage;
  readonly changes: Required<SourceChanges>;
  readonly load: Load;
  readonly names: Required<CollectionNames>;
  readonly state: StateStore;
  readonly #to: Connection;
  readonly #known: CollectionCache;

  constructor(connection: Connection) {
    const { rest, version, endpoint } = connection;
    this.#to = connection;
    const describe = (collection: string): Promise<CollectionSpec> => this.describe(collection);
    this.#known = new CollectionCache(describe, connection);
    this.endpoint = endpoint;
    this.capabilities = capabilitiesOf(version);
    this.keys = { ...ID_KEYS, split: (collection, options) => this.#split(collection, options) };
    this.storage = this.#storage();
    this.changes = this.#changes();
    this.load = this.#load();
    this.names = namesOf(rest);
    this.state = openStateStore({ rest, version, endpoint });
  }

  async listCollections(): Promise<readonly string[]> {
    return collectionsOf(this.#to.rest);
  }

  async exists(collection: string): Promise<boolean> {
    const json = await this.#to.rest.call('GET', `${pathOf(collection)}/exists`);
    return answeredBoolean({ json, of: `collection ${collection}` }, 'exists');
  }

  async describe(collection: string): Promise<CollectionSpec> {
    const path = pathOf(collection);
    const info = await this.#to.rest
      .call('GET', path)
      .catch((error: unknown) => this.#named(collection, error));
    const custom = textAt(info, 'config', 'params', 'sharding_method') === 'custom';
    const spec = specFromInfo(collection, info, custom ? await this.#partitions(path) : []);
    this.#known.renew(spec);
    return spec;
  }

  /** Throws an error of a request about a collection: if the collection is missing, with the names that are like its own. */
  async #named(collection: string, error: unknown): Promise<never> {
    if (!isTldrError(error, 'NOT_FOUND')) throw error;
    // A key for one collection may not list the others.
    const known = await Promise.all([this.listCollections(), this.names.all()]).catch(() => null);
    const names = known === null ? null : [...known[0], ...known[1].keys()];
    const { endpoint } = this;
    throw missingCollection(collection, {
      endpoint,
      known: names?.filter((name) => name !== STATE_COLLECTION) ?? null,
    });
  }

  async #partitions(path: string): Promise<{ key: Partition; shards: number | null }[]> {
    const json = await this.#to.rest.call('GET', `${path}/cluster`);
    const of = `the shards at ${path}`;
    const ids = new Map<string, { key: Partition; shards: Set<number> }>();
    for (const shard of [
      ...answeredList({ json, of }, 'local_shards'),
      ...answeredList({ json, of }, 'remote_shards'),
    ]) {
      const value = valueAt(shard, 'shard_key');
      const key: Partition | undefined =
        typeof value === 'string'
          ? { kind: 'keyword', value }
          : isLosslessNumber(value)
            ? { kind: 'number', value: value.value }
            : undefined;
      if (key === undefined) continue;
      const known = ids.get(`${key.kind} ${key.value}`) ?? { key, shards: new Set<number>() };
      known.shards.add(answeredNumber({ json: shard, of }, 'shard_id'));
      ids.set(`${key.kind} ${key.value}`, known);
    }
    return [...ids.values()].map(({ key, shards }) => ({ key, shards: shards.size }));
  }

  async count(collection: string, options: InPartition = {}): Promise<number> {
    const limits = await this.#known.limits(collection);
    return countPoints(this.#to.rest, { collection, partition: options.partition, limits });
  }

  async *scan(collection: string, options: ScanOptions): AsyncGenerator<PointBatch> {
    const { rest, grpc } = this.#to;
    const place = await this.#place(collection, options);
    for await (const batch of scanPoints(grpc, place, options))
      yield await readExactPayloads(rest, place, batch);
  }

  async retrieve(
    collection: string,
    ids: readonly PointId[],
    options: { readonly vectorName: string } & InPartition,
  ): Promise<PointBatch> {
    const place = await this.#place(collection, options);
    const { rest, grpc } = this.#to;
    return readExactPayloads(rest, place, await retrievePoints(grpc, place, { ids, withPayload: true }));
  }

  async sample(collection: string, options: SampleOptions): Promise<PointSample> {
    const { rest, grpc } = this.#to;
    const place = await this.#place(collection, options);
    const { partitions } = await this.describe(collection);
    const places =
      partitions.length === 0 ? [place] : partitions.map((partition) => ({ ...place, partition }));
    const counts: number[] = [];
    for (const { partition } of places) counts.push(await this.count(collection, { partition }));
    const sizes = inProportion(Math.min(options.size, sum(counts)), counts);
    const parts: PointSample[] = [];
    for (const [i, one] of places.entries()) {
      const [size = 0, count = 0] = [sizes[i], counts[i]];
      const wanted = { ...options, size };
      const scan = isReadByScan(one, { size, count });
      parts.push(await (scan ? sampleByScan(grpc, one, wanted) : sampleByIds({ rest, grpc }, one, wanted)));
    }
    return {
      ids: parts.flatMap(({ ids }) => [...ids]),
      vectors: concatRows(
        parts.map(({ vectors }) => vectors),
        place.dim,
      ),
    };
  }

  deriveTarget(source: CollectionSpec, change: TargetChange): CollectionSpec {
    this.#refuseUnknown(change);
    return deriveTarget(source, change);
  }

  differences(
    expected: CollectionSpec,
    actual: CollectionSpec,
    options: { readonly loading?: boolean; readonly creating?: boolean } = {},
  ): string[] {
    return differences(expected, actual, options);
  }

  async create(spec: CollectionSpec, options: { readonly resume?: boolean } = {}): Promise<void> {
    const exists = await this.exists(spec.name);
    this.#known.forget(spec.name);
    await createCollection(this.#server(), spec, { resume: options.resume === true, exists });
  }

  async finishBulkLoad(spec: CollectionSpec, run: RunOptions = {}): Promise<void> {
    this.#known.forget(spec.name);
    await finishCollection(this.#server(), spec, { ...run, stallMs: this.#to.indexingStallMs });
  }

  async drop(collection: string): Promise<void> {
    this.#known.forget(collection);
    await this.#to.rest.call('DELETE', pathOf(collection));
  }

  async setMetadata(collection: string, metadata: Readonly<Record<string, string>>): Promise<void> {
    const values = Object.fromEntries(Object.entries(metadata).map(([key, text]) => [key, parseJson(text)]));
    await this.#to.rest.call('PATCH', pathOf(collection), { metadata: values });
  }

  async upsert(collection: string, batch: WriteBatch, { partition }: InPartition = {}): Promise<void> {
    const { grpc, restAt } = byTransport(batch);
    const vectorNames = await this.#vectorNames(collection);
    await this.#known.write(collection, async (limits) => {
      const pointsMax = limits.now.upsertPoints;
      const place = { collection, partition, limits };
      await upsertPoints(this.#to.grpc, place, { batch: grpc, pointsMax });
      await writeExactPoints(this.#to, place, { batch, restAt, pointsMax });
      await removePartsOfBefore(this.#to.grpc, place, { batch, vectorNames });
    });
  }

  async #vectorNames(collection: string): Promise<string[]> {
    const { vectors, otherVectors } = (await this.#known.get(collection)).spec;
    return [...vectors.map(({ name }) => name), ...otherVectors];
  }

  async remove(collection: string, ids: readonly PointId[], options: InPartition = {}): Promise<void> {
    await this.#known.write(collection, (limits) =>
      deletePoints(this.#to.grpc, { collection, limits, ...options }, ids),
    );
  }

  async search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]> {
    return scoredPoints(await this.#query(collection, request), collection);
  }

  async #query(collection: string, request: SearchRequest): Promise<Json> {
    const limits = await this.#known.limits(collection);
    return limits.keeping(() => queryPoints(this.#to.rest, collection, request));
  }

  payloadJson(extra: Uint8Array): string {
    return payloadJson(extra);
  }

  close(): Promise<void> {
    this.#to.grpc.close();
    return Promise.resolve();
  }

  async #split(
    collection: string,
    { parts, partition }: InPartition & { readonly parts: number },
  ): Promise<readonly IdRange[]> {
    if (parts < 2) return [{ from: null, to: null }];
    const place = { collection, partition, limits: await this.#known.limits(collection) };
    return cutRanges(await randomIds(this.#to.rest, place, parts * CUT_POINTS_PER_RANGE), parts);
  }

  #storage(): Storage {
    const { rest } = this.#to;
    return {
      of: vectorStorage,
      estimate: estimateMemory,
      scratch: (source, scratch) => {
        for (const { storage } of scratch.vectors) if (storage !== 'source') this.#refuseUnknown(storage);
        return deriveScratch(source, scratch);
      },
      measure: async (collection, run = {}) => measureVectors(rest, await this.describe(collection), run),
      dropScratch: async (collection) => {
        if (await dropScratch(rest, collection)) await this.drop(collection);
      },
    };
  }

  /** @throws UNSUPPORTED when this version of the server cannot store vectors in this way */
  #refuseUnknown({ datatype, quantization }: Pick<TargetChange, 'datatype' | 'quantization'>): void {
    const { datatypes, quantizations } = this.capabilities;
    const lacking: StorageKind[] = [];
    if (datatype !== undefined && !datatypes.includes(datatype)) lacking.push(datatype);
    if (quantization !== undefined && quantization !== 'none' && !quantizations.includes(quantization))
      lacking.push(quantization);
    if (lacking.length > 0) throw new TldrError('UNSUPPORTED', lackingText(lacking, this.#to.version));
  }

  #changes(): Required<SourceChanges> {
    const to = this.#to;
    const known = this.#known;
    return {
      versions: async (collection, { signal, partition } = {}) => {
        if (!(await hasOneReplica(to.rest, collection))) return null;
        const limits = await known.limits(collection);
        const place = { collection, partition, limits };
        return limits.now.reads.conditionIds < 1 ? null : readVersions(to.rest, place, signal);
      },
      waitForApplied: (collection) => waitForApplied(to, { collection }),
      matching: async function* (collection, condition) {
        yield* matchingIds(to, { collection, limits: await known.limits(collection) }, condition);
      },
    };
  }

  #load(): Load {
    return {
      status: async (collection) => loadOf(await this.#to.rest.call('GET', pathOf(collection))),
      limits: async (collection) => {
        const { queryPoints: results, readTokens } = (await this.#known.limits(collection)).now;
        return { results, readsPerMinute: readTokens };
      },
      timeSearch: async (collection, request) =>
        1000 *
        answeredNumber(
          { json: await this.#query(collection, request), of: `a search of ${collection}` },
          'time',
        ),
      rateLimitCount: () => this.#to.refusals(),
    };
  }

  #server(): Parameters<typeof createCollection>[0] {
    return { rest: this.#to.rest, describe: (collection) => this.describe(collection) };
  }

  async #place(
    collection: string,
    { vectorName, partition }: { vectorName: string } & InPartition,
  ): Promise<VectorPlace> {
    const { spec, limits } = await this.#known.get(collection);
    const vector = spec.vectors.find(({ name }) => name === vectorName);
    if (vector === undefined)
      throw new TldrError('NOT_FOUND', `collection ${collection} has no dense vector "${vectorName}"`);
    if (vector.multivector) {
      throw new TldrError(
        'UNSUPPORTED',
        `vector "${vectorName}" of ${collection} is a multivector, which cannot be reduced yet`,
      );
    }
    return {
      collection,
      partition,
      vectorName,
      dim: vector.dim,
      limits,
    };
  }
}
