import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QdrantClient } from '@qdrant/js-client-rest';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withProjection } from '../../../adapters/qdrant/client/with-projection.js';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { readReport, writeDesiredState } from '../../../src/migrate/dual-write/proxy-state-files.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { copyOnce } from '../../support/server/copy-once.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { startTestProxy, type TestProxy } from '../../support/serve/proxy-fixture.js';
import {
  startRedirectingUpstream,
  type RedirectingUpstream,
} from '../../support/serve/redirecting-upstream.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('configured');
const KEY = 'correct-horse-battery';
const STATUSES = [301, 302, 303, 307, 308];
const vector = Array.from({ length: DIM }, (_, i) => i + 1);
const encoder = tinyEncoder();
const closing: (() => Promise<void>)[] = [];

afterAll(async () => {
  endServing();
  for (const close of closing.reverse()) await close();
});

interface Answer {
  readonly status: number;
  readonly location: string | null;
  readonly text: string;
}

/** Asks once, with the key; nothing is followed. */
async function ask(url: string, request: string, body?: string): Promise<Answer> {
  const [method = '', path = ''] = request.split(' ');
  const headers = { 'api-key': KEY, ...(body !== undefined && { 'content-type': 'application/json' }) };
  const sent = { method, headers, redirect: 'manual' as const, ...(body !== undefined && { body }) };
  const response = await fetchOnce(url + path, sent);
  return {
    status: response.status,
    location: response.headers.get('location'),
    text: await response.text(),
  };
}

const LARGE = JSON.stringify({ points: [{ id: 1, vector, payload: { text: 'x'.repeat(3_000_000) } }] });
const REQUESTS: readonly (readonly [string, string, string?])[] = [
  ['a request that passes', 'GET /collections/other'],
  ['a write that passes', 'PUT /collections/other/points', '{"points":[]}'],
  ['a large body that passes', 'PUT /collections/other/points', LARGE],
  ['a list of collections, whose answer is rewritten', 'GET /collections'],
  ['a description of a served collection', 'GET /collections/served'],
  [
    'a search of a served collection',
    'POST /collections/served/points/query',
    JSON.stringify({ query: vector }),
  ],
  [
    'a lookup for a search',
    'POST /collections/served/points/query',
    '{"query":1,"lookup_from":{"collection":"other"}}',
  ],
  [
    'a write to a served collection',
    'PUT /collections/served/points',
    JSON.stringify({ points: [{ id: 1, vector }] }),
  ],
];

