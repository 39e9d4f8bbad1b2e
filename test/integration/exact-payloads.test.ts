import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Grpc } from '../../adapters/qdrant/grpc.js';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { DEFAULT_RETRY } from '../../adapters/qdrant/retry.js';
import type { VectorStore } from '../../src/core/vector-store.js';
import { migrateCollection } from '../../src/migrate/migrate-collection.js';
import { PointSync } from '../../src/migrate/point-sync.js';
import { contentOf, DIM, tinyEncoder } from '../migrate/fixtures.js';
import { fetchOnce } from './fetch-once.js';
import { startTestServer, testsOn, type TestServer } from './test-server.js';

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
];

let server: TestServer;
let store: VectorStore;
let folder: string;

async function rest(method: string, path: string, body?: string): Promise<string> {
  const response = await fetchOnce(server.url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return text;
}

async function put(collection: string, id: number, payload: string): Promise<void> {
  const points = `{"points":[{"id":${id},"vector":${VECTOR},"payload":${payload}}]}`;
  await rest('PUT', `/collections/${collection}/points?wait=true`, points);
}

/** What a point's payload reads as over REST, as text. */
async function payloadText(collection: string, id: number): Promise<string> {
  const text = await rest('GET', `/collections/${collection}/points/${id}`);
  return /"payload":(.*?)(,"vector"|\},"status")/s.exec(text)?.[1] ?? '';
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
    ...{ sourceCollection, targetCollection, vectorName, layout },
    encoder: tinyEncoder(),
    recordPath: join(folder, `${layout}.json`),
  });
  expect(report.verify).toMatchObject({ ok: true, points: PAYLOADS.length });
  for (const id of PAYLOADS.keys())
    expect(await payloadText(targetCollection, id)).toBe(await payloadText(sourceCollection, id));
  expect(await payloadText(targetCollection, 1)).toContain('18446744073709551614');
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
      ...{ sourceCollection, targetCollection, vectorName },
      ...{ layout: 'compact', compactName: '', encoderFingerprint: tinyEncoder().fingerprint },
      ...{ sourceEndpoint: store.endpoint, targetEndpoint: store.endpoint },
    },
    componentBytes: 4,
    shardKeys: [],
  });
  await sync.sync([100n, 101n]);
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
    Buffer.from(store.canonicalRest(rest ?? new Uint8Array(0))).toString();
  expect(canonical(source.rest[0])).toContain('18446744073709551614');
  expect(canonical(target.rest[0])).toContain('18446744073709551615');
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
