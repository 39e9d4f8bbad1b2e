import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { startAnsweringUpstream, type AnsweringUpstream } from '../../../support/serve/answering-upstream.js';
import { framed, GrpcProber, type GrpcProbe } from '../../../support/serve/grpc-probe.js';
import { HttpProber, type Probe } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';

/** What a line of the log says of one request. */
interface Line {
  readonly text: string;
  readonly kind: unknown;
  readonly bytesIn: unknown;
  readonly bytesOut: unknown;
}

let upstream: AnsweringUpstream;
let proxy: TestProxy;
let lines: Line[];
/** All that was logged. */
let logged: string;

beforeEach(async () => {
  [lines, logged] = [[], ''];
  upstream = await startAnsweringUpstream(
    () => undefined,
    () => undefined,
  );
  const log = (level: string, text: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const { kind, bytesIn, bytesOut } = fields;
    logged += JSON.stringify({ text, ...fields });
    if (level === 'debug') lines.push({ text, kind, bytesIn, bytesOut });
  };
  proxy = await startTestProxy({ ...upstream, log });
});

afterEach(async () => {
  await proxy.proxy.close();
  await upstream.close();
});

/** A request ends when its answer has gone out, which may be a moment after it came in. */
async function lineOf(nth: number): Promise<Line | undefined> {
  for (let i = 0; i < 30_000 && lines.length <= nth; i++) await new Promise((done) => setTimeout(done, 10));
  return lines[nth];
}

async function counted(): Promise<string[]> {
  const text = await proxy.proxy.metrics.registry.getSingleMetricAsString('tldr_body_bytes_total');
  return text.split('\n').filter((line) => line.startsWith('tldr_'));
}

const QUERY = '/collections/served/points/query';
const body = Buffer.from(JSON.stringify({ query: Array<number>(DIM).fill(1) }));
const wrong = Buffer.from('{"query":[1]}');
const large = Buffer.alloc(300_000, 0x20);
const answer = Buffer.from('{"result":[],"status":"ok","time":0.0}').length;
const refusal = `{"status":{"error":"Wrong input: Vector dimension error: expected dim: ${DIM}, got 1"},"time":0.0}`;
const gzipped = gzipSync(body);

const REQUESTS: readonly (readonly [string, Probe, Omit<Line, 'text'>])[] = [
  ['no body', { method: 'GET', path: '/' }, { kind: 'pass', bytesIn: 0, bytesOut: answer }],
  [
    'a small body that passes',
    { method: 'PUT', path: '/collections/other', body: wrong },
    { kind: 'pass', bytesIn: wrong.length, bytesOut: answer },
  ],
  [
    'a large body that passes',
    { method: 'PUT', path: '/collections/other/points', body: large },
    { kind: 'pass', bytesIn: large.length, bytesOut: answer },
  ],
  [
    'a large body of unknown length',
    { method: 'PUT', path: '/collections/other/points', body: large, chunked: true },
    { kind: 'pass', bytesIn: large.length, bytesOut: answer },
  ],
  [
    'a body that is rewritten',
    { method: 'POST', path: `${QUERY}?timeout=3&token=secret`, body, headers: ['Api-Key', 'secret'] },
    { kind: 'rewrite', bytesIn: body.length, bytesOut: answer },
  ],
  [
    'one that came compressed',
    { method: 'POST', path: QUERY, body: gzipped, headers: ['Content-Encoding', 'gzip'] },
    { kind: 'rewrite', bytesIn: gzipped.length, bytesOut: answer },
  ],
  [
    'one that is refused',
    { method: 'POST', path: QUERY, body: wrong },
    { kind: 'answer', bytesIn: wrong.length, bytesOut: refusal.length },
  ],
  [
    'an answer that is rewritten',
    { method: 'GET', path: '/collections' },
    { kind: 'forward', bytesIn: 0, bytesOut: answer },
  ],
  [
    'an answer without its body',
    { method: 'HEAD', path: '/collections' },
    { kind: 'pass', bytesIn: 0, bytesOut: 0 },
  ],
];

test('bytes of bodies over REST are logged and counted', async () => {
  const prober = new HttpProber(proxy.url);
  for (const [i, [name, probe, expected]] of REQUESTS.entries()) {
    await prober.ask(probe);
    expect({ name, ...(await lineOf(i)) }).toEqual({ name, text: 'rest', ...expected });
  }
  prober.close();
  expect(logged).toContain(`"path":"${QUERY}"`);
  expect(logged).not.toMatch(/secret|timeout|"query"|1,1/);
  const sum = (which: 'bytesIn' | 'bytesOut'): number =>
    REQUESTS.reduce((all, [, , expected]) => all + Number(expected[which]), 0);
  expect(await counted()).toEqual([
    `tldr_body_bytes_total{transport="rest",direction="in"} ${sum('bytesIn')}`,
    `tldr_body_bytes_total{transport="rest",direction="out"} ${sum('bytesOut')}`,
    'tldr_body_bytes_total{transport="grpc",direction="in"} 0',
    'tldr_body_bytes_total{transport="grpc",direction="out"} 0',
  ]);
});

test('bytes of messages over gRPC are logged and counted, with their prefixes', async () => {
  const nearest = (count: number): Buffer =>
    framed(
      encodeRequest('Points/Query', {
        collectionName: 'served',
        query: { nearest: { dense: { data: Array<number>(count).fill(1) } } },
      }),
    );
  const list = encodeRequest('Collections/List', {});
  const exists = framed(encodeRequest('Collections/CollectionExists', { collectionName: 'served_c4' }));
  const calls: readonly (readonly [GrpcProbe, Omit<Line, 'text'>])[] = [
    [
      { path: '/some.Service/Watch', body: framed(large) },
      { kind: 'pass', bytesIn: 300_005, bytesOut: 5 },
    ],
    [
      { path: '/qdrant.Points/Query', body: nearest(DIM) },
      { kind: 'rewrite', bytesIn: nearest(DIM).length, bytesOut: 5 },
    ],
    [
      { path: '/qdrant.Points/Query', body: nearest(1) },
      { kind: 'answer', bytesIn: nearest(1).length, bytesOut: 0 },
    ],
    [
      { path: '/qdrant.Collections/List', body: framed(list) },
      { kind: 'rewrite', bytesIn: 5, bytesOut: 5 },
    ],
    [
      { path: '/qdrant.Collections/CollectionExists', body: exists },
      { kind: 'answer', bytesIn: exists.length, bytesOut: 7 },
    ],
  ];
  const prober = new GrpcProber(proxy.grpcUrl);
  for (const [i, [call, expected]] of calls.entries()) {
    await prober.call(call);
    expect({ path: call.path, ...(await lineOf(i)) }).toEqual({ path: call.path, text: 'grpc', ...expected });
  }
  prober.close();
  const sum = (which: 'bytesIn' | 'bytesOut'): number =>
    calls.reduce((all, [, expected]) => all + Number(expected[which]), 0);
  expect((await counted()).slice(2)).toEqual([
    `tldr_body_bytes_total{transport="grpc",direction="in"} ${sum('bytesIn')}`,
    `tldr_body_bytes_total{transport="grpc",direction="out"} ${sum('bytesOut')}`,
  ]);
});
