import {
  connect,
  constants,
  createServer,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

/** Stands before a gRPC server and answers calls itself, with a status, while it is told to. */
export interface BusyGrpc {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** @param refuse the status of a call that is not let through, or null */
export async function startBusyGrpc(to: () => string, refuse: () => number | null): Promise<BusyGrpc> {
  const clients = new Set<ServerHttp2Session>();
  let session: ClientHttp2Session | undefined;
  const upstream = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    session = connect(to());
    session.on('error', () => undefined);
    session.on('goaway', () => session?.close());
    return session;
  };
  const server = createServer();
  server.on('session', (client) => {
    clients.add(client);
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const status = refuse();
    if (status === null) passOn(stream, headers, upstream());
    else
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status) },
        { endStream: true },
      );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      session?.destroy();
      for (const client of clients) client.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function passOn(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, upstream: ClientHttp2Session): void {
  const call = upstream.request(headers);
  let trailers: IncomingHttpHeaders = {};
  const broken = (): void => {
    if (!stream.closed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  };
  call.on('error', broken);
  call.on('trailers', (found: IncomingHttpHeaders) => {
    trailers = found;
  });
  call.on('response', (head, flags) => {
    if (stream.closed || stream.destroyed) return;
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) stream.respond(head, { endStream: true });
    else {
      stream.respond(head, { waitForTrailers: true });
      call.pipe(stream);
    }
  });
  // What ends without trailers was cut off.
  stream.on('wantTrailers', () =>
    Object.keys(trailers).length > 0 ? stream.sendTrailers(trailers) : broken(),
  );
  call.on('close', () => {
    if (!stream.headersSent) broken();
  });
  stream.on('close', () => call.close(constants.NGHTTP2_CANCEL));
  stream.pipe(call);
}
