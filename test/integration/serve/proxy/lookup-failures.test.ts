import { afterAll, beforeAll, expect } from '@jest/globals';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { HttpProber, type Probed } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('configured');
const KEY = 'correct-horse-battery';
/** A search of the served collection that needs a point of another one first. */
const SEARCH = JSON.stringify({ query: 1, lookup_from: { collection: 'other' } });

let server: TestServer;
let proxy: TestProxy;

async function ask(url: string, request: string, body: string, key = ''): Promise<Probed> {
  const [method = '', path = ''] = request.split(' ');
  const prober = new HttpProber(url, { keepAlive: false });
  const headers = ['content-type', 'application/json', ...(key === '' ? [] : ['api-key', key])];
  const answer = await prober.ask({ method, path, headers, body: Buffer.from(body) });
  prober.close();
  return answer;
}

const valueOf = ({ headers }: Probed, name: string): string | undefined =>
  headers.find((line) => line.toLowerCase().startsWith(`${name}: `))?.slice(name.length + 2);

beforeAll(async () => {
  server = await startTestServer({ QDRANT__SERVICE__API_KEY: KEY });
  proxy = await startTestProxy(server);
  const vectors = `{"vectors":{"size":${DIM},"distance":"Cosine"}}`;
  expect(await ask(server.url, 'PUT /collections/other', vectors, KEY)).toMatchObject({ status: 200 });
});

afterAll(async () => {
  await proxy.proxy.close();
  await server.stop();
});

test('a lookup without a key is answered as the server answers', async () => {
  const query = (collection: string): string => `POST /collections/${collection}/points/query`;
  const direct = await ask(server.url, query('other'), SEARCH);
  const proxied = await ask(proxy.url, query('served'), SEARCH);
  expect(direct.status).toBe(401);
  expect(proxied).toMatchObject({ status: 401, body: direct.body });
  expect(valueOf(proxied, 'content-type')).toBe(valueOf(direct, 'content-type'));
});

test('a lookup that comes too often says when it may be repeated', async () => {
  const strict = '{"strict_mode_config":{"enabled":true,"read_rate_limit":1}}';
  expect(await ask(server.url, 'PATCH /collections/other', strict, KEY)).toMatchObject({ status: 200 });
  const answers: Probed[] = [];
  for (let i = 0; i < 3; i++)
    answers.push(await ask(proxy.url, 'POST /collections/served/points/query', SEARCH, KEY));
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(0);
  for (const answer of refused) expect(Number(valueOf(answer, 'retry-after'))).toBeGreaterThan(0);

  const prober = new GrpcProber(proxy.grpcUrl);
  const message = encodeRequest('Points/Query', {
    collectionName: 'served',
    query: { nearest: { id: { num: '1' } } },
    lookupFrom: { collectionName: 'other' },
  });
  const call = { path: pathOf('Points/Query'), body: framed(message), metadata: { 'api-key': KEY } };
  const { headers } = await prober.call(call);
  prober.session.close();
  expect(headers['grpc-status']).toBe('8');
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
});
