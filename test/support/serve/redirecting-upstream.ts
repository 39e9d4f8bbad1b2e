import { createServer, request as send, type IncomingMessage } from 'node:http';
import { createServer as createGrpcServer, type ServerHttp2Session } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

/** Decides which requests are sent elsewhere; null for none. */
export type SentAway = (request: IncomingMessage) => number | null;

/** A server that redirects to another, which must hear of nobody. */
export interface RedirectingUpstream {
  readonly url: string;
  readonly grpcUrl: string;
  /** Where the redirects point. */
  readonly elsewhere: string;
  /** Requests that came to the other server. */
  readonly heard: string[];
  /** Paths that were asked here over REST and gRPC. */
  readonly asked: string[];
  /** @param to where to, before the path; by default the other server */
  readonly use: (sentAway: SentAway, to?: string) => void;
  readonly close: () => Promise<void>;
}

/**
 * Starts both on free ports. Over REST, what is not redirected is asked at `behind`, or answered with nothing found
 * where that is absent. Over gRPC everything is redirected.
 */
export async function startRedirectingUpstream(behind?: string): Promise<RedirectingUpstream> {
  const heard: string[] = [];
  const asked: string[] = [];
  let sentAway: SentAway = () => null;
  let target = '';
  const other = createServer((request, response) => {
    heard.push(`${request.method} ${request.url} ${String(request.headers['api-key'])}`);
    response.setHeader('content-type', 'application/json');
    response.end('{"result":{},"status":"ok","time":0.0}');
  });
  const elsewhere = `http://127.0.0.1:${await portOf(other)}`;
  const rest = createServer((request, response) => {
    asked.push(request.url ?? '');
    const status = sentAway(request);
    if (status !== null) {
      response.writeHead(status, { location: `${target}${request.url}` }).end();
      request.resume();
    } else if (behind === undefined) {
      request.resume();
      response.setHeader('content-type', 'application/json');
      response.end('{"result":{"points":[]},"status":"ok","time":0.0}');
    } else {
      const { method, url = '', headers } = request;
      const onward = send(behind + url, { method, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    }
  });
  const grpc = createGrpcServer();
  const sessions = new Set<ServerHttp2Session>();
  grpc.on('session', (session: ServerHttp2Session) => sessions.add(session));
  grpc.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    asked.push(headers[':path'] ?? '');
    stream.resume();
    stream.respond({ ':status': 308, location: `${elsewhere}${headers[':path']}` }, { endStream: true });
  });
  return {
    elsewhere,
    heard,
    asked,
    url: `http://127.0.0.1:${await portOf(rest)}`,
    grpcUrl: `http://127.0.0.1:${await portOf(grpc)}`,
    use: (chosen, to = elsewhere) => {
      sentAway = chosen;
      target = to;
    },
    close: async () => {
      const closed = [rest, grpc, other].map((server) => new Promise((done) => server.close(done)));
      for (const session of sessions) session.destroy();
      for (const server of [rest, other]) server.closeAllConnections();
      await Promise.all(closed);
    },
  };
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
