import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { parse, stringify } from 'lossless-json';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { COMPACT_DIM, contentOf, DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { restText } from '../../support/server/rest-text.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** A collection with every setting that 1.16 stores, as its REST interface takes them. */
const SETTINGS = `{
  "vectors": {
    "": {"size": ${DIM}, "distance": "Cosine", "hnsw_config": {"m": 24, "ef_construct": 120, "payload_m": 8}, "on_disk": false,
      "quantization_config": {"scalar": {"type": "int8", "quantile": 0.98, "always_ram": true}}},
    "half": {"size": 4, "distance": "Dot", "datatype": "float16", "on_disk": true},
    "bytes": {"size": 3, "distance": "Euclid", "datatype": "uint8"},
    "multi": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}
  },
  "sparse_vectors": {"words": {"index": {"on_disk": true, "full_scan_threshold": 77}, "modifier": "idf"}, "plain": {}},
  "shard_number": 2, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": true,
  "hnsw_config": {"m": 12, "ef_construct": 90, "full_scan_threshold": 5000, "max_indexing_threads": 1},
  "wal_config": {"wal_capacity_mb": 16, "wal_segments_ahead": 1},
  "optimizers_config": {"deleted_threshold": 0.3, "vacuum_min_vector_number": 500, "default_segment_number": 2, "indexing_threshold": 15000, "flush_interval_sec": 7},
  "strict_mode_config": {"enabled": true, "max_query_limit": 5000, "upsert_max_batchsize": 4000},
  "metadata": {"owner": "tests", "version": 1.0, "big": 9007199254740993}
}`;
const INDEXES = [
  '{"field_name": "tag", "field_schema": {"type": "keyword", "is_tenant": true}}',
  '{"field_name": "n", "field_schema": {"type": "integer", "lookup": true, "range": false}}',
  '{"field_name": "price", "field_schema": "float"}',
  '{"field_name": "text", "field_schema": {"type": "text", "tokenizer": "word", "min_token_len": 2, "lowercase": true}}',
  '{"field_name": "when", "field_schema": "datetime"}',
  '{"field_name": "where", "field_schema": "geo"}',
];
const VECTOR = Array.from({ length: DIM }, (_, i) => Math.sin(i + 1) + 0.001).join();
const POINTS = `{"points": [
  {"id": 9007199254740993, "vector": {"": [${VECTOR}], "half": [0.1, 1, 2, 65504], "bytes": [0, 128, 255], "multi": [[1.5, 2], [3, 4]], "words": {"indices": [7, 4294967295], "values": [0.5, 1.25]}},
   "payload": {"n": 9007199254740993, "neg": -9223372036854775808, "one": 1, "float": 1.0, "zero": -0.0, "e": 1e-7, "huge": 1e300}},
  {"id": 18446744073709551615, "vector": {"": [${VECTOR}]}, "payload": {"deep": {"b": [1, 2.0, {"a": null, "z": [[], {}]}], "a": true}, "unicode": "ünïcödé \\u0000 \\"quoted\\" 漢字 🚀"}},
  {"id": 3, "vector": {"half": [1, 2, 3, 4]}, "payload": {"without": "the default vector"}},
  {"id": 4, "vector": {}, "payload": {}},
  {"id": "936DA01F-9ABD-4d9d-80C7-02AF85C822A8", "vector": {"": [${VECTOR}], "multi": [[0.5, -1], [2, 3], [4, 5]], "plain": {"indices": [1], "values": [2]}}, "payload": {"tag": "x", "where": {"lon": 1.5, "lat": -2.0}}}
]}`;

let server: TestServer;
let store: QdrantStore;
let folder: string;

const rest = (method: string, path: string, body?: string): Promise<string> =>
  restText(server, method, path, body);

/** A part of an answer as text with every number as the server wrote it, keys sorted. */
function lossless(text: string, ...path: string[]): string {
  const sort = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sort);
    if (typeof value !== 'object' || value === null || 'isLosslessNumber' in value) return value;
    return Object.fromEntries(
      Object.entries(value)
        .sort()
        .map(([key, inner]) => [key, sort(inner)]),
    );
  };
  const found = path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], parse(text));
  return stringify(sort(found)) ?? '';
}

