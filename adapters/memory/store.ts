import { normalizedRows, score } from '../../src/core/distance.js';
import { TldrError } from '../../src/core/errors.js';
import { matrix } from '../../src/core/matrix.js';
import type { PointId } from '../../src/core/point-id.js';
import { throwIfAborted } from '../../src/core/run-options.js';
import { missingCollection } from '../../src/store/missing-collection.js';
import type { CollectionSpec } from '../../src/store/collection.js';
import type { CollectionNames, CopyTarget } from '../../src/store/copy-target.js';
import type { IdRange, PointBatch, VersionBatch } from '../../src/store/points.js';
import type { ScoredPoint } from '../../src/store/search.js';
import type { Storage } from '../../src/store/storage.js';
import { identifying } from '../../src/store/target-description.js';
import type { SourceChanges, Load, StoreKeys, VectorSource } from '../../src/store/vector-source.js';
import { MEMORY_CODEC, decodeExtra, encodeExtra } from './codec.js';
import { refuseOtherThanFloat32, specSettings } from './derive-target.js';

interface StoredPoint {
  readonly id: PointId;
  readonly vectors: ReadonlyMap<string, Float32Array>;
  readonly payload: string;
  readonly version: number;
}

const ENDPOINT = 'memory';

interface Collection {
  spec: CollectionSpec;
  /** Sorted only when read. */
  readonly points: Map<PointId, StoredPoint>;
}

/** The state that all parts of one store share. */
class Memory {
  readonly collections = new Map<string, Collection>();
  readonly aliases = new Map<string, string>();
  writes = 0;

  get(name: string): Collection {
    const found = this.collections.get(this.aliases.get(name) ?? name);
    if (found === undefined)
      throw missingCollection(name, {
        endpoint: ENDPOINT,
        known: [...this.collections.keys(), ...this.aliases.keys()],
      });
    return found;
  }

  sorted(name: string): StoredPoint[] {
    return [...this.get(name).points.values()].sort((a, b) => compareIds(a.id, b.id));
  }

  vectorSpec(collection: string, name: string): CollectionSpec['vectors'][number] {
    const spec = this.get(collection).spec.vectors.find((vector) => vector.name === name);
    if (spec === undefined)
      throw new TldrError('NOT_FOUND', `collection ${collection} has no dense vector "${name}"`);
    return spec;
  }

  batchOf(collection: string, points: readonly StoredPoint[], vectorName: string): PointBatch {
    const vectors = matrix(points.length, this.vectorSpec(collection, vectorName).dim);
    const hasVector = new Uint8Array(points.length);
    const rest = points.map((point, i) => {
      const others = new Map<string, number[]>();
      for (const [name, values] of point.vectors) {
        if (name === vectorName) {
          vectors.data.set(values, i * vectors.cols);
          hasVector[i] = 1;
        } else others.set(name, Array.from(values));
      }
      return encodeExtra({ payload: point.payload, vectors: Object.fromEntries(others) });
    });
    const sizeBytes = vectors.data.byteLength + rest.reduce((sum, bytes) => sum + bytes.length, 0);
    return { ids: points.map(({ id }) => id), vectors, hasVector, extra: rest, sizeBytes };
  }
}

function inRange(id: PointId, { from, to }: IdRange): boolean {
  return (from === null || compareIds(id, from) >= 0) && (to === null || compareIds(id, to) < 0);
}

