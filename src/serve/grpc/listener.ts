import {
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { expectDefined } from '../../core/errors.js';
import { GrpcExchange } from './exchange.js';
import { CODE } from './failures.js';
import type { GrpcDependencies } from './listener-dependencies.js';
import { CLIENT_WINDOW_BYTES } from './upstream.js';
import { RequestsInFlight } from '../requests-in-flight.js';
import type { ProxyOptions } from '../proxy-options.js';

const SESSION_MEGABYTES_MAX = 64;
const TCP_PROBE_AFTER_MS = 60_000;

/** A gRPC listener and the connections of its clients. */
export interface GrpcListener {
  readonly server: Http2Server;
  /** Tells every client that its connection takes no more calls. Calls in progress continue. */
  readonly goAway: () => void;
  /** Ends every connection. */
  readonly destroy: () => void;
}

/** Returns the listener for gRPC calls: plain HTTP/2, or HTTP/2 over TLS if `tls` is given. */
export function createGrpcListener(parts: GrpcDependencies, tls: ProxyOptions['tls']): GrpcListener {
  const { requestsMax } = parts.limits;
  const options = {
    settings: { initialWindowSize: CLIENT_WINDOW_BYTES, maxConcurrentStreams: requestsMax },
    maxSessionMemory: SESSION_MEGABYTES_MAX,
    keepAlive: true,
    keepAliveInitialDelay: TCP_PROBE_AFTER_MS,
  };
  const server = tls === undefined ? createServer(options) : createSecureServer({ ...options, ...tls });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => undefined);
    session.setLocalWindowSize(CLIENT_WINDOW_BYTES);
    if (parts.draining()) session.close();
  });
  server.on('sessionError', () => undefined);
  const inFlight = new RequestsInFlight(requestsMax);
  server.on('stream', (stream: ServerHttp2Stream, headers, _flags, rawHeaders?: string[]) => {
    const call = new GrpcExchange(parts, stream, {
      headers,
      raw: expectDefined(rawHeaders, 'the raw headers of a call'),
    });
    const hasRoom = inFlight.begin(stream, () => call.run());
    if (!hasRoom)
      call.refuse(CODE.exhausted, 'the proxy has too many calls in progress: repeat the call later');
  });
  return {
    server,
    goAway: () => {
      for (const session of sessions) session.close();
    },
    destroy: () => {
      for (const session of sessions) session.destroy();
    },
  };
}
