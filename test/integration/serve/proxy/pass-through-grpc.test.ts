import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { JsonObject } from '@bufbuild/protobuf';
import { ConnectErrorCode, Distance, QdrantClient } from '@qdrant/js-client-grpc';
import fc from 'fast-check';
import type { IncomingHttpHeaders } from 'node:http2';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decodeAnswer, encodeRequest, METHOD_NAMES, pathOf } from '../../../support/wire/grpc-schemas.js';
import {
  framed,
  GrpcProber,
  headersWithout,
  type GrpcProbe,
  type GrpcProbed,
} from '../../../support/serve/grpc-probe.js';
import { inOrder } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

/** Two servers of their own: one asked through the proxy, the other without, the same in the same order. */
const test = await testsOn('configured');

const RUNS = 60;
const STEPS_MAX = 10;
/** Their answers list what is served or tell the time, or not every version of the server has them. */
const UNSTEADY = /List|Aliases|Snapshots|Cluster|VectorName/;

let proxied: TestServer;
let plain: TestServer;
let proxy: TestProxy;
let through: GrpcProber;
let direct: GrpcProber;

beforeAll(async () => {
  [proxied, plain] = await Promise.all([startTestServer(), startTestServer()]);
  proxy = await startTestProxy(proxied);
  through = new GrpcProber(proxy.grpcUrl);
  direct = new GrpcProber(plain.grpcUrl);
});

afterAll(async () => {
  through.close();
  direct.close();
  await proxy.proxy.close();
  await Promise.all([proxied.stop(), plain.stop()]);
});

const name = fc.constantFrom('a', 'b', 'missing', 'ü');
const floats = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 5 });
const num = fc.integer({ min: 0, max: 9 }).map(String);
const call = (method: string, json: JsonObject): { method: string; message: Uint8Array } => ({
  method,
  message: encodeRequest(method, json),
});

const meant = fc.oneof(
  fc
    .tuple(name, fc.constantFrom('4', '4', '4', '0'))
    .map(([collectionName, size]) =>
      call('Collections/Create', { collectionName, vectorsConfig: { params: { size, distance: 'Dot' } } }),
    ),
  name.map((collectionName) => call('Collections/Delete', { collectionName })),
  name.map((collectionName) => call('Collections/CollectionExists', { collectionName })),
  fc.tuple(name, num, floats).map(([collectionName, id, data]) =>
    call('Points/Upsert', {
      collectionName,
      wait: true,
      points: [{ id: { num: id }, vectors: { vector: { data } } }],
    }),
  ),
  fc
    .tuple(name, floats)
    .map(([collectionName, data]) =>
      call('Points/Query', { collectionName, query: { nearest: { dense: { data } } }, limit: '3' }),
    ),
  fc
    .tuple(name, floats)
    .map(([collectionName, vector]) =>
      call('Points/Search', { collectionName, vector, limit: '3', withPayload: { enable: true } }),
    ),
  fc
    .tuple(name, num)
    .map(([collectionName, id]) =>
      call('Points/Get', { collectionName, ids: [{ num: id }], withVectors: { enable: true } }),
    ),
  name.map((collectionName) => call('Points/Count', { collectionName, exact: true })),
  name.map((collectionName) => call('Points/Scroll', { collectionName, withVectors: { enable: true } })),
);

const nonsense = fc.record({
  method: fc.constantFrom(...METHOD_NAMES.filter((one) => !UNSTEADY.test(one))),
  message: fc.uint8Array({ maxLength: 40 }),
});

const asked = fc
  .tuple(
    fc.oneof({ weight: 4, arbitrary: meant }, { weight: 1, arbitrary: nonsense }),
    fc.constantFrom('whole', 'whole', 'whole', 'cut', 'gzip', 'not gzip', 'more'),
    fc.subarray([
      ['grpc-accept-encoding', 'gzip'],
      ['x-request-id', 'a'],
      ['grpc-timeout', '20S'],
      ['x-some-bin', 'AAEC'],
    ] as const),
  )
  .map(([{ method, message }, form, more]) => {
    const metadata: Record<string, string> = Object.fromEntries(more);
    if (form.endsWith('gzip')) metadata['grpc-encoding'] = 'gzip';
    const sent =
      form === 'cut'
        ? message.subarray(0, message.length >> 1)
        : form === 'gzip'
          ? gzipSync(message)
          : // A field that no version knows yet.
            form === 'more'
            ? Buffer.concat([message, Buffer.from('ca3e03616263', 'hex')])
            : message;
    return { method, path: pathOf(method), body: framed(sent, form.endsWith('gzip') ? 1 : 0), metadata };
  });

/** An answer without its times. */
function steady(method: string, { headers, body, trailers, resetCode }: GrpcProbed): unknown {
  const flag = body[0];
  const message = flag === 1 ? gunzipSync(body.subarray(5)) : body.subarray(5);
  const json: unknown =
    body.length === 0
      ? null
      : JSON.parse(JSON.stringify(decodeAnswer(method, message)), (key, value: unknown) =>
          key === 'time' ? 0 : value,
        );
  return { headers: undetailed(headers), flag, json, trailers: { ...trailers }, resetCode };
}

