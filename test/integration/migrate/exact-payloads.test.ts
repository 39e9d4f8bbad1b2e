import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Grpc } from '../../../adapters/qdrant/transport/grpc.js';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { DEFAULT_RETRY } from '../../../adapters/qdrant/transport/retry.js';
import { doubleReadAs } from '../../../adapters/qdrant/transport/server-rounding.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { PointSync } from '../../../src/migrate/dual-write/point-sync.js';
import { repairPoints } from '../../../src/migrate/points/repair-points.js';
import { verifyMigration } from '../../../src/migrate/verify/all-points.js';
import { contentOf, DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { encodeRequest } from '../../support/wire/grpc-schemas.js';
import { copyOnce } from '../../support/server/copy-once.js';
import { fieldOf, readExactJson, textOf } from '../../support/store/exact-json.js';
import { restText } from '../../support/server/rest-text.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const VECTOR = `[${Array.from({ length: DIM }, (_, i) => Math.sin(i + 1)).join()}]`;
/** Payloads that gRPC cannot carry, in the server's own form. */
const PAYLOADS = [
  '{"h":9223372036854775808}',
  '{"h":18446744073709551614,"price":1.0,"text":"漢字"}',
  '{"a":{"list":[1,12345678901234567890,{"b":18446744073709551615}]}}',
  `{"deep":${'{"a":'.repeat(34)}1${'}'.repeat(34)}}`,
  `{"deep":${'['.repeat(80)}1${']'.repeat(80)}}`,
  '{"plain":9223372036854775807,"float":1e19}',
  '{"__proto__":{"h":18446744073709551615},"a\\"b":[-0.0,1.0,1e-7]}',
  '{"h":9223372036854775808,"n":[942.3225445592973,2.2492293024185318e-7,123456789012345678901234567890,1E5]}',
  // The server reads these doubles as others each time that they are written.
  '{"n":[-1.3276565950966184e+79,2.2492293024185318e-7,1.1722020013139158e-7]}',
  `{"deep":${nested(123)}}`,
];

function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}18446744073709551615${'}'.repeat(depth)}`;
}

let server: TestServer;
let store: QdrantStore;
let folder: string;

const rest = (method: string, path: string, body?: string): Promise<string> =>
  restText(server, method, path, body);

async function put(collection: string, id: number, payload: string): Promise<void> {
  const points = `{"points":[{"id":${id},"vector":${VECTOR},"payload":${payload}}]}`;
  await rest('PUT', `/collections/${collection}/points?wait=true`, points);
}

/** What a point's payload reads as over REST, as text with sorted keys. */
async function payloadText(collection: string, id: number): Promise<string> {
  const answer = readExactJson(await rest('GET', `/collections/${collection}/points/${id}`));
  return textOf(fieldOf(fieldOf(answer, 'result'), 'payload'));
}

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-exact-'));
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

const place = (layout: string) => ({
  sourceCollection: `source-${layout}`,
  targetCollection: `target-${layout}`,
  vectorName: '',
});

test.each(['compact', 'two-stage'] as const)('%s: every payload value survives', async (layout) => {
  const { sourceCollection, targetCollection, vectorName } = place(layout);
  await rest('PUT', `/collections/${sourceCollection}`, `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
  for (const [id, payload] of PAYLOADS.entries()) await put(sourceCollection, id, payload);
  const report = await migrateCollection({
    source: store,
    target: store,
    sourceCollection,
    targetCollection,
    vectorName,
    layout,
    encoder: tinyEncoder(),
    statePath: join(folder, `${layout}.json`),
  });
  expect(report.verify).toMatchObject({ ok: true, points: PAYLOADS.length });
  for (const id of PAYLOADS.keys())
    expect(await payloadText(targetCollection, id)).toBe(await payloadText(sourceCollection, id));
  expect(await payloadText(targetCollection, 1)).toContain('18446744073709551614');
});

