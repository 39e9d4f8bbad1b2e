import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { constants, type ClientHttp2Stream, type ServerHttp2Stream } from 'node:http2';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startRecordingUpstream, type RecordingUpstream } from '../../../support/serve/recording-upstream.js';

/** A method that the proxy cannot know, of a service that is none of the database's. */
const WATCH = '/some.Service/Watch';
const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

let upstream: RecordingUpstream;
let proxy: TestProxy;
let prober: GrpcProber;

beforeEach(async () => {
  upstream = await startRecordingUpstream();
  proxy = await startTestProxy(upstream);
  prober = new GrpcProber(proxy.grpcUrl);
});

afterEach(async () => {
  prober.close();
  await proxy.proxy.close();
  await upstream.close();
});

/** Opens a call and leaves the client's side open. */
function open(): ClientHttp2Stream {
  const stream = prober.session.request({
    ':method': 'POST',
    ':path': WATCH,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.write(framed(Buffer.from('begin')));
  return stream;
}

/** A call that the upstream has begun to answer. */
async function opened(): Promise<{
  readonly client: ClientHttp2Stream;
  readonly server: ServerHttp2Stream;
  readonly ended: Promise<number | boolean>;
}> {
  const client = open();
  const { path, answering: server, ended } = await upstream.nextCall();
  expect(path).toBe(WATCH);
  const responded = once(client, 'response');
  server.respond(HEADERS, { waitForTrailers: true });
  server.on('wantTrailers', () => server.sendTrailers({ 'grpc-status': '0' }));
  await responded;
  return { client, server, ended };
}

describe('a call of many messages', () => {
  test('brings each when it is sent, not when the call ends', async () => {
    const { client, server } = await opened();
    const trailers = once(client, 'trailers');
    for (const text of ['one', 'two', 'three']) {
      const message = framed(Buffer.from(text));
      const received = once(client, 'data');
      server.write(message);
      // The next one is sent only after this one is there.
      const [chunk] = (await received) as [Buffer];
      expect(chunk).toEqual(message);
    }
    expect(client.readableEnded).toBe(false);
    server.end();
    client.end().resume();
    const [received] = (await trailers) as [Record<string, string>];
    expect(received).toMatchObject({ 'grpc-status': '0' });
  });

  test('takes each of its client’s when it is sent', async () => {
    const { client, server } = await opened();
    for (const text of ['one', 'two', 'three']) {
      const message = framed(Buffer.from(text));
      const received = once(server, 'data');
      client.write(message);
      const [chunk] = (await received) as [Buffer];
      expect(chunk.subarray(-message.length)).toEqual(message);
    }
  });

  test('that is cancelled is reset at the database: before an answer, and in the middle of one', async () => {
    const waiting = open();
    const call = await upstream.nextCall();
    waiting.close(constants.NGHTTP2_CANCEL);
    expect(await call.ended).toBe(constants.NGHTTP2_CANCEL);
    const { client, server, ended } = await opened();
    const received = once(client, 'data');
    server.write(framed(Buffer.from('one')));
    await received;
    client.close(constants.NGHTTP2_CANCEL);
    expect(await ended).toBe(constants.NGHTTP2_CANCEL);
  });

  test('ends at the database when its client’s connection is lost', async () => {
    const { ended } = await opened();
    prober.session.destroy();
    expect(await ended).toBe(constants.NGHTTP2_CANCEL);
  });
});

describe('a REST client that hangs up', () => {
  const ask = (): ClientRequest => {
    const call = request(`${proxy.url}/some/path`);
    call.on('error', () => undefined).end();
    return call;
  };

  test('before the answer ends the request at the database', async () => {
    const call = ask();
    const { path, ended } = await upstream.nextRequest();
    expect(path).toBe('/some/path');
    call.destroy();
    expect(await ended).toBe(false);
  });

  test('in the middle of the answer ends it, too', async () => {
    const call = ask();
    const responded = once(call, 'response');
    const { answering, ended } = await upstream.nextRequest();
    answering.write('a part');
    const [response] = (await responded) as [IncomingMessage];
    await once(response, 'data');
    call.destroy();
    expect(await ended).toBe(false);
  });

  test('is told from one that takes its answer', async () => {
    const call = ask();
    const responded = once(call, 'response');
    const { answering, ended } = await upstream.nextRequest();
    answering.end('all');
    const [response] = (await responded) as [IncomingMessage];
    response.resume();
    expect(await ended).toBe(true);
  });
});

test('a database that nobody listens for is said to be unavailable, and does not end the proxy', async () => {
  await upstream.close();
  for (let i = 0; i < 3; i++) {
    expect((await fetchOnce(`${proxy.url}/some/path`)).status).toBe(503);
    expect((await prober.call({ path: WATCH, body: framed(Buffer.alloc(0)) })).headers).toMatchObject({
      'grpc-status': '14',
    });
  }
});