describe('a server that redirects, behind the proxy', () => {
  let upstream: RedirectingUpstream;
  let proxy: TestProxy;
  beforeAll(async () => {
    upstream = await startRedirectingUpstream();
    const { url, grpcUrl } = upstream;
    const shadow = {
      share: 1,
      seed: 1,
      repeatAt: (path: string) => ({ collection: 'served', url: path.replace('served', 'full') }),
      repeatCall: () => null,
    };
    proxy = await startTestProxy({ url, grpcUrl, shadow });
    closing.push(upstream.close, () => proxy.proxy.close());
  });

  test.each(STATUSES)('status %i: clients get 502, which says where it points', async (status) => {
    upstream.use(() => status);
    for (const [, request, body] of REQUESTS) {
      const answer = await ask(proxy.url, request, body);
      expect({ request, ...answer }).toMatchObject({ request, status: 502, location: null });
      expect(answer.text).toContain(upstream.elsewhere);
      expect(answer.text).toContain('the setting url');
    }
    expect((await ask(proxy.url, 'HEAD /collections/other')).status).toBe(502);
    expect(upstream.heard).toEqual([]);
    expect(await proxy.proxy.ready()).toBe(false);
  });

  test('a redirect to a path of the same server is refused, too; an unchanged answer passes', async () => {
    upstream.use(() => 308, '');
    for (const [, request, body] of REQUESTS)
      expect(await ask(proxy.url, request, body)).toMatchObject({ status: 502, location: null });
    upstream.use(() => 304);
    expect((await ask(proxy.url, 'GET /dashboard/index.html')).status).toBe(304);
  });

  test('the search that is repeated for --shadow goes nowhere else', async () => {
    upstream.use(({ url }) => (url?.includes('/full/') === true ? 307 : null));
    const [, , search] = REQUESTS.filter(([name]) => name === 'a search of a served collection')[0] ?? [];
    expect((await ask(proxy.url, 'POST /collections/served/points/query', search)).status).toBe(200);
    while (!upstream.asked.some((path) => path.includes('/full/')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    upstream.use(() => null);
    expect(await proxy.proxy.ready()).toBe(true);
    expect(upstream.heard).toEqual([]);
  });

  test('over gRPC clients get UNAVAILABLE, which says where it points', async () => {
    const grpc = new PlainGrpc(proxy.grpcUrl);
    const nearest = { nearest: { dense: { data: vector } } };
    const calls = [
      ['Points/Get', { collectionName: 'other' }],
      ['Collections/List', {}],
      ['Points/Query', { collectionName: 'served', query: nearest }],
      ['Points/Count', { collectionName: 'served' }],
      [
        'Points/Query',
        {
          collectionName: 'served',
          query: { nearest: { id: { num: '1' } } },
          lookupFrom: { collectionName: 'other' },
        },
      ],
    ] as const;
    for (const [method, json] of calls) {
      const message = encodeRequest(method, json);
      const answer = await grpc.call({ path: pathOf(method), message }, { 'api-key': KEY });
      expect({ method, ...answer }).toMatchObject({ method, code: 14 });
      expect(answer.text).toContain(upstream.elsewhere);
      expect(answer.text).toContain('the setting grpcUrl');
    }
    grpc.close();
    expect(upstream.heard).toEqual([]);
  });
});

describe('a server that redirects', () => {
  let server: TestServer;
  let store: QdrantStore;
  let upstream: RedirectingUpstream;
  let folder: string;
  beforeAll(async () => {
    server = await startTestServer({ QDRANT__SERVICE__API_KEY: KEY });
    store = await openQdrant({ ...server, apiKey: KEY });
    upstream = await startRedirectingUpstream(server.url);
    folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-redirects-'));
    closing.push(
      () => rm(folder, { recursive: true }),
      server.stop,
      () => store.close(),
      upstream.close,
    );
    await store.create({
      name: 'docs',
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } } }),
    });
    await fill(store, 'docs', 40);
    const names = { sourceCollection: 'docs', targetCollection: 'docs_2s' };
    const plan = await planMigration({
      source: store,
      target: store,
      ...names,
      encoder,
      layout: 'two-stage',
    });
    await copyOnce({ plan, store, encoder, batchSize: 8 });
  });

  test('the adapter says over gRPC where it points', async () => {
    const { url, grpcUrl, elsewhere } = upstream;
    await expect(openQdrant({ url, grpcUrl, apiKey: KEY })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: 'grpc-address',
      message: expect.stringContaining(elsewhere),
    });
    expect(upstream.heard).toEqual([]);
  });

  test('the wrapped official client follows none, nor does its wrapping', async () => {
    const plain = new QdrantClient({ url: upstream.url, apiKey: KEY, checkCompatibility: false });
    const collections = { docs: { target: 'docs_2s', encoder } };
    const refused = {
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(new RegExp(`${upstream.elsewhere}.*QdrantClient`)),
    };
    for (const status of STATUSES) {
      for (const part of ['/aliases', '/collections/docs_2s']) {
        upstream.use(({ url }) => (url === part ? status : null));
        await expect(withProjection(plain, { collections })).rejects.toMatchObject(refused);
      }
      upstream.use(() => null);
      const client = await withProjection(plain, { collections });
      expect((await client.query('docs', { query: vector, limit: 3 })).points).toHaveLength(3);
      upstream.use(() => status);
      const calls = [
        () => client.query('docs', { query: vector }),
        () => client.upsert('docs', { points: [{ id: 1, vector }] }),
        () => client.getCollections(),
        () => client.getCollection('docs'),
        () => client.count('other'),
        () => client.query('docs', { query: 1, lookup_from: { collection: 'other' } }),
        () => client.versionInfo(),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject(refused);
    }
    expect(upstream.heard).toEqual([]);
  });

  test('a followed write: its permission, the names and the write itself go nowhere else', async () => {
    await encoder.save(join(folder, 'encoder.onnx'));
    const any = '127.0.0.1:0';
    const migrating = { source: 'docs', journal: 'journal' };
    const config = {
      url: upstream.url,
      grpcUrl: server.grpcUrl,
      listenRest: any,
      listenGrpc: any,
      listenOperations: any,
      collections: { docs: { target: 'docs_2s', encoder: 'encoder.onnx', migrating } },
    };
    upstream.use(() => null);
    await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
    const serving: Serving = await startServe(folder, [], { env: { QDRANT_API_KEY: KEY } });
    await writeDesiredState(join(folder, 'journal'), { state: 'copied', side: 'source' });
    for (;;) {
      const report = await readReport(join(folder, 'journal'));
      if (report?.state === 'copied' && report.caughtUp) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const write = (): Promise<Answer> =>
      ask(
        serving.rest,
        'PUT /collections/docs/points?wait=true',
        JSON.stringify({ points: [{ id: 1, vector }] }),
      );
    expect((await write()).status).toBe(200);
    const modes = [
      /** All that is asked about points: the first is the question for permission. */
      (path: string) => path.includes('/points'),
      (path: string) => path.startsWith('/aliases'),
      () => true,
    ];
    for (const mode of modes) {
      upstream.use(({ url = '' }) => (mode(url) ? 307 : null));
      const answer = await write();
      expect(answer).toMatchObject({ status: 502, location: null });
      expect(answer.text).toContain(upstream.elsewhere);
    }
    upstream.use(() => null);
    expect((await write()).status).toBe(200);
    expect(upstream.heard).toEqual([]);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });
});