/** Numbers ascending, then texts by their code units. */
function compareIds(a: PointId, b: PointId): number {
  if (typeof a !== typeof b) return typeof a === 'bigint' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A store in plain maps. It has every facet but a place for the states of migrations. */
export interface MemoryStore extends CopyTarget {
  readonly keys: Required<StoreKeys>;
  readonly storage: Storage;
  readonly changes: Pick<Required<SourceChanges>, 'versions' | 'waitForApplied'>;
  readonly load: Load;
  readonly names: Required<CollectionNames>;
}

/**
 * Returns the reference adapter: the whole contract in plain maps, for tests and authors of adapters.
 * @example
 * ```ts
 * import { openMemory } from 'qdrant-tldr/memory';
 *
 * const store = openMemory();
 * console.log(await store.exists('docs')); // false
 * await store.close();
 * ```
 */
export function openMemory(): MemoryStore {
  const memory = new Memory();
  const search = searching(memory);
  return {
    kind: 'memory',
    endpoint: ENDPOINT,
    capabilities: { datatypes: ['float32'], quantizations: ['none'] },
    keys: keysOf(memory),
    codec: MEMORY_CODEC,
    payloadJson: (extra) => decodeExtra(extra).payload,
    storage: storageOf(memory),
    changes: {
      versions: (name) => Promise.resolve(versionsOf(memory, name)),
      waitForApplied: () => Promise.resolve(),
    },
    load: {
      status: () => Promise.resolve({ optimizing: false, failure: null, queuedUpdates: 0 }),
      limits: () => Promise.resolve({ results: Infinity, readsPerMinute: Infinity }),
      timeSearch: async (name, request) => {
        const begunAtMs = performance.now();
        await search(name, request);
        return performance.now() - begunAtMs;
      },
      rateLimitCount: () => 0,
    },
    names: namesOf(memory),
    search,
    close: () => Promise.resolve(),
    ...reading(memory),
    ...writing(memory),
    ...specSettings(),
  };
}

function keysOf(memory: Memory): Required<StoreKeys> {
  return {
    parse: (text) => (/^\d+$/.test(text) ? BigInt(text) : text),
    format: String,
    compare: compareIds,
    split: async (name, { parts }) => {
      const ids = memory.sorted(name).map(({ id }) => id);
      const cuts = Array.from(
        { length: parts - 1 },
        (_, i) => ids[Math.floor(((i + 1) * ids.length) / parts)],
      );
      const distinct = [...new Set(cuts)].filter((id) => id !== undefined);
      return Promise.resolve([null, ...distinct].map((from, i) => ({ from, to: distinct[i] ?? null })));
    },
  };
}

async function* versionsOf(memory: Memory, name: string): AsyncGenerator<VersionBatch> {
  const points = memory.sorted(name);
  const versions = points.map(({ version }) => String(version));
  yield await Promise.resolve({ ids: points.map(({ id }) => id), versions });
}

/** Reads collections and their points. */
function reading(
  memory: Memory,
): Pick<VectorSource, 'listCollections' | 'exists' | 'describe' | 'count' | 'scan' | 'retrieve' | 'sample'> {
  return {
    listCollections: () => Promise.resolve([...memory.collections.keys()]),
    exists: (name) => Promise.resolve(memory.collections.has(memory.aliases.get(name) ?? name)),
    describe: async (name) => Promise.resolve({ ...memory.get(name).spec, name }),
    count: async (name) => Promise.resolve(memory.get(name).points.size),
    async *scan(name, { vectorName, range = { from: null, to: null }, batchSize = 256, signal }) {
      const points = memory.sorted(name).filter(({ id }) => inRange(id, range));
      for (let start = 0; start < points.length; start += batchSize) {
        throwIfAborted(signal);
        yield await Promise.resolve(memory.batchOf(name, points.slice(start, start + batchSize), vectorName));
      }
    },
    retrieve: async (name, ids, { vectorName }) => {
      const wanted = new Set(ids);
      const found = memory.sorted(name).filter(({ id }) => wanted.has(id));
      return Promise.resolve(memory.batchOf(name, found, vectorName));
    },
    sample: async (name, { vectorName, size, signal }) => {
      throwIfAborted(signal);
      const points = memory.sorted(name).filter(({ vectors }) => vectors.has(vectorName));
      const stride = Math.max(1, points.length / size);
      const chosen = Array.from(
        { length: Math.min(size, points.length) },
        (_, i) => points[Math.floor(i * stride)],
      );
      const batch = memory.batchOf(
        name,
        chosen.filter((point) => point !== undefined),
        vectorName,
      );
      return Promise.resolve({ ids: batch.ids, vectors: batch.vectors });
    },
  };
}

/** Creates, fills, changes and removes collections. */
function writing(
  memory: Memory,
): Pick<CopyTarget, 'create' | 'finishBulkLoad' | 'drop' | 'setMetadata' | 'upsert' | 'remove'> {
  return {
    create: async (spec, { resume = false } = {}) => {
      const there = memory.collections.get(spec.name);
      if (there !== undefined) {
        const { metadata } = there.spec;
        const telling = Object.entries(identifying(spec.metadata));
        const own = telling.length > 0 && telling.every(([key, json]) => metadata[key] === json);
        if (resume && own) return Promise.resolve();
        throw new TldrError('ALREADY_EXISTS', `collection ${spec.name} exists already`);
      }
      memory.collections.set(spec.name, { spec, points: new Map() });
      return Promise.resolve();
    },
    finishBulkLoad: (_spec, run) => {
      throwIfAborted(run?.signal);
      return Promise.resolve();
    },
    drop: (name) => {
      memory.collections.delete(name);
      for (const [alias, target] of memory.aliases) if (target === name) memory.aliases.delete(alias);
      return Promise.resolve();
    },
    setMetadata: async (name, metadata) => {
      const collection = memory.get(name);
      collection.spec = { ...collection.spec, metadata: { ...collection.spec.metadata, ...metadata } };
      return Promise.resolve();
    },
    upsert: async (name, batch) => {
      const { points } = memory.get(name);
      batch.ids.forEach((id, i) => {
        const { payload, vectors } = decodeExtra(
          batch.extra[i] ?? encodeExtra({ payload: '{}', vectors: {} }),
        );
        const all = new Map<string, Float32Array>(
          Object.entries(vectors).map(([key, values]) => [key, Float32Array.from(values)]),
        );
        for (const { name: vectorName, matrix: values, has } of batch.vectors) {
          const { dim, distance } = memory.vectorSpec(name, vectorName);
          if (values.cols !== dim) {
            throw new TldrError(
              'INVALID_ARGUMENT',
              `vector "${vectorName}": expected dim ${dim}, got ${values.cols}`,
            );
          }
          if (has[i] === 0) continue;
          const one = matrix(1, dim, values.data.slice(i * dim, (i + 1) * dim));
          all.set(vectorName, (distance === 'cosine' ? normalizedRows(one) : one).data);
        }
        points.set(id, { id, vectors: all, payload, version: memory.writes++ });
      });
      return Promise.resolve();
    },
    remove: async (name, ids) => {
      for (const id of ids) memory.get(name).points.delete(id);
      return Promise.resolve();
    },
  };
}

/** Searches exactly. */
function searching(memory: Memory): VectorSource['search'] {
  return async (name, request) => {
    const ranked = (
      vectorName: string,
      vector: Float32Array,
      among: StoredPoint[],
    ): { point: StoredPoint; score: number }[] => {
      const { distance } = memory.vectorSpec(name, vectorName);
      const hits = among.flatMap((point) => {
        const values = point.vectors.get(vectorName);
        return values === undefined ? [] : [{ point, score: score(vector, values, distance) }];
      });
      const sign = distance === 'cosine' || distance === 'dot' ? -1 : 1;
      return hits.sort((a, b) => sign * (a.score - b.score));
    };
    const { prefetch } = request;
    let among = memory.sorted(name);
    if (prefetch !== undefined) {
      among = ranked(prefetch.vectorName, prefetch.vector, among)
        .slice(0, prefetch.limit)
        .map(({ point }) => point);
    }
    const hits = ranked(request.vectorName, request.vector, among).slice(0, request.limit);
    const withPayload = request.withPayload === true;
    const points = hits.map(({ point, score: value }): ScoredPoint => ({
      id: point.id,
      score: value,
      ...(withPayload ? { payloadJson: point.payload } : {}),
    }));
    return Promise.resolve(points);
  };
}

/** Aliases. */
function namesOf(memory: Memory): Required<CollectionNames> {
  const lead = async (alias: string, name: string): Promise<void> => {
    memory.get(name);
    return Promise.resolve(void memory.aliases.set(alias, name));
  };
  return {
    all: () => Promise.resolve(new Map(memory.aliases)),
    switch: async (alias, name) => {
      if (memory.collections.has(alias)) throw new TldrError('ALREADY_EXISTS', `${alias} is a collection`);
      await lead(alias, name);
    },
    drop: (alias) => Promise.resolve(void memory.aliases.delete(alias)),
    over: { refusal: () => Promise.resolve(null), hide: lead },
  };
}

/** Creates temporary collections for measurements. There is no index, so only the vectors take up memory. */
function storageOf(memory: Memory): Storage {
  return {
    of: (spec, vectorName) => {
      if (!spec.vectors.some((vector) => vector.name === vectorName))
        throw new TldrError('NOT_FOUND', `collection ${spec.name} has no dense vector "${vectorName}"`);
      const inMemory = { onDisk: false, codesInMemory: true, indexInMemory: true };
      return { datatype: 'float32', quantization: 'none', indexed: false, hnswM: 0, ...inMemory };
    },
    scratch: (source, { name, vectorName, vectors, metadata }) => {
      if (!source.vectors.some((vector) => vector.name === vectorName))
        throw new TldrError('NOT_FOUND', `collection ${source.name} has no dense vector "${vectorName}"`);
      const specs = vectors.map(({ name: own, dim, distance, storage, hnswM }) => {
        refuseOtherThanFloat32(storage === 'source' ? { hnswM } : { ...storage, hnswM });
        return { name: own, dim, distance, multivector: false, componentBytes: 4 };
      });
      return { ...source, name, vectors: specs, otherVectors: [], partitions: [], metadata };
    },
    measure: async (name) => {
      const points = memory.sorted(name);
      const bytesOf = (vectorName: string): number =>
        points.reduce((sum, { vectors }) => sum + (vectors.get(vectorName)?.byteLength ?? 0), 0);
      return Promise.resolve(
        memory.get(name).spec.vectors.map((vector) => ({
          name: vector.name,
          vectorBytes: bytesOf(vector.name),
          codeBytes: 0,
          codeBookBytes: 0,
          indexBytes: 0,
          indexGrowthBytes: 0,
        })),
      );
    },
    estimate: ({ vectors }, pointCount) => {
      const pointBytes = vectors.reduce((sum, { dim, componentBytes }) => sum + dim * componentBytes, 0);
      return { vectorsRamBytes: pointBytes * pointCount, vectorsDiskBytes: 0, indexRamBytes: 0 };
    },
    dropScratch: (name) => Promise.resolve(void memory.collections.delete(name)),
  };
}