/** Points with the multivector written as gRPC would: two whole rows are read as sparse by the JSON interface. */
beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-copy-'));
  await rest('PUT', '/collections/source', SETTINGS);
  await rest('PATCH', '/collections/source', '{"params": {"read_fan_out_factor": 2}}');
  for (const index of INDEXES) await rest('PUT', '/collections/source/index?wait=true', index);
  await rest('PUT', '/collections/source/points?wait=true', POINTS);
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

describe.each(['compact', 'two-stage'] as const)('%s', (layout) => {
  test('carries over every setting, index and point, and leaves the source as it was', async () => {
    const target = `target-${layout}`;
    const [before, contentBefore] = [
      await rest('GET', '/collections/source'),
      await contentOf(store, 'source'),
    ];
    const run = {
      source: store,
      target: store,
      sourceCollection: 'source',
      targetCollection: target,
      vectorName: '',
      layout,
    };
    const report = await migrateCollection({
      ...run,
      encoder: tinyEncoder(),
      statePath: join(folder, `${target}.json`),
    });
    expect(report.verify).toMatchObject({ ok: true, points: 5 });
    const after = await rest('GET', `/collections/${target}`);
    for (const part of [
      ['config', 'hnsw_config'],
      ['config', 'optimizer_config'],
      ['config', 'wal_config'],
      ['config', 'strict_mode_config'],
      ['config', 'params', 'sparse_vectors'],
      ['payload_schema'],
    ]) {
      expect(lossless(after, 'result', ...part)).toBe(lossless(before, 'result', ...part));
    }
    const settings = JSON.parse(after) as {
      result: {
        config: { params: Record<string, unknown> & { vectors: Record<string, object> }; metadata: object };
      };
    };
    const { vectors, ...params } = settings.result.config.params;
    const { vectors: sourceVectors, ...sourceParams } = (JSON.parse(before) as typeof settings).result.config
      .params;
    expect(params).toEqual(sourceParams);
    const reduced = {
      ...sourceVectors[''],
      size: COMPACT_DIM,
      // Reached with as many points as before.
      hnsw_config: {
        m: 24,
        ef_construct: 120,
        payload_m: 8,
        full_scan_threshold: Math.ceil((5000 * COMPACT_DIM) / DIM),
      },
    };
    const { '': full, ...others } = sourceVectors;
    expect(vectors).toEqual(
      layout === 'compact'
        ? { ...others, '': reduced }
        : {
            ...others,
            compact: reduced,
            '': {
              size: DIM,
              distance: 'Cosine',
              on_disk: true,
              hnsw_config: { m: 0, ef_construct: 120, payload_m: 0 },
            },
          },
    );
    expect(full).toBeDefined();
    expect(lossless(after, 'result', 'config', 'metadata')).toContain('"big":9007199254740993,');
    expect(lossless(after, 'result', 'config', 'metadata')).toContain('"version":1.0');
    const points = async (collection: string): Promise<string> => {
      const text = await rest(
        'POST',
        `/collections/${collection}/points/scroll`,
        '{"limit": 10, "with_payload": true, "with_vector": ["half", "bytes", "multi", "words", "plain"]}',
      );
      return lossless(text, 'result', 'points');
    };
    expect(await points(target)).toBe(await points('source'));
    expect(await points(target)).toContain('18446744073709551615');
    expect(await contentOf(store, 'source')).toEqual(contentBefore);
    expect(lossless(await rest('GET', '/collections/source'), 'result', 'config')).toBe(
      lossless(before, 'result', 'config'),
    );
  });
});