/** What is wrong with bytes that are no message is said in many words; an empty body's length is nothing. */
function undetailed(headers: IncomingHttpHeaders): Record<string, unknown> {
  const kept = headersWithout(headers, 'date', 'content-length');
  const text = headers['grpc-message'];
  if (typeof text !== 'string') return kept;
  if (/decode%20Protobuf|decompressing|valid%20gzip/.test(text))
    return { ...kept, 'grpc-message': 'unreadable', 'grpc-status': '13' };
  return { ...kept, 'grpc-message': text.includes('Validation') ? inOrder(decodeURIComponent(text)) : text };
}

describe('what is not served', () => {
  test('is answered over gRPC as if there were no proxy, whatever is called', async () => {
    const codes = new Set<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 1, maxLength: STEPS_MAX }), async (probes) => {
        for (const probe of probes) {
          const answers = await Promise.all([through.call(probe), direct.call(probe)]);
          const [answer, expected] = answers.map((one) => steady(probe.method, one));
          expect({ probe, answer }).toEqual({ probe, answer: expected });
          codes.add(answers[1].trailers['grpc-status'] ?? answers[1].headers['grpc-status']);
        }
      }),
      { numRuns: RUNS, seed: 5, endOnFailure: true },
    );
    expect([...codes]).toEqual(expect.arrayContaining(['0', '3', '5']));
  });

  const odd: readonly (readonly [string, GrpcProbe])[] = [
    ['an unknown service', { path: '/some.Service/Do', body: framed(Buffer.from('x')) }],
    ['an unknown method', { path: '/qdrant.Points/Nothing', body: framed(Buffer.alloc(0)) }],
    ['no message', { path: '/qdrant.Qdrant/HealthCheck', body: Buffer.alloc(0) }],
    ['half a message', { path: '/qdrant.Qdrant/HealthCheck', body: framed(Buffer.alloc(9)).subarray(0, 7) }],
    [
      'another content type',
      {
        path: '/qdrant.Qdrant/HealthCheck',
        body: framed(Buffer.alloc(0)),
        metadata: { 'content-type': 'text/plain' },
      },
    ],
    [
      'an encoding nobody knows',
      {
        path: '/qdrant.Qdrant/HealthCheck',
        body: framed(Buffer.alloc(3), 1),
        metadata: { 'grpc-encoding': 'lzma' },
      },
    ],
    ['the health of the server', { path: '/grpc.health.v1.Health/Check', body: framed(Buffer.alloc(0)) }],
  ];
  test.each(odd)('%s is answered as without a proxy', async (_what, probe) => {
    const [answer, expected] = await Promise.all([through.call(probe), direct.call(probe)]);
    const dateless = (one: GrpcProbed): object => ({ ...one, headers: headersWithout(one.headers, 'date') });
    expect(dateless(answer)).toEqual(dateless(expected));
  });

  test('the official client, compressing or not, gets what it gets without a proxy', async () => {
    const talk = async (url: string, compression: boolean): Promise<unknown> => {
      const client = new QdrantClient({ url, checkCompatibility: false, compression });
      const [collections, points] = [client.api('collections'), client.api('points')];
      const collectionName = `official-${compression}`;
      await collections.create({
        collectionName,
        vectorsConfig: { config: { case: 'params', value: { size: 2n, distance: Distance.Dot } } },
      });
      const ids = Array.from({ length: 500 }, (_, i) => 2n ** 60n + BigInt(i));
      await points.upsert({
        collectionName,
        wait: true,
        points: ids.map((id, i) => ({
          id: { pointIdOptions: { case: 'num', value: id } },
          vectors: { vectorsOptions: { case: 'vector', value: { data: [i, 1] } } },
          payload: { text: { kind: { case: 'stringValue', value: 'x'.repeat(2_000) } } },
        })),
      });
      const { result } = await points.scroll({
        collectionName,
        limit: 500,
        withPayload: { selectorOptions: { case: 'enable', value: true } },
      });
      const dense = { data: [1] };
      const refused = await points
        .query({
          collectionName,
          query: { variant: { case: 'nearest', value: { variant: { case: 'dense', value: dense } } } },
          limit: 1n,
        })
        .catch((error: unknown) => [Reflect.get(error as object, 'code') as unknown, String(error)]);
      return { result, refused };
    };
    for (const compression of [false, true]) {
      const [answer, expected] = [
        await talk(proxy.grpcUrl, compression),
        await talk(plain.grpcUrl, compression),
      ];
      expect(answer).toEqual(expected);
      expect(answer).toMatchObject({ refused: [ConnectErrorCode.InvalidArgument, expect.anything()] });
    }
  });

  test('raw files of the storage are not to be had', async () => {
    const probe = { path: '/qdrant.StorageRead/ReadFile', body: framed(Buffer.alloc(0)) };
    expect((await through.call(probe)).headers).toMatchObject({ ':status': 200, 'grpc-status': '7' });
  });
});
