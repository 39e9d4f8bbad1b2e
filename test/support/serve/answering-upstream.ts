import { once } from 'node:events';
import { createServer as createRestServer } from 'node:http';
import { createServer } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { framed } from './grpc-probe.js';

/** What an upstream was sent. */
export interface Sent {
  readonly path: string;
  readonly body: Buffer;
}

/** Answers whatever comes with nothing found, and shows it to a test. */
export interface AnsweringUpstream {
  readonly url: string;
  readonly grpcUrl: string;
  readonly close: () => Promise<void>;
}

/** Starts one on free ports. */
export async function startAnsweringUpstream(
  onRequest: (sent: Sent) => void,
  onCall: (sent: Sent) => void,
): Promise<AnsweringUpstream> {
  const rest = createRestServer((request, response) => {
    void bodyOf(request).then((body) => {
      onRequest({ path: request.url ?? '', body });
      response.setHeader('content-type', 'application/json');
      response.end('{"result":[],"status":"ok","time":0.0}');
    });
  });
  const grpc = createServer();
  const sessions = new Set<{ destroy(): void }>();
  grpc.on('session', (session) => sessions.add(session));
  grpc.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    void bodyOf(stream).then((body) => {
      onCall({ path: headers[':path'] ?? '', body });
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(framed(Buffer.alloc(0)));
    });
  });
  return {
    url: `http://127.0.0.1:${await portOf(rest)}`,
    grpcUrl: `http://127.0.0.1:${await portOf(grpc)}`,
    close: async () => {
      const closed = [rest, grpc].map((server) => new Promise((done) => server.close(done)));
      for (const session of sessions) session.destroy();
      rest.closeAllConnections();
      await Promise.all(closed);
    },
  };
}

async function bodyOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // What breaks off is what came until then.
  try {
    for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  } catch {
    return Buffer.concat(chunks);
  }
  return Buffer.concat(chunks);
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