test('the full vector of two stages leaves nothing in memory, the others keep the codes of the collection', async () => {
  const codes = { scalar: { type: 'int8', quantile: 0.98, always_ram: true } };
  const other = { size: 4, distance: 'Dot' };
  const binary = { binary: { always_ram: true } };
  await rest(
    'PUT',
    '/collections/coded',
    JSON.stringify({
      vectors: {
        '': { size: DIM, distance: 'Cosine' },
        other,
        own: { ...other, quantization_config: binary },
      },
      quantization_config: codes,
      hnsw_config: { payload_m: 8 },
    }),
  );
  await rest(
    'PUT',
    '/collections/coded/points?wait=true',
    `{"points": [{"id": 1, "vector": {"": [${VECTOR}]}}]}`,
  );
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'coded',
    targetCollection: 'coded-2s',
    vectorName: '',
    layout: 'two-stage',
    encoder: tinyEncoder(),
    statePath: join(folder, 'coded.json'),
  });
  const { config } = (
    JSON.parse(await rest('GET', '/collections/coded-2s')) as {
      result: { config: { params: { vectors: Record<string, object> } } };
    }
  ).result;
  expect(config).toMatchObject({ hnsw_config: { payload_m: 8 } });
  expect(Reflect.get(config, 'quantization_config') ?? null).toBeNull();
  expect(config.params.vectors).toEqual({
    '': { size: DIM, distance: 'Cosine', on_disk: true, hnsw_config: { m: 0, payload_m: 0 } },
    // Beside other vectors it has a limit of its own.
    compact: {
      size: COMPACT_DIM,
      distance: 'Cosine',
      quantization_config: codes,
      hnsw_config: { full_scan_threshold: 2500 },
    },
    other: { ...other, quantization_config: codes },
    own: { ...other, quantization_config: binary },
  });
});

test.each(['compact', 'two-stage'] as const)(
  'the target is searched by a graph where the source is, though its vectors take less space (%s)',
  async (layout) => {
    const [source, target] = [`walked-${layout}`, `walked-small-${layout}`];
    const count = 3000;
    await rest(
      'PUT',
      `/collections/${source}`,
      JSON.stringify({
        vectors: { size: DIM, distance: 'Cosine' },
        // The full vectors take 188 kB, the compact ones 47.
        optimizers_config: { default_segment_number: 1, indexing_threshold: 100 },
        hnsw_config: { full_scan_threshold: 60 },
      }),
    );
    const points = Array.from({ length: count }, (_, id) => ({
      id,
      vector: Array.from({ length: DIM }, (__, i) => Math.sin(id * 37.7 + i * 1.3)),
    }));
    await rest('PUT', `/collections/${source}/points?wait=true`, JSON.stringify({ points }));
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: source,
      targetCollection: target,
      vectorName: '',
      layout,
      encoder: tinyEncoder(),
      statePath: join(folder, `${target}.json`),
    });
    const using = layout === 'two-stage' ? { using: 'compact' } : {};
    const query = { query: Array.from({ length: COMPACT_DIM }, (_, i) => i + 1), limit: 3, ...using };
    await rest('POST', `/collections/${target}/points/query`, JSON.stringify(query));
    const { collections } = JSON.parse(
      lossless(await rest('GET', '/telemetry?details_level=6'), 'result'),
    ) as {
      collections: { collections: { id: string }[] };
    };
    const own = collections.collections.find(({ id }) => id === target);
    // Every search that compared all vectors of a segment, or that walked its graph, is counted in it.
    const counted = JSON.stringify(own).match(/"unfiltered_(plain|hnsw)":\{"[^}]*"count":[1-9]/g) ?? [];
    expect(counted.map((text) => text.slice(1, 16))).toEqual(['unfiltered_hnsw']);
  },
);

