import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { fill } from '../../support/migrate/fixtures.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** A field that the relay takes out of the answers to requests for a path. */
interface Removal {
  readonly path: RegExp;
  readonly field: string;
}

let server: TestServer;
let relay: Server;
let store: QdrantStore;
let removal: Removal | null = null;

/** Removes a field from an answer, wherever it stands, as a gateway or another kind of server might. */
function without(text: string, field: string): string {
  return JSON.stringify(JSON.parse(text, (key, value: unknown) => (key === field ? undefined : value)));
}

beforeAll(async () => {
  server = await startTestServer();
  relay = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url = '', method = 'GET' } = request;
      const body = chunks.length === 0 ? {} : { body: Buffer.concat(chunks).toString() };
      const headers = { 'content-type': 'application/json' };
      void fetchOnce(server.url + url, { method, headers, ...body }).then(async (answer) => {
        const text = await answer.text();
        const changed = removal?.path.test(url) === true ? without(text, removal.field) : text;
        response.writeHead(answer.status, headers).end(changed);
      });
    });
  });
  await new Promise<void>((done) => relay.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
  store = await openQdrant({ url, grpcUrl: server.grpcUrl });
  await fetchOnce(`${server.url}/collections/incomplete`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vectors: { size: 16, distance: 'Cosine' } }),
  });
  await fill(store, 'incomplete', 12);
  await store.names.switch('incomplete-alias', 'incomplete');
});

afterAll(async () => {
  removal = null;
  await store.names.drop('incomplete-alias');
  await store.drop('incomplete');
  await store.close();
  relay.closeAllConnections();
  await new Promise((done) => relay.close(done));
  await server.stop();
});

async function versions(): Promise<number> {
  let seen = 0;
  for await (const { ids } of (await store.changes.versions('incomplete')) ?? []) seen += ids.length;
  return seen;
}

const search = { vectorName: '', vector: new Float32Array(16).fill(1), limit: 3 };

describe('an answer that lacks what every Qdrant gives is an error, never a value', () => {
  test.each<[string, Removal, () => Promise<unknown>]>([
    ['the id of a point', { path: /points\/scroll/, field: 'id' }, versions],
    ['the points of a page', { path: /points\/scroll/, field: 'points' }, versions],
    ['the version of a point', { path: /points\/query/, field: 'version' }, versions],
    ['the id of a shard', { path: /\/cluster/, field: 'shard_id' }, versions],
    ['the shards elsewhere', { path: /\/cluster/, field: 'remote_shards' }, versions],
    [
      'the score of a point',
      { path: /points\/query/, field: 'score' },
      () => store.search('incomplete', search),
    ],
    [
      'the points found',
      { path: /points\/query/, field: 'points' },
      () => store.search('incomplete', search),
    ],
    ['the time', { path: /points\/query/, field: 'time' }, () => store.load.timeSearch('incomplete', search)],
    ['a count', { path: /points\/count/, field: 'count' }, () => store.count('incomplete')],
    ['the names', { path: /\/collections$/, field: 'name' }, () => store.listCollections()],
    ['the collections', { path: /\/collections$/, field: 'collections' }, () => store.listCollections()],
    ['an alias', { path: /\/aliases/, field: 'alias_name' }, () => store.names.all()],
    ["an alias's collection", { path: /\/aliases/, field: 'collection_name' }, () => store.names.all()],
    ['whether it exists', { path: /\/exists/, field: 'exists' }, () => store.exists('incomplete')],
    ['the settings', { path: /\/incomplete$/, field: 'config' }, () => store.describe('incomplete')],
  ])('%s', async (_what, removed, ask) => {
    removal = null;
    await ask();
    removal = removed;
    const message =
      removed.field === 'id' ? /a point without an id/ : new RegExp(`has no \\w+ "${removed.field}"`);
    await expect(ask()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(message),
    });
    removal = null;
  });
});
