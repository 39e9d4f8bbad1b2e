import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { constants, createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM } = constants;
const { NGHTTP2_INADEQUATE_SECURITY, NGHTTP2_INTERNAL_ERROR, NGHTTP2_PROTOCOL_ERROR } = constants;

/** HTTP/2 codes and the status that a gRPC client reads from each ("gRPC over HTTP2", "Errors"). */
const RESETS = [
  ...([
    [NGHTTP2_CANCEL, '1'],
    [NGHTTP2_REFUSED_STREAM, '14'],
    [NGHTTP2_ENHANCE_YOUR_CALM, '8'],
  ] as const),
  ...([
    [NGHTTP2_INADEQUATE_SECURITY, '7'],
    [NGHTTP2_INTERNAL_ERROR, '13'],
    [NGHTTP2_PROTOCOL_ERROR, '13'],
  ] as const),
] as const;

/** Calls of a collection that is not served, of a served one, and one that is not read at all. */
const PATHS = [
  ['/qdrant.Points/Count', encodeRequest('Points/Count', { collectionName: 'other' })],
  ['/qdrant.Points/Count', encodeRequest('Points/Count', { collectionName: 'served' })],
  ['/qdrant.Collections/Get', encodeRequest('Collections/Get', { collectionName: 'served' })],
  ['/qdrant.Qdrant/HealthCheck', new Uint8Array(0)],
] as const;

describe('a call that the database breaks off', () => {
  let upstream: Http2Server;
  let proxy: TestProxy;
  const sessions = new Set<ServerHttp2Session>();
  /** What becomes of a call: whether its answer begins, and how it ends. */
  let plan: { readonly begun: boolean; readonly code: number | 'lost' } = { begun: false, code: 'lost' };

  beforeAll(async () => {
    upstream = createServer();
    upstream.on('session', (session) => sessions.add(session));
    upstream.on('stream', (stream) => {
      stream.on('error', () => undefined).resume();
      const end = (): void => {
        if (plan.code === 'lost') stream.session?.destroy();
        else stream.close(plan.code);
      };
      stream.once('end', () => {
        if (!plan.begun) {
          end();
          return;
        }
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(framed(Buffer.alloc(10)), end);
      });
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const address = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    proxy = await startTestProxy({ url: address, grpcUrl: address });
  });

  afterAll(async () => {
    await proxy.proxy.close();
    const closed = new Promise((done) => upstream.close(done));
    for (const session of sessions) session.destroy();
    await closed;
  });

  const statusOf = async (path: string, message: Uint8Array): Promise<unknown> => {
    const prober = new GrpcProber(proxy.grpcUrl);
    const { headers, trailers } = await prober.call({ path, body: framed(message) });
    prober.session.close();
    return headers['grpc-status'] ?? trailers['grpc-status'];
  };

  // With any other code than CANCEL, Node's server ends an answer that has begun in place of resetting it.
  test.each([
    [false, RESETS],
    [true, RESETS.slice(0, 1)],
  ])('ends with the status of its reset (answer begun: %s)', async (begun, resets) => {
    for (const [code, status] of resets)
      for (const [path, message] of PATHS) {
        plan = { begun, code };
        expect([code, path, await statusOf(path, message)]).toEqual([code, path, status]);
      }
  });

  test.each([true, false])(
    'is UNAVAILABLE where the connection is lost (answer begun: %s)',
    async (begun) => {
      plan = { begun, code: 'lost' };
      for (const [path, message] of PATHS)
        expect([path, await statusOf(path, message)]).toEqual([path, '14']);
    },
  );
});