test.each([
  ['in which others were set since', { indexing_threshold: 4000 }, { full_scan_threshold: 2000 }],
  ['made when they were not followed', { indexing_threshold: 8000 }, {}],
])('a target %s gets the limits of the source when it is finished', async (_, optimizer, hnsw) => {
  const name = `limits-${optimizer.indexing_threshold}`;
  const other = { other: { size: 2, distance: 'Dot' } };
  const vectors = {
    '': { size: DIM, distance: 'Cosine', hnsw_config: { full_scan_threshold: 400 } },
    ...other,
  };
  const body = { vectors, optimizers_config: { indexing_threshold: 8000 } };
  await rest('PUT', `/collections/${name}`, JSON.stringify(body));
  const metadata = { tldr: { of: name } };
  const old = {
    vectors: { '': { size: COMPACT_DIM, distance: 'Cosine' }, ...other },
    optimizers_config: optimizer,
    hnsw_config: hnsw,
    metadata,
  };
  await rest('PUT', `/collections/${name}-small`, JSON.stringify(old));
  const target = store.deriveTarget(await store.describe(name), {
    name: `${name}-small`,
    layout: 'compact',
    vectorName: '',
    compactName: '',
    compactDim: COMPACT_DIM,
    compactDistance: 'cosine',
    metadata: { tldr: JSON.stringify(metadata.tldr) },
  });
  const found = await store.describe(target.name);
  expect(store.differences(target, found)).not.toEqual([]);
  if (Object.keys(hnsw).length === 0) expect(store.differences(target, found, { loading: true })).toEqual([]);
  await store.create(target, { resume: true });
  await store.finishBulkLoad(target);
  const { config } = (
    JSON.parse(await rest('GET', `/collections/${name}-small`)) as { result: { config: object } }
  ).result;
  expect(config).toMatchObject({
    params: { vectors: { '': { hnsw_config: { full_scan_threshold: 100 } } } },
    optimizer_config: { indexing_threshold: 2000 },
    metadata: {
      'tldr-thresholds': JSON.stringify({
        indexing_threshold: { source: 8000, target: 2000 },
        vector_full_scan_threshold: { source: 400, target: 100 },
      }),
    },
  });
  if (Object.keys(hnsw).length === 0)
    expect(store.differences(target, await store.describe(target.name))).toEqual([]);
});

test('multivectors of two whole rows, which JSON cannot say, survive', async () => {
  await rest(
    'PUT',
    '/collections/multi',
    `{"vectors": {"": {"size": ${DIM}, "distance": "Cosine"}, "mv": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}}}`,
  );
  await rest(
    'PUT',
    '/collections/multi/points?wait=true',
    `{"points": [{"id": 1, "vector": {"": [${VECTOR}], "mv": [[1.0, 2.0], [3.0, 4.0]]}}]}`,
  );
  const request = {
    source: store,
    target: store,
    sourceCollection: 'multi',
    targetCollection: 'multi-small',
    layout: 'compact' as const,
    vectorName: '',
  };
  await migrateCollection({ ...request, encoder: tinyEncoder(), statePath: join(folder, 'multi.json') });
  expect(lossless(await rest('GET', '/collections/multi-small/points/1'), 'result', 'vector', 'mv')).toBe(
    '[[1.0,2.0],[3.0,4.0]]',
  );
  const managed = migrateCollection({
    ...request,
    vectorName: 'mv',
    targetCollection: 'x',
    encoder: tinyEncoder(),
    statePath: join(folder, 'x.json'),
  });
  await expect(managed).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  const spec = await store.describe('multi');
  const change = {
    name: 'x',
    layout: 'compact' as const,
    vectorName: 'mv',
    compactName: 'mv',
    compactDim: 1,
    compactDistance: 'dot' as const,
    metadata: {},
  };
  expect(() => store.deriveTarget(spec, change)).toThrow('multivector, which cannot be reduced yet');
});

