import { dot, normalizedRows, squaredNorm, type Distance } from '../../src/core/distance.js';
import { TldrError } from '../../src/core/errors.js';
import { matrix } from '../../src/core/matrix.js';
import { comparePointIds, type PointId } from '../../src/core/point-id.js';
import { throwIfAborted } from '../../src/core/run.js';
import type {
  CollectionSpec,
  IdRange,
  PointBatch,
  ScoredPoint,
  VectorStore,
} from '../../src/core/vector-store.js';

interface StoredPoint {
  readonly id: PointId;
  readonly vectors: ReadonlyMap<string, Float32Array>;
  readonly payload: string;
}

interface Collection {
  spec: CollectionSpec;
  readonly indexes: Set<string>;
  /** By id text; kept sorted only when read. */
  readonly points: Map<string, StoredPoint>;
}

interface Rest {
  readonly payload: string;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

const decode = (rest: Uint8Array): Rest => JSON.parse(Buffer.from(rest).toString()) as Rest;
const encode = (rest: Rest): Uint8Array => Buffer.from(JSON.stringify(rest));

/** The reference adapter: the whole contract in plain maps, for tests and for writers of other adapters. */
export function openMemory(): VectorStore {
  const collections = new Map<string, Collection>();
  const aliases = new Map<string, string>();
  const get = (name: string): Collection => {
    const found = collections.get(aliases.get(name) ?? name);
    if (found === undefined) throw new TldrError('NOT_FOUND', `collection ${name} does not exist`);
    return found;
  };
  const sorted = (name: string): StoredPoint[] =>
    [...get(name).points.values()].sort((a, b) => comparePointIds(a.id, b.id));
  const vectorSpec = (collection: string, name: string): CollectionSpec['vectors'][number] => {
    const spec = get(collection).spec.vectors.find((vector) => vector.name === name);
    if (spec === undefined)
      throw new TldrError('NOT_FOUND', `collection ${collection} has no vector "${name}"`);
    return spec;
  };
  const batchOf = (collection: string, points: readonly StoredPoint[], vectorName: string): PointBatch => {
    const vectors = matrix(points.length, vectorSpec(collection, vectorName).dim);
    const hasVector = new Uint8Array(points.length);
    const rest = points.map((point, i) => {
      const others: Record<string, number[]> = {};
      for (const [name, values] of point.vectors) {
        if (name === vectorName) {
          vectors.data.set(values, i * vectors.cols);
          hasVector[i] = 1;
        } else others[name] = Array.from(values);
      }
      return encode({ payload: point.payload, vectors: others });
    });
    const sizeBytes = vectors.data.byteLength + rest.reduce((sum, bytes) => sum + bytes.length, 0);
    return { ids: points.map(({ id }) => id), vectors, hasVector, rest, sizeBytes };
  };
  const inRange = (id: PointId, { from, to }: IdRange): boolean =>
    (from === null || comparePointIds(id, from) >= 0) && (to === null || comparePointIds(id, to) < 0);

  return {
    format: 'memory-1',
    endpoint: 'memory',
    capabilities: () =>
      Promise.resolve({ vendor: 'memory', version: '1', insertOnly: true, metadata: true, twoStage: true }),
    listCollections: () => Promise.resolve([...collections.keys()]),
    exists: (name) => Promise.resolve(collections.has(aliases.get(name) ?? name)),
    describe: async (name) => Promise.resolve({ ...get(name).spec, name }),
    count: async (name) => Promise.resolve(get(name).points.size),
    async *scan(name, { vectorName, range = { from: null, to: null }, batchSize = 256, signal }) {
      const points = sorted(name).filter(({ id }) => inRange(id, range));
      for (let start = 0; start < points.length; start += batchSize) {
        throwIfAborted(signal);
        yield await Promise.resolve(batchOf(name, points.slice(start, start + batchSize), vectorName));
      }
    },
    retrieve: async (name, ids, { vectorName }) => {
      const wanted = new Set(ids.map(String));
      return Promise.resolve(
        batchOf(
          name,
          sorted(name).filter(({ id }) => wanted.has(String(id))),
          vectorName,
        ),
      );
    },
    splitRanges: async (name, { parts }) => {
      const ids = sorted(name).map(({ id }) => id);
      const cuts = Array.from(
        { length: parts - 1 },
        (_, i) => ids[Math.floor(((i + 1) * ids.length) / parts)],
      );
      const distinct = [...new Set(cuts)].filter((id) => id !== undefined);
      return Promise.resolve([null, ...distinct].map((from, i) => ({ from, to: distinct[i] ?? null })));
    },
    sample: async (name, { vectorName, size, signal }) => {
      throwIfAborted(signal);
      const points = sorted(name).filter(({ vectors }) => vectors.has(vectorName));
      const stride = Math.max(1, points.length / size);
      const chosen = Array.from(
        { length: Math.min(size, points.length) },
        (_, i) => points[Math.floor(i * stride)],
      );
      const batch = batchOf(
        name,
        chosen.filter((point) => point !== undefined),
        vectorName,
      );
      return Promise.resolve({ ids: batch.ids, vectors: batch.vectors });
    },
    deriveTarget: (source, change) => {
      const reduced = source.vectors.find(({ name }) => name === change.vectorName);
      if (reduced === undefined) {
        throw new TldrError(
          'NOT_FOUND',
          `collection ${source.name} has no dense vector "${change.vectorName}"`,
        );
      }
      if (reduced.multivector) throw new TldrError('UNSUPPORTED', 'a multivector cannot be reduced yet');
      const twoStage = change.layout === 'two-stage';
      if (twoStage && source.vectors.some(({ name }) => name === change.compactName)) {
        throw new TldrError('INVALID_ARGUMENT', `"${change.compactName}" is taken in ${source.name}`);
      }
      const kept = source.vectors.filter(({ name }) => twoStage || name !== change.vectorName);
      const { compactName: name, compactDim: dim, compactDistance: distance } = change;
      const compact = { name, dim, distance, multivector: false, componentBytes: 4 };
      const metadata = { ...source.metadata, ...change.metadata };
      return { ...source, name: change.name, vectors: [...kept, compact], metadata };
    },
    differences: (expected, actual) => {
      const text = ({ vectors, native }: CollectionSpec): string =>
        JSON.stringify([[...vectors].sort((a, b) => (a.name < b.name ? -1 : 1)), native]);
      return text(expected) === text(actual)
        ? []
        : [`vectors or settings: expected ${text(expected)}, got ${text(actual)}`];
    },
    create: async (spec) => {
      if (collections.has(spec.name))
        throw new TldrError('ALREADY_EXISTS', `collection ${spec.name} exists already`);
      collections.set(spec.name, { spec, indexes: new Set(), points: new Map() });
      return Promise.resolve();
    },
    finish: (_spec, run) => {
      throwIfAborted(run?.signal);
      return Promise.resolve();
    },
    deleteCollection: (name) => {
      collections.delete(name);
      for (const [alias, target] of aliases) if (target === name) aliases.delete(alias);
      return Promise.resolve();
    },
    setMetadata: async (name, metadata) => {
      const collection = get(name);
      collection.spec = { ...collection.spec, metadata: { ...collection.spec.metadata, ...metadata } };
      return Promise.resolve();
    },
    upsert: async (name, batch, { insertOnly = false } = {}) => {
      const { points } = get(name);
      batch.ids.forEach((id, i) => {
        if (insertOnly && points.has(String(id))) return;
        const { payload, vectors } = decode(batch.rest[i] ?? encode({ payload: '{}', vectors: {} }));
        const all = new Map(Object.entries(vectors).map(([key, values]) => [key, Float32Array.from(values)]));
        for (const { name: vectorName, matrix: values, has } of batch.vectors) {
          const { dim, distance } = vectorSpec(name, vectorName);
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
        points.set(String(id), { id, vectors: all, payload });
      });
      return Promise.resolve();
    },
    deletePoints: async (name, ids) => {
      for (const id of ids) get(name).points.delete(String(id));
      return Promise.resolve();
    },
    search: async (name, request) => {
      const ranked = (
        vectorName: string,
        vector: Float32Array,
        among: StoredPoint[],
      ): { point: StoredPoint; score: number }[] => {
        const { distance } = vectorSpec(name, vectorName);
        const hits = among.flatMap((point) => {
          const values = point.vectors.get(vectorName);
          return values === undefined ? [] : [{ point, score: score(vector, values, distance) }];
        });
        const sign = distance === 'cosine' || distance === 'dot' ? -1 : 1;
        return hits.sort((a, b) => sign * (a.score - b.score));
      };
      const { prefetch } = request;
      let among = sorted(name);
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
    },
    aliases: () => Promise.resolve(new Map(aliases)),
    switchAlias: async (alias, name) => {
      get(name);
      if (collections.has(alias)) throw new TldrError('ALREADY_EXISTS', `${alias} is a collection`);
      aliases.set(alias, name);
      return Promise.resolve();
    },
    createPayloadIndex: async (name, field) => Promise.resolve(void get(name).indexes.add(field)),
    packRest: (payload) => encode({ payload, vectors: {} }),
    payloadJson: (rest) => decode(rest).payload,
    canonicalRest: (rest, { withoutVector } = {}) => {
      const { payload, vectors } = decode(rest);
      const kept = Object.entries(vectors)
        .filter(([name]) => name !== withoutVector)
        .sort();
      return Buffer.from(JSON.stringify([payload, kept]));
    },
    restVector: (rest, name) => {
      const values = decode(rest).vectors[name];
      return values === undefined ? null : Float32Array.from(values);
    },
    estimateMemory: ({ vectors }, pointCount) => {
      const bytes =
        vectors.reduce((sum, { dim, componentBytes }) => sum + dim * componentBytes, 0) * pointCount;
      return { vectorsRamBytes: bytes, vectorsDiskBytes: 0, indexRamBytes: 0 };
    },
    close: () => Promise.resolve(),
  };
}

function score(a: Float32Array, b: Float32Array, distance: Distance): number {
  switch (distance) {
    case 'cosine':
      return dot(a, b) / (Math.sqrt(squaredNorm(a) * squaredNorm(b)) || 1);
    case 'dot':
      return dot(a, b);
    case 'euclid':
      return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0));
    case 'manhattan':
      return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0);
  }
}
