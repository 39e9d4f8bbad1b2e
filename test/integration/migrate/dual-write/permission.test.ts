import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../../adapters/qdrant/index.js';
import { readReport, writeDesiredState } from '../../../../src/migrate/dual-write/proxy-state-files.js';
import { planMigration } from '../../../../src/migrate/plan/migration.js';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { contentOf, DIM, fill, tinyEncoder } from '../../../support/migrate/fixtures.js';
import {
  EVERY,
  GRPC,
  grpcPermission,
  REST,
  restPermission,
  vector,
} from '../../../support/migrate/every-form-of-write.js';
import { copyOnce } from '../../../support/server/copy-once.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { PlainGrpc } from '../../../support/server/grpc-call.js';
import { startRecordingRelay, type RecordingRelay } from '../../../support/serve/recording-relay.js';
import { endServing, startServe, type Serving } from '../../../support/serve/serve-child.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('configured');
const KEY = 'correct-horse-battery';
const READ_ONLY_KEY = 'only-for-reading';
const encoder = tinyEncoder();

/** A token as the server takes it. */
function token(claims: object): string {
  const part = (json: object): string => Buffer.from(JSON.stringify(json)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', KEY).update(text).digest('base64url')}`;
}

const on = (collection: string, access: string): string => token({ access: [{ collection, access }] });
const REFUSED: Readonly<Record<string, string>> = {
  none: '',
  'a wrong key': 'guess',
  'the key for reading': READ_ONLY_KEY,
  'a token for reading': on('docs', 'r'),
  'a token of another collection': on('other', 'rw'),
  'a token that ended': token({ access: 'm', exp: 1 }),
};
const TAKEN: Readonly<Record<string, string>> = {
  'the key': KEY,
  'a token of the source': on('docs', 'rw'),
  'a token of the alias alone': on('live', 'rw'),
};

const SOURCE_NAMES = ['docs', 'live'];
const ALIASES = 'GET /aliases';

let server: TestServer;
/** Stands between the proxy and the server. */
let relay: RecordingRelay;
let store: QdrantStore;
let folder: string;
let serving: Serving;
let direct: PlainGrpc;
let proxied: PlainGrpc;

async function writeRest(
  url: string,
  [route, body]: (typeof REST)[number],
  { key, name = 'live' }: { readonly key: string; readonly name?: string },
): Promise<string> {
  const [method = '', below = ''] = route.split(' ');
  const answer = await fetchOnce(`${url}/collections/${name}/${below}?wait=true`, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...(key !== '' && { 'api-key': key }) },
  });
  return `${answer.status} ${(await answer.text()).replace(/"time":[^}]*/, '')}`;
}

async function writeGrpc(
  at: PlainGrpc,
  [method, json]: (typeof GRPC)[number],
  { key, name = 'live' }: { readonly key: string; readonly name?: string },
): Promise<string> {
  const message = encodeRequest(method, { ...json, collectionName: name, wait: true });
  const { code, text } = await at.call(
    { path: pathOf(method), message },
    key === '' ? {} : { 'api-key': key },
  );
  return `${code} ${text}`;
}

/** A request of which only the head was sent. */
function begin(request: string, headers: Readonly<Record<string, string | number>>): ClientRequest {
  const [method = '', path = ''] = request.split(' ');
  const begun = httpRequest(`${serving.rest}${path}`, { method, headers, agent: false });
  // What the server does not want may break off.
  begun.on('error', () => undefined);
  begun.flushHeaders();
  return begun;
}

async function answerTo(request: ClientRequest): Promise<string> {
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return `${answer.statusCode} ${text}`;
}

/** At the server itself. */
async function pointAlias(alias: string, collection: string): Promise<void> {
  const { status } = await fetchOnce(`${server.url}/collections/aliases`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'api-key': KEY },
    body: JSON.stringify({
      actions: [{ create_alias: { collection_name: collection, alias_name: alias } }],
    }),
  });
  expect(status).toBe(200);
}

