import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import * as zlib from 'node:zlib';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { COMPACT_DIM, DIM } from '../../../support/migrate/fixtures.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { HttpProber } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('any');

const TARGET = 'served_c4';
const OTHER = 'encodings';
/** Node reads zstd from 22.15 on. */
const READS_ZSTD = 'zstdDecompress' in zlib;

const { gzipSync, deflateSync, deflateRawSync, brotliCompressSync } = zlib;

/** A body of up to 255 bytes in a frame of zstd that holds it as it is (RFC 8878, raw block). */
function zstd(bytes: Buffer): Buffer {
  const header = (bytes.length << 3) | 1;
  const frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.length, header & 0xff, header >> 8, 0];
  return Buffer.concat([Buffer.from(frame), bytes]);
}

let server: TestServer;
let proxy: TestProxy;

async function put(path: string, body: object): Promise<void> {
  const { status, body: text } = await ask(server.url, path, { method: 'PUT', body: JSON.stringify(body) });
  if (status !== 200) throw new Error(text);
}

async function ask(
  url: string,
  path: string,
  {
    method = 'POST',
    body = '',
    headers = [] as readonly string[],
  }: {
    readonly method?: string;
    readonly body?: string | Buffer;
    readonly headers?: readonly string[];
  },
): Promise<{ readonly status: number; readonly body: string; readonly headers: readonly string[] }> {
  const prober = new HttpProber(url, { keepAlive: false });
  const sent = ['Content-Type', 'application/json', ...headers];
  const bytes = Buffer.from(body);
  const answer = await prober.ask({ method, path, headers: sent, body: bytes });
  prober.close();
  return answer;
}

function bodyOf(dim: number): Buffer {
  return Buffer.from(`{"query":[${Array<number>(dim).fill(1).join()}]}`);
}

beforeAll(async () => {
  server = await startTestServer();
  proxy = await startTestProxy(server);
  for (const name of [TARGET, OTHER])
    await put(`/collections/${name}`, { vectors: { size: COMPACT_DIM, distance: 'Cosine' } });
});

afterAll(async () => {
  await proxy.proxy.close();
  for (const name of [TARGET, OTHER]) await ask(server.url, `/collections/${name}`, { method: 'DELETE' });
  await server.stop();
});

type Pack = (bytes: Buffer) => Buffer;
const plain: Pack = (bytes) => bytes;
const CASES: readonly (readonly [string, readonly string[], Pack])[] = [
  ['gzip', ['gzip'], gzipSync],
  ['gzip in other letters', [' GZip '], gzipSync],
  ['deflate', ['deflate'], deflateSync],
  ['deflate without its header', ['deflate'], deflateRawSync],
  ['br', ['br'], brotliCompressSync],
  ['identity', ['identity'], plain],
  ['no name', [''], plain],
  ['an unknown name', ['foo'], plain],
  ['a name of another protocol', ['aws-chunked'], plain],
  ['x-gzip, which is not known', ['x-gzip'], plain],
  ['x-gzip, compressed', ['x-gzip'], gzipSync],
  ['a list', ['gzip, br'], plain],
  ['a list, compressed', ['identity, gzip'], gzipSync],
  ['a list, compressed twice', ['gzip, gzip'], (bytes) => gzipSync(gzipSync(bytes))],
  ['two headers: the first counts', ['gzip', 'br'], gzipSync],
  ['two headers: the first is not known', ['foo', 'gzip'], plain],
  ['a parameter', ['gzip;q=1'], plain],
  ['gzip that is none', ['gzip'], plain],
  ['br that is none', ['br'], plain],
  ['gzip of nothing', ['gzip'], () => Buffer.alloc(0)],
  ['gzip that is cut off', ['gzip'], (bytes) => gzipSync(bytes).subarray(0, 25)],
];

/** What follows the compressed data, or comes before it. */
const AROUND: readonly (readonly [string, (pack: Pack, bytes: Buffer) => Buffer])[] = [
  ['other bytes behind', (pack, bytes) => Buffer.concat([pack(bytes), Buffer.from('junk')])],
  ['many other bytes behind', (pack, bytes) => Buffer.concat([pack(bytes), Buffer.alloc(100_000, 7)])],
  ['a zero behind', (pack, bytes) => Buffer.concat([pack(bytes), Buffer.alloc(1)])],
  ['zeros behind', (pack, bytes) => Buffer.concat([pack(bytes), Buffer.alloc(1024)])],
  ['blanks packed behind', (pack, bytes) => Buffer.concat([pack(bytes), pack(Buffer.from(' \n'))])],
  ['nothing packed behind', (pack, bytes) => Buffer.concat([pack(bytes), pack(Buffer.alloc(0))])],
  ['the same packed behind', (pack, bytes) => Buffer.concat([pack(bytes), pack(bytes)])],
  ['two halves', (pack, bytes) => Buffer.concat([pack(bytes.subarray(0, 7)), pack(bytes.subarray(7))])],
];