test.each(['compact', 'two-stage'] as const)(
  'cosine vectors of two bytes, which the server rescales at every write, count as copied (%s)',
  async (layout) => {
    const [source, target] = [`halves-${layout}`, `halves-copy-${layout}`];
    const half = { distance: 'Cosine', datatype: 'float16' };
    const vectors = {
      full: { ...half, size: DIM },
      small: { ...half, size: 3 },
      rows: { ...half, size: 3, multivector_config: { comparator: 'max_sim' } },
    };
    await rest('PUT', `/collections/${source}`, JSON.stringify({ vectors }));
    const values = (n: number, seed: number): number[] =>
      Array.from({ length: n }, (_, i) => Math.sin(seed * 37.7 + i * 1.3) + 0.001);
    const points = Array.from({ length: 1500 }, (_, id) => ({
      id,
      vector: {
        full: values(DIM, id),
        small: values(3, id + 0.5),
        rows: [values(3, id), values(3, id + 0.1)],
      },
    }));
    await rest('PUT', `/collections/${source}/points?wait=true`, JSON.stringify({ points }));
    const options = {
      source: store,
      target: store,
      sourceCollection: source,
      targetCollection: target,
      vectorName: 'full',
      layout,
      encoder: tinyEncoder(),
      statePath: join(folder, `${target}.json`),
    };
    expect(await migrateCollection(options)).toMatchObject({ verify: { ok: true, points: 1500 } });
    const moved = [...values(2, 7), 0.4];
    const wrong = { points: [{ id: 7, vector: { small: moved } }] };
    await rest('PUT', `/collections/${target}/points/vectors?wait=true`, JSON.stringify(wrong));
    await expect(migrateCollection(options)).rejects.toMatchObject({
      message: expect.stringContaining('point 7: payload or another vector differs'),
    });
  },
);

test('verify finds a missing payload index, and the next run makes it', async () => {
  await rest('DELETE', '/collections/target-compact/index/price?wait=true');
  const run = {
    source: store,
    target: store,
    sourceCollection: 'source',
    targetCollection: 'target-compact',
    layout: 'compact' as const,
    vectorName: '',
  };
  const again = (): ReturnType<typeof migrateCollection> =>
    migrateCollection({ ...run, encoder: tinyEncoder(), statePath: join(folder, 'target-compact.json') });
  await expect(again()).rejects.toMatchObject({
    code: 'VERIFY_FAILED',
    message: expect.stringContaining('payload_schema.price'),
  });
  expect(await again()).toMatchObject({ verify: { ok: true } });
});

test('pages of a scan stay bounded, whatever the size of the payloads that follow', async () => {
  await rest('PUT', '/collections/large', `{"vectors": {"size": ${DIM}, "distance": "Cosine"}}`);
  const write = async (first: number, count: number, textBytes: number): Promise<void> => {
    const ids = Array.from({ length: count }, (_, i) => BigInt(first + i));
    const matrix = { rows: count, cols: DIM, data: Float32Array.from({ length: count * DIM }, Math.cos) };
    const point = store.codec.pack(`{"text":"${'x'.repeat(textBytes)}"}`);
    const points = ids.map(() => point);
    const has = new Uint8Array(count).fill(1);
    await store.upsert('large', { ids, vectors: [{ name: '', matrix, has }], extra: points });
  };
  // Pages of 32, 64 and 128 small points: the next one would be of 256, and of 96 MB.
  await write(0, 224, 1);
  for (let first = 224; first < 464; first += 20) await write(first, 20, 400_000);
  const seen: PointId[] = [];
  let largest = 0;
  for await (const batch of store.scan('large', { vectorName: '' })) {
    if (batch.ids.length > 1) largest = Math.max(largest, batch.sizeBytes);
    seen.push(...batch.ids);
  }
  expect(seen).toEqual(Array.from({ length: 464 }, (_, i) => BigInt(i)));
  expect(largest).toBeLessThanOrEqual(32 * 1024 ** 2);
  const some = await store.retrieve('large', seen.slice(200, 324), { vectorName: '' });
  expect(some.ids).toHaveLength(124);
});