/**
 * Expects that the server saw one write that only asks for permission, by the source's own name, and perhaps a second
 * by the alias; and beside them readings of the aliases by the proxy.
 */
function expectPermissionAlone(key: string, [own, byAlias]: readonly unknown[][]): void {
  const seen = relay.take().filter((one) => one.key !== KEY || one.what !== ALIASES);
  const asked = seen.map((one) => [one.what, one.body.toString('latin1')]);
  expect(seen.map((one) => one.key)).toEqual(asked.map(() => key));
  expect(asked).toEqual(asked.length === 1 ? [own] : [own, byAlias]);
}

/** Everything that a write could leave behind. */
async function standing(): Promise<unknown> {
  const journal = await readFile(join(folder, 'journal', 'writes.journal'));
  return [journal.toString('hex'), await contentOf(store, 'docs'), await contentOf(store, 'docs_2s')];
}

beforeAll(async () => {
  server = await startTestServer({
    QDRANT__SERVICE__API_KEY: KEY,
    QDRANT__SERVICE__READ_ONLY_API_KEY: READ_ONLY_KEY,
    QDRANT__SERVICE__JWT_RBAC: 'true',
  });
  relay = await startRecordingRelay(server);
  store = await openQdrant({ ...server, apiKey: KEY });
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-permission-'));
  for (const name of ['docs', 'other'])
    await store.create({
      name,
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({
        params: { vectors: { size: DIM, distance: 'Cosine' } },
        optimizer_config: {},
      }),
    });
  await fill(store, 'docs', 40);
  await fetchOnce(`${server.url}/collections/aliases`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'api-key': KEY },
    body: JSON.stringify({
      actions: [
        { create_alias: { collection_name: 'docs', alias_name: 'live' } },
        { create_alias: { collection_name: 'other', alias_name: 'aside' } },
      ],
    }),
  });
  const names = { sourceCollection: 'docs', targetCollection: 'docs_2s' };
  const plan = await planMigration({ source: store, target: store, ...names, encoder, layout: 'two-stage' });
  await copyOnce({ plan, store, encoder, batchSize: 8 });
  await encoder.save(join(folder, 'encoder.onnx'));
  const any = '127.0.0.1:0';
  const config = {
    url: relay.url,
    grpcUrl: relay.grpcUrl,
    listenRest: any,
    listenGrpc: any,
    listenOperations: any,
    collections: {
      live: {
        target: 'docs_2s',
        encoder: 'encoder.onnx',
        migrating: { source: 'docs', journal: 'journal' },
      },
    },
  };
  await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
  serving = await startServe(folder, [], { env: { QDRANT_API_KEY: KEY } });
  await writeDesiredState(join(folder, 'journal'), { state: 'copied', side: 'source' });
  for (;;) {
    const report = await readReport(join(folder, 'journal'));
    if (report?.state === 'copied' && report.caughtUp) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  direct = new PlainGrpc(server.grpcUrl);
  proxied = new PlainGrpc(serving.grpc);
});