test.each(['compact', 'two-stage'] as const)(
  '%s: a payload as deep as the server keeps it',
  async (layout) => {
    const vectorName = '';
    const [sourceCollection, targetCollection] = [`deep-${layout}`, `deep-copy-${layout}`];
    await rest('PUT', `/collections/${sourceCollection}`, `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
    for (const id of [1, 2, 3]) await put(sourceCollection, id, '{}');
    const path = `/collections/${sourceCollection}/points/payload?wait=true`;
    await rest('PUT', path, `{"points":[2],"payload":${nested(126)}}`);
    const migrate = (file: string) =>
      migrateCollection({
        source: store,
        target: store,
        sourceCollection,
        targetCollection,
        vectorName,
        layout,
        encoder: tinyEncoder(),
        statePath: join(folder, file),
      });
    expect((await migrate(`deep-${layout}.json`)).verify).toMatchObject({ ok: true, points: 3 });
    expect(await payloadText(targetCollection, 2)).toBe(await payloadText(sourceCollection, 2));
    // With a key the server keeps a payload that is one deeper than it takes in a request.
    await rest('POST', path, `{"points":[3],"payload":${nested(126)},"key":"k"}`);
    await rest('DELETE', `/collections/${targetCollection}`);
    await expect(migrate(`deeper-${layout}.json`)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringMatching(/point 3 .*nested 127 deep/),
    });
  },
);

test('a copy by native products and a repair keep every payload value', async () => {
  const [sourceCollection, targetCollection] = ['kept', 'kept-copy'];
  await rest('PUT', `/collections/${sourceCollection}`, `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
  for (const [id, payload] of PAYLOADS.entries()) await put(sourceCollection, id, payload);
  const path = `/collections/${sourceCollection}/points/payload?wait=true`;
  await rest('PUT', path, `{"points":[0],"payload":${nested(126)}}`);
  const sides = { source: store, target: store, encoder: tinyEncoder() };
  const plan = await planMigration({ ...sides, sourceCollection, targetCollection, layout: 'compact' });
  const isEqual = async (): Promise<void> => {
    for (const id of PAYLOADS.keys())
      expect(await payloadText(targetCollection, id)).toBe(await payloadText(sourceCollection, id));
    expect((await verifyMigration(plan, sides)).differences).toEqual([]);
  };
  await copyOnce({ plan: { ...plan, points: 1_000_000 }, store, encoder: tinyEncoder(), batchSize: 4 });
  await isEqual();
  const spoil = (method: string, path: string, body: string): Promise<string> =>
    rest(method, `/collections/${targetCollection}/points/${path}?wait=true`, body);
  await spoil('POST', 'payload/clear', '{"points":[0]}');
  await spoil('POST', 'payload', '{"points":[1],"payload":{"h":18446744073709551615}}');
  await spoil('POST', 'delete', '{"points":[3,8]}');
  expect(await repairPoints(plan, sides)).toBe(4);
  await isEqual();
});

test('doubles that no decimal text stands for are carried as well', async () => {
  const [sourceCollection, targetCollection] = ['doubles', 'doubles-copy'];
  const payload =
    '{"n":[7.3661085030116375e-9,-1.8585327068119105e-9,7.822756879300719e-22,1.8742913470388186e199,1.0,-0.0]}';
  await rest('PUT', `/collections/${sourceCollection}`, `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
  await put(sourceCollection, 1, '{}');
  const written = await store.retrieve(sourceCollection, [1n], { vectorName: '' });
  await store.upsert(sourceCollection, {
    ids: [1n],
    vectors: [{ name: '', matrix: written.vectors, has: written.hasVector }],
    extra: [store.codec.pack(payload)],
  });
  // The server writes its own exponents.
  const numbers = async (collection: string): Promise<unknown> =>
    JSON.parse(await payloadText(collection, 1)) as unknown;
  expect(await numbers(sourceCollection)).toEqual(JSON.parse(payload));
  const sides = { source: store, target: store, encoder: tinyEncoder() };
  const collections = { sourceCollection, targetCollection, layout: 'compact' } as const;
  const report = await migrateCollection({ ...sides, ...collections, statePath: join(folder, 'd.json') });
  expect(report.verify).toMatchObject({ ok: true, points: 1 });
  expect(await numbers(targetCollection)).toEqual(JSON.parse(payload));
});

test('values that only REST carries and values that only gRPC carries survive in one payload', async () => {
  const sourceCollection = 'mixed';
  const empty = '"null":null,"object":{},"array":[],"inner":{"null":null,"list":[null]}';
  const payloads = [
    `{"h":18446744073709551615,"a":{"b":[9223372036854775808,1.0]},"deep":${nested(125)}}`,
    `{"h":18446744073709551615,"deep":${nested(125)},${empty}}`,
    `{"h":18446744073709551615,"deep":${nested(40)},${empty}}`,
    `{"h":9223372036854775808,"null":null}`,
    `{"null":null,"other":null,"object":{"h":[18446744073709551615,null]},"array":[]}`,
  ];
  await rest('PUT', `/collections/${sourceCollection}`, `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
  await put(sourceCollection, 0, '{"h":18446744073709551614}');
  const grpc = new PlainGrpc(server.grpcUrl);
  // No decimal text stands for some of these.
  const double = (value: number) => ({ doubleValue: doubleReadAs(value) });
  const list = { values: [double(7.3661085030116375e-9), double(-1.8585327068119105e-9)] };
  const payload = { n: { listValue: list }, unstable: double(942.3225445592973), one: double(1) };
  for (const [i, others] of payloads.entries()) {
    await put(sourceCollection, i + 1, '{}');
    const path = `/collections/${sourceCollection}/points/payload?wait=true`;
    await rest('PUT', path, `{"points":[${i + 1}],"payload":${others}}`);
    const message = encodeRequest('Points/SetPayload', {
      collectionName: sourceCollection,
      wait: true,
      payload,
      pointsSelector: { points: { ids: [{ num: String(i + 1) }] } },
    });
    expect(await grpc.call({ path: '/qdrant.Points/SetPayload', message })).toMatchObject({ code: 0 });
    const stored = Object.keys(JSON.parse(await payloadText(sourceCollection, i + 1)) as object);
    expect(stored.sort()).toEqual(
      [...Object.keys(JSON.parse(others) as object), ...Object.keys(payload)].sort(),
    );
  }
  grpc.close();
  expect(await payloadText(sourceCollection, 1)).toMatch(
    /"h":18446744073709551615,"n":\[7.3661085030116375e-9,/,
  );
  const sides = { source: store, target: store, encoder: tinyEncoder() };
  const targetCollection = 'mixed-copy';
  const collections = { sourceCollection, targetCollection, layout: 'compact' } as const;
  const report = await migrateCollection({ ...sides, ...collections, statePath: join(folder, 'm.json') });
  expect(report.verify).toMatchObject({ ok: true, points: 1 + payloads.length });
  for (const id of [0, ...payloads.map((_, i) => i + 1)])
    expect(await payloadText(targetCollection, id)).toBe(await payloadText(sourceCollection, id));
  expect(await payloadText(targetCollection, 1)).toContain('18446744073709551615');
});

test('points with other vectors are written as a whole, or not at all', async () => {
  const options = { vectorName: '' };
  for (const name of ['all', 'all-copy']) {
    await rest(
      'PUT',
      `/collections/${name}`,
      `{"vectors":{"":{"size":${DIM},"distance":"Dot"},"multi":{"size":2,"distance":"Dot","multivector_config":{"comparator":"max_sim"}}},"sparse_vectors":{"words":{}}}`,
    );
  }
  const vectors = `{"":${VECTOR},"multi":[[1.5,2.0],[3.0,4.0],[5.0,6.0]],"words":{"indices":[7,4294967295],"values":[0.5,1.25]}}`;
  const point = (n: string): string => `{"id":1,"vector":${vectors},"payload":{"h":${n}}}`;
  const write = (name: string, n: string): Promise<string> =>
    rest('PUT', `/collections/${name}/points?wait=true`, `{"points":[${point(n)}]}`);
  await write('all', '18446744073709551615');
  const found = await store.retrieve('all', [1n], options);
  const batch = {
    ids: found.ids,
    vectors: [{ name: '', matrix: found.vectors, has: found.hasVector }],
    extra: found.extra,
  };
  await store.upsert('all-copy', batch);
  const pointText = async (name: string): Promise<string> =>
    (await rest('GET', `/collections/${name}/points/1`)).replace(/,"time":[^}]*/, '');
  const sorted = (text: string): string => Array.from(text).sort().join('');
  expect(sorted(await pointText('all-copy'))).toBe(sorted(await pointText('all')));
});

test('a point is never seen without its payload while it is written again', async () => {
  await rest('PUT', '/collections/seen', `{"vectors":{"size":${DIM},"distance":"Cosine"}}`);
  await put('seen', 1, '{"h":18446744073709551615}');
  const found = await store.retrieve('seen', [1n], { vectorName: '' });
  const batch = {
    ids: found.ids,
    vectors: [{ name: '', matrix: found.vectors, has: found.hasVector }],
    extra: found.extra,
  };
  const seen = new Set<string>();
  const writes = { done: false };
  const written = (async () => {
    for (let i = 0; i < 200; i++) await store.upsert('seen', batch);
    writes.done = true;
  })();
  while (!writes.done) seen.add(await payloadText('seen', 1));
  await written;
  expect([...seen]).toEqual(['{"h":18446744073709551615}']);
});

test('a followed write keeps every payload value, beside a point that gRPC refuses', async () => {
  const { sourceCollection, targetCollection, vectorName } = place('compact');
  await put(sourceCollection, 100, '{"h":13835058055282163713}');
  await put(sourceCollection, 101, `{"deep":${'{"a":'.repeat(60)}1${'}'.repeat(60)}}`);
  const sync = new PointSync({
    source: store,
    target: store,
    encoder: tinyEncoder(),
    identity: {
      sourceCollection,
      targetCollection,
      vectorName,
      layout: 'compact',
      compactName: '',
      encoderFingerprint: tinyEncoder().fingerprint,
      sourceEndpoint: store.endpoint,
      targetEndpoint: store.endpoint,
    },
    leftOut: null,
    componentBytes: 4,
    partitions: [],
  });
  expect(await sync.sync([100n, 101n])).toBeNull();
  await sync.stop();
  for (const id of [100, 101])
    expect(await payloadText(targetCollection, id)).toBe(await payloadText(sourceCollection, id));
});

test('two integers that one double stands for are told apart', async () => {
  const { sourceCollection, targetCollection } = place('compact');
  await rest(
    'POST',
    `/collections/${targetCollection}/points/payload?wait=true`,
    '{"payload":{"h":18446744073709551615},"points":[1]}',
  );
  const payloads = (content: unknown): string => JSON.stringify(content);
  expect(payloads(await contentOf(store, targetCollection))).not.toBe(
    payloads(await contentOf(store, sourceCollection)),
  );
  const options = { vectorName: '' };
  const [source, target] = [
    await store.retrieve(sourceCollection, [1n], options),
    await store.retrieve(targetCollection, [1n], options),
  ];
  const canonical = (rest: Uint8Array | undefined): string =>
    Buffer.from(store.codec.canonical(rest ?? new Uint8Array(0))).toString();
  expect(canonical(source.extra[0])).toContain('18446744073709551614');
  expect(canonical(target.extra[0])).toContain('18446744073709551615');
});

test('a message that the server cannot read is refused for good, not taken for an outage', async () => {
  const grpc = new Grpc({
    url: server.grpcUrl,
    apiKey: undefined,
    timeoutMs: 60_000,
    retry: DEFAULT_RETRY,
    log: undefined,
    refused: () => undefined,
  });
  try {
    await expect(grpc.call('Points/Upsert', Uint8Array.from([0x0a, 0x7f]))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  } finally {
    grpc.close();
  }
});
