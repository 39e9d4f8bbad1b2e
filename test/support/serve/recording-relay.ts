import { once } from 'node:events';
import {
  createServer as createRestServer,
  request,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import {
  connect,
  createServer,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import type { TestServer } from '../server/test-server.js';

/** A request or a call as it reached the server. */
export interface PassedRequest {
  /** Method and path of a request, the path of a call. */
  readonly what: string;
  /** The API key that came with it; '' without one. */
  readonly key: string;
  /** The bytes of a request's body, or of a call's messages with their prefixes. */
  readonly body: Buffer;
}

/** Stands in front of a real server, passes everything on, and remembers it. */
export interface RecordingRelay {
  readonly url: string;
  readonly grpcUrl: string;
  /** What has been passed on to its end since this was last called. */
  readonly take: () => PassedRequest[];
  readonly close: () => Promise<void>;
}

/** Starts one on free ports. */
export async function startRecordingRelay(server: TestServer): Promise<RecordingRelay> {
  let passed: PassedRequest[] = [];
  const record = (one: PassedRequest): void => void passed.push(one);
  const rest = createRestServer((asked, answer) => passRequest(server.url, asked, answer, record));
  const grpc = createServer();
  const sessions = new Set<{ destroy(): void }>();
  grpc.on('session', (session) => {
    const upstream = connect(server.grpcUrl);
    sessions.add(session).add(upstream);
    session.on('error', () => undefined).on('close', () => upstream.close());
    upstream.on('error', () => undefined);
    session.on('stream', (stream, headers) => passCall(upstream, stream, headers, record));
  });
  const [restPort, grpcPort] = [await portOf(rest), await portOf(grpc)];
  return {
    url: `http://127.0.0.1:${restPort}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    take: () => {
      const taken = passed;
      passed = [];
      return taken;
    },
    close: async () => {
      const closed = [rest, grpc].map((listener) => new Promise((done) => listener.close(done)));
      for (const session of sessions) session.destroy();
      rest.closeAllConnections();
      await Promise.all(closed);
    },
  };
}

type Record = (one: PassedRequest) => void;

function passRequest(url: string, asked: IncomingMessage, answer: ServerResponse, record: Record): void {
  const { hostname, port } = new URL(url);
  const { method = '', url: path = '', headers } = asked;
  // No connection is kept: the server may close it while nothing is under way.
  const onward = request({ hostname, port, method, path, headers, agent: false }, (received) => {
    answer.writeHead(received.statusCode ?? 0, received.headers);
    received.pipe(answer);
  });
  const chunks: Buffer[] = [];
  asked.on('data', (chunk: Buffer) => chunks.push(chunk));
  asked.on('end', () =>
    record({ what: `${method} ${path}`, key: keyOf(headers), body: Buffer.concat(chunks) }),
  );
  asked.pipe(onward);
  for (const stream of [asked, answer, onward]) stream.on('error', () => undefined);
  onward.on('error', () => answer.destroy());
  answer.on('close', () => onward.destroy());
}

function passCall(
  upstream: ClientHttp2Session,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  record: Record,
): void {
  const onward = upstream.request(headers);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () =>
    record({ what: headers[':path'] ?? '', key: keyOf(headers), body: Buffer.concat(chunks) }),
  );
  stream.pipe(onward);
  let trailers: IncomingHttpHeaders = {};
  onward.on('response', (received: IncomingHttpHeaders) => {
    if (stream.destroyed) return;
    stream.respond(received, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    onward.pipe(stream);
  });
  onward.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
  for (const side of [stream, onward]) side.on('error', () => undefined);
  stream.on('close', () => onward.close());
  onward.on('close', () => {
    if (onward.rstCode !== 0) stream.close(onward.rstCode);
  });
}

function keyOf(headers: IncomingHttpHeaders): string {
  const key = headers['api-key'];
  return typeof key === 'string' ? key : '';
}

async function portOf(listener: Server): Promise<number> {
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return (listener.address() as AddressInfo).port;
}
