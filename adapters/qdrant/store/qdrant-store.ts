import { isLosslessNumber } from 'lossless-json';
import { TldrError } from '../../../src/core/errors.js';
import { concatRows } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { RequestLimits } from '../../../src/core/read-turns.js';
import type { RunOptions } from '../../../src/core/run.js';
import { DATATYPES, QUANTIZATIONS } from '../../../src/store/vector-store.js';
import type {
  CollectionSpec,
  IdRange,
  KeptVector,
  MemoryEstimate,
  PointBatch,
  PointCondition,
  PointSample,
  SampleOptions,
  ScanOptions,
  ScoredPoint,
  ScratchRequest,
  SearchRequest,
  ShardKey,
  StoreCapabilities,
  StoreStatus,
  TargetChange,
  VectorBytes,
  VersionBatch,
  VectorStore,
  WriteBatch,
} from '../../../src/store/vector-store.js';
import { pointAlias, readAliases, removeAlias, shadowingRefusal, aliasOverCollection } from './aliases.js';
import type { Connection } from './connection.js';
import { countPoints } from './count.js';
import { createCollection, createIndex, finishCollection } from './bulk-load.js';
import { byTransport, readExactPayloads, writeExactPoints } from '../points/exact-payload.js';
import { insertOnlyOf } from '../points/insert-only.js';
import { listAt, numberAt, parseJson, textAt, valueAt, type Json } from '../transport/json.js';
import { matchingIds, waitForApplied } from './matching-ids.js';
import {
  canonicalRest,
  payloadJson,
  REST_FORMAT,
  extraFloats,
  restFromJson,
  extraVector,
} from '../points/payload.js';
import {
  deletePoints,
  retrievePoints,
  scanPoints,
  upsertPoints,
  type VectorPlace,
} from '../points/transfer.js';
import { queryPoints, scoredPoints } from './query.js';
import { KnownCollections } from './known-collections.js';
import { loadOf } from './load.js';
import { hasOneReplica, readVersions } from './versions.js';
import {
  cutRanges,
  inProportion,
  isReadByScan,
  pathOf,
  randomIds,
  sampleByIds,
  sampleByScan,
  sum,
} from '../points/sampling.js';
import { deriveScratch, dropScratch, measureVectors, vectorStorage } from './scratch.js';
import { deriveTarget, differences, estimateMemory, specFromInfo } from './settings.js';

const CUT_POINTS_PER_RANGE = 16;

interface InShard {
  readonly shardKey?: ShardKey | undefined;
}

/** The store contract on a Qdrant server: settings over REST, points over gRPC. */
export class QdrantStore implements VectorStore {
  readonly format = REST_FORMAT;
  readonly endpoint: string;
  readonly #to: Connection;
  readonly #known: KnownCollections;

  constructor(connection: Connection) {
    this.#to = connection;
    const describe = (collection: string): Promise<CollectionSpec> => this.describe(collection);
    this.#known = new KnownCollections(describe, connection);
    this.endpoint = connection.endpoint;
  }

  capabilities(): Promise<StoreCapabilities> {
    const { version } = this.#to;
    const can = { insertOnly: insertOnlyOf(version) !== null, metadata: true, twoStage: true };
    return Promise.resolve({
      vendor: 'qdrant',
      version,
      ...can,
      datatypes: DATATYPES,
      quantizations: QUANTIZATIONS,
    });
  }

  async listCollections(): Promise<readonly string[]> {
    const result = await this.#to.rest.call('GET', '/collections');
    return listAt(result, 'collections').flatMap((entry) => textAt(entry, 'name') ?? []);
  }

