import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import { grpcChanges } from '../../../../adapters/qdrant/serve/dual-write/grpc-changes.js';
import { restChanges } from '../../../../adapters/qdrant/serve/dual-write/rest-changes.js';
import { grpcRewriter } from '../../../../adapters/qdrant/serve/rewriters/grpc.js';
import { restRewriter } from '../../../../adapters/qdrant/serve/rewriters/rest.js';
import type { WriteInterceptor } from '../../../../src/store/write-interceptor.js';
import { COMPACT_DIM, DIM } from '../../../support/migrate/fixtures.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { HttpProber, type Probed } from '../../../support/serve/http-probe.js';
import { SERVED, startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';

const test = await testsOn('configured');
const VECTOR = Array.from({ length: DIM }, (_, i) => (i === 0 ? 1 : 0));

/** Nothing is mirrored, and every name is a collection's own. */
const GUARD: WriteInterceptor = {
  aliases: () => Promise.resolve(new Map()),
  isKnown: () => true,
  isCollection: () => Promise.resolve(true),
  write: () => Promise.reject(new Error('nothing is mirrored')),
};

const calls = new Map<string, number>();
let server: TestServer;
let proxy: TestProxy;

/** Counts the calls of some functions of a rewriter. */
function counted<Rewriter extends object>(
  rewriter: Rewriter,
  names: readonly (keyof Rewriter & string)[],
): Rewriter {
  return new Proxy(rewriter, {
    get: (target, name, receiver): unknown => {
      const counts = names.find((one) => one === name);
      if (counts !== undefined) calls.set(counts, (calls.get(counts) ?? 0) + 1);
      return Reflect.get(target, name, receiver);
    },
  });
}

async function ask(url: string, method: string, path: string, body: object): Promise<Probed> {
  const prober = new HttpProber(url, { keepAlive: false });
  const headers = ['content-type', 'application/json'];
  const answer = await prober.ask({ method, path, headers, body: Buffer.from(JSON.stringify(body)) });
  prober.close();
  return answer;
}

beforeAll(async () => {
  server = await startTestServer();
  const vectors = { size: COMPACT_DIM, distance: 'Cosine' };
  expect(await ask(server.url, 'PUT', '/collections/served_c4', { vectors })).toMatchObject({ status: 200 });
  proxy = await startTestProxy({
    ...server,
    guard: GUARD,
    rewriters: {
      rest: counted(restRewriter([SERVED]), ['read', 'route', 'begin']),
      grpc: counted(grpcRewriter([SERVED]), ['begin']),
      changes: { rest: restChanges([]), grpc: grpcChanges([]) },
    },
  });
});

beforeEach(() => calls.clear());

afterAll(async () => {
  await proxy.proxy.close();
  await server.stop();
});

test('a search over REST is read, routed and rewritten once', async () => {
  const answer = await ask(proxy.url, 'POST', '/collections/served/points/query', { query: VECTOR });
  expect(answer.status).toBe(200);
  expect(Object.fromEntries(calls)).toEqual({ read: 1, route: 1, begin: 1 });
});

test('a write over REST beside a migration is read, routed and rewritten once', async () => {
  const points = [{ id: 1, vector: VECTOR }];
  const answer = await ask(proxy.url, 'PUT', '/collections/served/points?wait=true', { points });
  expect(answer.status).toBe(200);
  expect(Object.fromEntries(calls)).toEqual({ read: 1, route: 1, begin: 1 });
});

test('a write over gRPC beside a migration is rewritten once', async () => {
  const points = [{ id: { num: '1' }, vectors: { vector: { dense: { data: VECTOR } } } }];
  const request = encodeRequest('Points/Upsert', { collectionName: 'served', wait: true, points });
  const prober = new GrpcProber(proxy.grpcUrl);
  const { trailers } = await prober.call({ path: pathOf('Points/Upsert'), body: framed(request) });
  prober.close();
  expect(trailers['grpc-status']).toBe('0');
  expect(Object.fromEntries(calls)).toEqual({ begin: 1 });
});
