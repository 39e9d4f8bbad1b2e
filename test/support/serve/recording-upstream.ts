import { once } from 'node:events';
import { createServer as createRestServer, type ServerResponse } from 'node:http';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';

/** A call or a request as the upstream sees it. */
export interface Recorded<Answering> {
  readonly path: string;
  readonly answering: Answering;
  /** How it ended: of calls the code of their reset, of requests whether they were answered to the end. */
  readonly ended: Promise<number | boolean>;
}

/** Takes whatever comes, answers nothing by itself, and tells what became of it: no server says that of itself. */
export interface RecordingUpstream {
  readonly url: string;
  readonly grpcUrl: string;
  readonly nextCall: () => Promise<Recorded<ServerHttp2Stream>>;
  readonly nextRequest: () => Promise<Recorded<ServerResponse>>;
  readonly close: () => Promise<void>;
}

/** Starts one on free ports. */
export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  const calls = new Arrivals<Recorded<ServerHttp2Stream>>();
  const requests = new Arrivals<Recorded<ServerResponse>>();
  const grpc = createServer();
  const sessions = new Set<{ destroy(): void }>();
  grpc.on('session', (session) => sessions.add(session));
  grpc.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    stream.resume();
    const ended = once(stream, 'close').then(() => stream.rstCode);
    calls.add({ path: headers[':path'] ?? '', answering: stream, ended });
  });
  const rest = createRestServer((request, response) => {
    response.on('error', () => undefined);
    request.on('error', () => undefined).resume();
    const ended = once(response, 'close').then(() => response.writableFinished);
    requests.add({ path: request.url ?? '', answering: response, ended });
  });
  const [restPort, grpcPort] = [await portOf(rest), await portOf(grpc)];
  return {
    url: `http://127.0.0.1:${restPort}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    nextCall: () => calls.next(),
    nextRequest: () => requests.next(),
    close: async () => {
      const closed = [rest, grpc].map((server) => new Promise((done) => server.close(done)));
      for (const session of sessions) session.destroy();
      rest.closeAllConnections();
      await Promise.all(closed);
    },
  };
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** What has come and nobody has taken, or who waits for what has not come. */
class Arrivals<T> {
  readonly #come: T[] = [];
  readonly #waiting: ((one: T) => void)[] = [];

  add(one: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#come.push(one);
    else next(one);
  }

  next(): Promise<T> {
    const one = this.#come.shift();
    return one === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(one);
  }
}
