import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ProxyOptions } from './proxy-options.js';
import { RestExchange, type RestParts } from './rest-exchange.js';
import { HEADER_BYTES_MAX } from './rest-upstream.js';

const HEADERS_TIMEOUT_MS = 60_000;
const IDLE_CONNECTION_MS = 75_000;
const TCP_PROBE_AFTER_MS = 60_000;

/** The listener for REST requests. */
export function createRestFront(parts: RestParts, tls: ProxyOptions['tls']): Server {
  const options = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    // A large upload may take its time: silence is what ends it, see `RestExchange`.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_CONNECTION_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    // Whether a request needs a host is the database's to say.
    requireHostHeader: false,
    keepAlive: true,
    keepAliveInitialDelay: TCP_PROBE_AFTER_MS,
  };
  let inFlight = 0;
  const answers = new WeakMap<Duplex, ServerResponse>();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new RestExchange(parts, request, response);
    answers.set(request.socket, response);
    inFlight++;
    response.once('close', () => inFlight--);
    if (inFlight > parts.limits.requestsMax)
      exchange.fail('overloaded', 'the proxy has too many requests under way');
    else void exchange.run();
  };
  const server =
    tls === undefined ? createServer(options, listener) : createTlsServer({ ...options, ...tls }, listener);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (answers.get(socket)?.headersSent === true || !socket.writable) socket.destroy();
    else socket.end(malformedAnswer(error.code));
  });
  return server;
}

/** What is no HTTP never becomes a request; it gets the answer that HTTP has for it. */
function malformedAnswer(code: string | undefined): string {
  const status =
    code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  return `HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\ndate: ${new Date().toUTCString()}\r\n\r\n`;
}