  async exists(collection: string): Promise<boolean> {
    return valueAt(await this.#to.rest.call('GET', `${pathOf(collection)}/exists`), 'exists') === true;
  }

  async describe(collection: string): Promise<CollectionSpec> {
    const path = pathOf(collection);
    const info = await this.#to.rest.call('GET', path);
    const custom = textAt(info, 'config', 'params', 'sharding_method') === 'custom';
    return specFromInfo(collection, info, custom ? await this.#shardKeys(path) : []);
  }

  async #shardKeys(path: string): Promise<{ key: ShardKey; shards: number | null }[]> {
    const cluster = await this.#to.rest.call('GET', `${path}/cluster`);
    const ids = new Map<string, { key: ShardKey; shards: Set<number> }>();
    for (const shard of [...listAt(cluster, 'local_shards'), ...listAt(cluster, 'remote_shards')]) {
      const value = valueAt(shard, 'shard_key');
      const key: ShardKey | undefined =
        typeof value === 'string'
          ? { kind: 'keyword', value }
          : isLosslessNumber(value)
            ? { kind: 'number', value: value.value }
            : undefined;
      if (key === undefined) continue;
      const known = ids.get(`${key.kind} ${key.value}`) ?? { key, shards: new Set<number>() };
      known.shards.add(numberAt(shard, 'shard_id') ?? 0);
      ids.set(`${key.kind} ${key.value}`, known);
    }
    return [...ids.values()].map(({ key, shards }) => ({ key, shards: shards.size }));
  }

  async count(collection: string, options: InShard = {}): Promise<number> {
    const limits = await this.#known.limits(collection);
    return countPoints(this.#to.rest, { collection, shardKey: options.shardKey, limits });
  }

  async *scan(collection: string, options: ScanOptions): AsyncGenerator<PointBatch> {
    const { rest, grpc } = this.#to;
    const place = await this.#place(collection, options);
    for await (const batch of scanPoints(grpc, place, options))
      yield await readExactPayloads(rest, place, batch);
  }

  async versions(
    collection: string,
    { signal, shardKey }: RunOptions & InShard = {},
  ): Promise<AsyncIterable<VersionBatch> | null> {
    const { rest } = this.#to;
    if (!(await hasOneReplica(rest, collection))) return null;
    const limits = await this.#known.limits(collection);
    return limits.now.reads.conditionIds < 1
      ? null
      : readVersions(rest, { collection, shardKey, limits }, signal);
  }

  async retrieve(
    collection: string,
    ids: readonly PointId[],
    options: { readonly vectorName: string } & InShard,
  ): Promise<PointBatch> {
    const place = await this.#place(collection, options);
    const { rest, grpc } = this.#to;
    return readExactPayloads(rest, place, await retrievePoints(grpc, place, { ids, withPayload: true }));
  }

  async *matchingIds(collection: string, condition: PointCondition): AsyncGenerator<readonly PointId[]> {
    const limits = await this.#known.limits(collection);
    yield* matchingIds(this.#to, { collection, limits }, condition);
  }

  waitForApplied(collection: string): Promise<void> {
    return waitForApplied(this.#to, { collection });
  }

  async splitRanges(
    collection: string,
    options: { readonly parts: number } & InShard,
  ): Promise<readonly IdRange[]> {
    const { parts, shardKey } = options;
    if (parts < 2) return [{ from: null, to: null }];
    const place = { collection, shardKey, limits: await this.#known.limits(collection) };
    return cutRanges(await randomIds(this.#to.rest, place, parts * CUT_POINTS_PER_RANGE), parts);
  }

  async sample(collection: string, options: SampleOptions): Promise<PointSample> {
    const { rest, grpc } = this.#to;
    const place = await this.#place(collection, options);
    const { shardKeys } = await this.describe(collection);
    const places = shardKeys.length === 0 ? [place] : shardKeys.map((shardKey) => ({ ...place, shardKey }));
    const counts: number[] = [];
    for (const { shardKey } of places) counts.push(await this.count(collection, { shardKey }));
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

  deriveScratch(source: CollectionSpec, scratch: ScratchRequest): CollectionSpec {
    return deriveScratch(source, scratch);
  }

  vectorStorage(spec: CollectionSpec, vectorName: string): KeptVector {
    return vectorStorage(spec, vectorName);
  }

  async measureVectors(collection: string, run: RunOptions = {}): Promise<readonly VectorBytes[]> {
    return measureVectors(this.#to.rest, await this.describe(collection), run);
  }

  async dropScratch(collection: string): Promise<void> {
    if (await dropScratch(this.#to.rest, collection)) await this.deleteCollection(collection);
  }

  deriveTarget(source: CollectionSpec, change: TargetChange): CollectionSpec {
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

  async deleteCollection(collection: string): Promise<void> {
    this.#known.forget(collection);
    await this.#to.rest.call('DELETE', pathOf(collection));
  }

  async setMetadata(collection: string, metadata: Readonly<Record<string, string>>): Promise<void> {
    const values = Object.fromEntries(Object.entries(metadata).map(([key, text]) => [key, parseJson(text)]));
    await this.#to.rest.call('PATCH', pathOf(collection), { metadata: values });
  }

  async upsert(
    collection: string,
    batch: WriteBatch,
    options: { readonly insertOnly?: boolean } & InShard = {},
  ): Promise<void> {
    const { insertOnly = false, shardKey } = options;
    const way = insertOnly ? insertOnlyOf(this.#to.version) : null;
    if (insertOnly && way === null)
      throw new TldrError(
        'UNSUPPORTED',
        `Qdrant ${this.#to.version} has no insert-only writes: expected 1.16 or newer`,
      );
    const { grpc, restAt } = byTransport(batch);
    await this.#known.write(collection, async (limits) => {
      const pointsMax = limits.now.upsertPoints;
      const place = { collection, shardKey, limits };
      await upsertPoints(this.#to.grpc, place, { batch: grpc, insertOnly: way, pointsMax });
      await writeExactPoints(this.#to, place, { batch, restAt, insertOnly: way, pointsMax });
    });
  }

  async deletePoints(collection: string, ids: readonly PointId[], options: InShard = {}): Promise<void> {
    await this.#known.write(collection, (limits) =>
      deletePoints(this.#to.grpc, { collection, limits, ...options }, ids),
    );
  }

  async search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]> {
    return scoredPoints(await this.#query(collection, request));
  }

  async timeSearch(collection: string, request: SearchRequest): Promise<number> {
    return 1000 * (numberAt(await this.#query(collection, request), 'time') ?? 0);
  }

  async #query(collection: string, request: SearchRequest): Promise<Json> {
    const limits = await this.#known.limits(collection);
    return limits.keeping(() => queryPoints(this.#to.rest, collection, request));
  }

  async requestLimits(collection: string): Promise<RequestLimits> {
    const { queryPoints: results, readTokens } = (await this.#known.limits(collection)).now;
    return { results, readsPerMinute: readTokens };
  }

  async status(collection: string): Promise<StoreStatus> {
    return loadOf(await this.#to.rest.call('GET', pathOf(collection)));
  }

  rateLimitCount(): number {
    return this.#to.refusals();
  }

  aliases(): Promise<ReadonlyMap<string, string>> {
    return readAliases(this.#to.rest);
  }

  switchAlias(alias: string, collection: string): Promise<void> {
    return pointAlias(this.#to.rest, alias, collection);
  }

  dropAlias(alias: string): Promise<void> {
    return removeAlias(this.#to.rest, alias);
  }

  shadowingRefusal(): Promise<string | null> {
    return shadowingRefusal(this.#to.rest);
  }

  aliasOverCollection(name: string, collection: string): Promise<void> {
    return aliasOverCollection(this.#to.rest, name, collection);
  }

  async createPayloadIndex(collection: string, field: string, schemaJson: string): Promise<void> {
    await createIndex(this.#to.rest, collection, [field, parseJson(schemaJson)]);
  }

  packRest(json: string): Uint8Array {
    return restFromJson(json);
  }

  payloadJson(rest: Uint8Array): string {
    return payloadJson(rest);
  }

  canonicalRest(rest: Uint8Array, options: { readonly withoutVectors?: readonly string[] } = {}): Uint8Array {
    return canonicalRest(rest, options.withoutVectors);
  }

  extraFloats(rest: Uint8Array, name: string): Float32Array | null {
    return extraFloats(rest, name);
  }

  extraVector(rest: Uint8Array, name: string, dim: number): Float32Array | null {
    return extraVector(rest, name, dim);
  }

  estimateMemory(spec: CollectionSpec, pointCount: number): MemoryEstimate {
    return estimateMemory(spec, pointCount);
  }

  close(): Promise<void> {
    this.#to.grpc.close();
    return Promise.resolve();
  }

  #server(): Parameters<typeof createCollection>[0] {
    return { rest: this.#to.rest, describe: (collection) => this.describe(collection) };
  }

  async #place(
    collection: string,
    { vectorName, shardKey }: { vectorName: string } & InShard,
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
      shardKey,
      vectorName,
      dim: vector.dim,
      limits,
    };
  }
}