/** A frame of zstd that is to be skipped. */
const SKIPPED = Buffer.from('502a4d1804000000abcdabcd', 'hex');

describe('content-encoding of requests that are rewritten', () => {
  const path = (name: string): string => `/collections/${name}/points/query`;
  const headers = (names: readonly string[]): string[] => names.flatMap((name) => ['Content-Encoding', name]);

  test.each(CASES)('%s', async (_, names, pack) => {
    const direct = await ask(server.url, path(TARGET), {
      headers: headers(names),
      body: pack(bodyOf(COMPACT_DIM)),
    });
    const through = await ask(proxy.url, path('served'), {
      headers: headers(names),
      body: pack(bodyOf(DIM)),
    });
    expect(through.status).toBe(direct.status);
    expect([200, 400]).toContain(direct.status);
  });

  const packs: Readonly<Record<string, Pack>> = {
    gzip: gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    ...(READS_ZSTD ? { zstd } : {}),
  };

  test.each(Object.entries(packs))(
    '%s with bytes after its end is read as the server does',
    async (name, pack) => {
      const cases: [string, (bytes: Buffer) => Buffer][] = AROUND.map(([what, make]) => [
        what,
        (bytes) => make(pack, bytes),
      ]);
      if (name === 'zstd')
        cases.push(
          ['a skipped frame behind', (bytes) => Buffer.concat([zstd(bytes), SKIPPED])],
          ['a skipped frame first', (bytes) => Buffer.concat([SKIPPED, zstd(bytes)])],
        );
      const statuses: [string, number, number][] = [];
      for (const [what, make] of cases) {
        const sent = { headers: headers([name]) };
        const direct = await ask(server.url, path(TARGET), { ...sent, body: make(bodyOf(COMPACT_DIM)) });
        const through = await ask(proxy.url, path('served'), { ...sent, body: make(bodyOf(DIM)) });
        statuses.push([what, direct.status, through.status]);
      }
      expect(statuses.map(([what, , status]) => [what, status])).toEqual(
        statuses.map(([what, status]) => [what, status]),
      );
      expect(statuses[0]).toEqual(['other bytes behind', 400, 400]);
    },
  );

  test.each(['zstd', 'ZSTD'])(
    '%s where this version of Node reads it, else 415 with a way out',
    async (name) => {
      const direct = await ask(server.url, path(TARGET), {
        headers: headers([name]),
        body: zstd(bodyOf(COMPACT_DIM)),
      });
      expect(direct.status).toBe(200);
      const through = await ask(proxy.url, path('served'), {
        headers: headers([name]),
        body: zstd(bodyOf(DIM)),
      });
      expect(through.status).toBe(READS_ZSTD ? 200 : 415);
      if (READS_ZSTD) return;
      const { status } = JSON.parse(through.body) as { status: { error: string } };
      expect(status.error).toMatch(/content-encoding zstd .* gzip, deflate and br; .* Node 22\.15 or later/);
    },
  );

  test('of other collections pass in any compression', async () => {
    const body = zstd(bodyOf(COMPACT_DIM));
    const answer = await ask(proxy.url, path(OTHER), { headers: headers(['zstd']), body });
    expect(answer.status).toBe(200);
  });
});

test.each(['zstd', 'zstd;q=1, gzip;q=0.1', 'deflate, zstd', '*', 'foo'])(
  'an error that is rewritten comes in a compression that can be read: %s',
  async (accepted) => {
    const request = { headers: ['Accept-Encoding', accepted], body: '{"filter":{"must":[{"key":1}]}}' };
    const direct = await ask(server.url, `/collections/${TARGET}/points/count`, request);
    const answer = await ask(proxy.url, '/collections/served/points/count', request);
    expect([answer.status, direct.status]).toEqual([400, 400]);
  },
);

test.each([
  ['zstd', 0],
  ['zstd', 1],
  ['foo', 1],
  ['identity', 0],
  ['identity', 1],
  [undefined, 1],
])('a call in grpc-encoding %s, flag %d, has the status of the server', async (encoding, flag) => {
  const metadata = encoding === undefined ? {} : { 'grpc-encoding': encoding };
  const statusOf = async (url: string, name: string, dim: number): Promise<string> => {
    const prober = new GrpcProber(url);
    const query = { collectionName: name, vector: Array<number>(dim).fill(1), limit: '1' };
    const body = framed(encodeRequest('Points/Search', query), flag);
    const answer = await prober.call({ path: '/qdrant.Points/Search', body, metadata });
    prober.session.close();
    const all = { ...answer.headers, ...answer.trailers };
    return [all['grpc-status'], all['grpc-message'] ?? ''].map(String).join(' ');
  };
  const direct = await statusOf(server.grpcUrl, TARGET, COMPACT_DIM);
  expect(await statusOf(proxy.grpcUrl, 'served', DIM)).toBe(direct);
});