afterAll(async () => {
  direct.close();
  proxied.close();
  endServing();
  await relay.close();
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

describe('writes to a collection that is migrated, and who may make them', () => {
  test.each(Object.entries(REFUSED))(
    '%s: refused as by the server, and nothing is left',
    async (_name, key) => {
      const before = await standing();
      for (const write of REST) {
        const said = await writeRest(server.url, write, { key });
        expect(said).toMatch(/^40[13] /);
        expect(await writeRest(serving.rest, write, { key })).toBe(said);
      }
      for (const write of GRPC) {
        const said = await writeGrpc(direct, write, { key });
        expect(said).toMatch(/^(7|16) /);
        expect(await writeGrpc(proxied, write, { key })).toBe(said);
      }
      expect(await standing()).toEqual(before);
    },
  );

  test.each(Object.entries(REFUSED))(
    '%s: the server is asked for permission with these credentials, and nothing else',
    async (_name, key) => {
      for (const write of REST) {
        relay.take();
        await writeRest(serving.rest, write, { key });
        expectPermissionAlone(
          key,
          SOURCE_NAMES.map((name) => restPermission(write, name)),
        );
      }
      for (const write of GRPC) {
        relay.take();
        await writeGrpc(proxied, write, { key });
        expectPermissionAlone(
          key,
          SOURCE_NAMES.map((name) => grpcPermission(write, name)),
        );
      }
    },
  );

  test('with credentials that the server takes, the relay sees what the proxy does with its own key', async () => {
    relay.take();
    await writeRest(serving.rest, ['POST points/delete', EVERY], { key: on('docs', 'rw') });
    const own = relay.take().filter((one) => one.key === KEY && one.what !== ALIASES);
    expect(own.length).toBeGreaterThan(0);
  });

  test.each(Object.entries(TAKEN))('%s: every write is made, and followed', async (_name, key) => {
    for (const write of [...REST.slice(0, 9), ...REST.slice(0, 1)])
      expect(await writeRest(serving.rest, write, { key })).toMatch(/^200 /);
    for (const write of [...GRPC.slice(0, 9), ...GRPC.slice(0, 1)])
      expect(await writeGrpc(proxied, write, { key })).toMatch(/^0 /);
    const [, source, target] = (await standing()) as [string, string[], string[]];
    expect(source).toHaveLength(1);
    // It holds the compact vector as well.
    expect(target).toEqual([expect.stringContaining(source[0] ?? '')]);
  });

  test('what the server refuses for other reasons is refused in its words', async () => {
    const unordered = (url: string): Promise<string> =>
      writeRest(url, ['POST points/delete?ordering=backwards&x=', EVERY], { key: KEY });
    expect(await unordered(serving.rest)).toBe(await unordered(server.url));
  });

  test('other collections are written to by every name that the credentials open', async () => {
    const ways = {
      other: on('other', 'rw'),
      aside: on('aside', 'rw'),
      missing: KEY,
      forbidden: READ_ONLY_KEY,
    };
    for (const [name, key] of Object.entries(ways)) {
      const [rest, grpc] = [REST[0]!, GRPC[0]!];
      const said = [
        await writeRest(server.url, rest, { key, name }),
        await writeGrpc(direct, grpc, { key, name }),
      ].map((text) => text.replace(/"operation_id":\d+/, ''));
      const proxiedSaid = [
        await writeRest(serving.rest, rest, { key, name }),
        await writeGrpc(proxied, grpc, { key, name }),
      ].map((text) => text.replace(/"operation_id":\d+/, ''));
      expect(proxiedSaid).toEqual(said);
      expect(said[0]).toMatch(name === 'other' || name === 'aside' ? /^200 / : /^40/);
    }
  });

  test('a body is neither waited for nor taken apart before', async () => {
    const before = await standing();
    for (const name of ['docs', 'live', 'docs_2s'])
      for (const [route] of REST.slice(0, 9)) {
        const [method = '', below = ''] = route.split(' ');
        const path = `/collections/${name}/${below}?wait=true`;
        const said = await answerTo(
          begin(`${method} ${path}`, { 'content-type': 'application/json', 'content-length': 20_000_000 }),
        );
        expect([route, said]).toEqual([route, expect.stringMatching(/^401 Must provide an API key/)]);
        for (const length of [5, 500_000]) {
          const answer = await fetchOnce(serving.rest + path, {
            method,
            body: 'no JSON'.padEnd(length),
            headers: { 'content-type': 'application/json', 'api-key': 'guess' },
          });
          expect([route, answer.status]).toEqual([route, 401]);
        }
      }
    for (const name of ['docs', 'live', 'docs_2s'])
      for (const [method] of GRPC.slice(0, 9)) {
        const whole = encodeRequest(method, { collectionName: name });
        // A field that the message breaks off in.
        const message = Buffer.concat([whole, Buffer.from([0x1a, 0x7f])]);
        const said = await proxied.call({ path: pathOf(method), message });
        const wanted = await direct.call({ path: pathOf(method), message: whole });
        expect([method, said.code, said.text]).toEqual([method, wanted.code, wanted.text]);
      }
    expect(await standing()).toEqual(before);
  });

  test('why the proxy refuses something is told to those alone who may do such things', async () => {
    const requests = ['PATCH /collections/live', 'DELETE /collections/docs_2s', 'PUT /collections/docs_2s'];
    const ask = async (url: string, request: string, key: string): Promise<string> => {
      const [method = '', path = ''] = request.split(' ');
      const answer = await fetchOnce(url + path, {
        method,
        ...(method !== 'DELETE' && { body: '{"vectors":{}}' }),
        headers: { 'content-type': 'application/json', ...(key !== '' && { 'api-key': key }) },
      });
      return `${answer.status} ${(await answer.text()).replace(/"time":[^}]*/, '')}`;
    };
    for (const request of requests) {
      for (const key of ['', 'guess', READ_ONLY_KEY, on('docs', 'rw')])
        expect(await ask(serving.rest, request, key)).toBe(await ask(server.url, request, key));
      expect(await ask(serving.rest, request, KEY)).toMatch(/^400 .*(migrated|migration)/);
    }
    expect(await ask(serving.rest, 'POST /collections/aliases', '')).toMatch(/^401 /);
    expect(await ask(serving.rest, 'POST /collections/aliases', on('docs', 'rw'))).toMatch(/^403 /);
    for (const method of ['Collections/Update', 'Collections/Delete']) {
      const message = encodeRequest(method, { collectionName: 'docs' });
      for (const key of ['guess', READ_ONLY_KEY]) {
        const [said, wanted] = [
          await proxied.call({ path: pathOf(method), message }, { 'api-key': key }),
          await direct.call({ path: pathOf(method), message }, { 'api-key': key }),
        ];
        expect([method, said.code, said.text]).toEqual([method, wanted.code, wanted.text]);
      }
      expect((await proxied.call({ path: pathOf(method), message }, { 'api-key': KEY })).text).toMatch(
        /migrated/,
      );
    }
  });

  test.each([
    ['docs', 'other', true],
    ['other', 'docs', false],
    ['docs', 'docs_2s', false],
  ])(
    'an alias that is moved from %s to %s during an upload counts where it ends',
    async (from, to, sized) => {
      await pointAlias('moved', from);
      const id = 5000 + from.length * 100 + to.length;
      const body = JSON.stringify({ points: [{ id, vector, payload: { text: 'x'.repeat(200_000) } }] });
      const upload = begin('PUT /collections/moved/points?wait=true', {
        'content-type': 'application/json',
        'api-key': KEY,
        ...(sized ? { 'content-length': body.length } : { 'transfer-encoding': 'chunked' }),
      });
      const answer = answerTo(upload);
      upload.write(body.slice(0, 100_000));
      // By the time this is answered, the proxy has seen the upload's head too.
      const small = await writeRest(serving.rest, REST[0]!, { key: KEY, name: 'moved' });
      expect(small).toMatch(/^200 /);
      await pointAlias('moved', to);
      upload.end(body.slice(100_000));
      expect(await answer).toMatch(to === 'docs_2s' ? /^400 .*filled by a migration/ : /^200 /);
      const holders: string[] = [];
      for (const name of ['docs', 'docs_2s', 'other'])
        if ((await contentOf(store, name)).some((line) => line.startsWith(`${id} `))) holders.push(name);
      expect(holders).toEqual({ other: ['other'], docs: ['docs', 'docs_2s'], docs_2s: [] }[to]);
    },
  );
});
