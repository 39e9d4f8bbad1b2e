import { createServer, METHODS, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { RequestsInFlight } from '../requests-in-flight.js';
import { OpenAnswers } from '../open-answers.js';
import type { ProxyOptions } from '../proxy-options.js';
import { ignoreHttpUpgrade } from './ignore-http-upgrade.js';
import { RestExchange, type RestDependencies } from './exchange.js';
import { HEADER_BYTES_MAX } from './upstream.js';

const HEADERS_TIMEOUT_MS = 60_000;
/** Interval between checks for connections whose headers do not arrive. */
const CHECK_INTERVAL_MS = 5_000;
const IDLE_CONNECTION_MS = 75_000;
const TCP_PROBE_AFTER_MS = 60_000;

/** Returns the listener for REST requests. */
export function createRestListener(parts: RestDependencies, tls: ProxyOptions['tls']): Server {
  const options = {
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, parts.limits.clientTimeoutMs),
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    // A large upload may take long. Only silence ends it, see `RestExchange`.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_CONNECTION_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    // The database decides whether a request needs a `host` header.
    requireHostHeader: false,
    keepAlive: true,
    keepAliveInitialDelay: TCP_PROBE_AFTER_MS,
  };
  const inFlight = new RequestsInFlight(parts.limits.requestsMax);
  const answers = new OpenAnswers();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new RestExchange(parts, request, response);
    answers.add(response);
    response.once('prefinish', () => cutOffIdle(response, parts.limits.clientTimeoutMs));
    const hasRoom = inFlight.begin(response, () => exchange.run());
    if (!hasRoom)
      exchange.fail('overloaded', 'the proxy has too many requests in progress: repeat the request later');
  };
  const server =
    tls === undefined ? createServer(options, listener) : createTlsServer({ ...options, ...tls }, listener);
  // After an error, the parser also reports every further packet of that connection.
  const ending = new WeakSet<Duplex>();
  const end = (socket: Duplex, status: string): void => {
    if (ending.has(socket)) return;
    ending.add(socket);
    void answers.endAfter(socket, emptyAnswer(status));
  };
  ignoreHttpUpgrade(server, answers, tls === undefined ? 'connection' : 'secureConnection');
  // The database ignores unknown expectations, so the proxy does too.
  server.on('checkExpectation', listener);
  server.on('clientError', (error: ClientError, socket) => end(socket, statusOf(error)));
  // The proxy is no tunnel. It answers as the database does.
  server.on('connect', (_request, socket) => end(socket, NOT_FOUND));
  return server;
}

/** Cuts off a client that does not take its whole answer, since the answer is held in memory. */
function cutOffIdle(response: ServerResponse, clientTimeoutMs: number): void {
  const { socket } = response.req;
  if (response.writableFinished) return;
  socket.setTimeout(clientTimeoutMs);
  // Runs before Node sets its keep-alive timeout.
  response.prependOnceListener('finish', () => socket.setTimeout(0));
}

/** Node's error for bytes that are no HTTP request. */
interface ClientError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer;
}

const NOT_FOUND = '404 Not Found';
/** A request line of HTTP/1: method, target and version (RFC 9112, 3). */
const REQUEST_LINE = /^([\w!#$%&'*+.^`|~-]+) [!-~]+ HTTP\/1\.[01]\r?\n/;

/** Returns the HTTP status for bytes that are no valid HTTP request. */
function statusOf({ code, rawPacket }: ClientError): string {
  if (code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout';
  const [, method] = REQUEST_LINE.exec(rawPacket?.toString('latin1') ?? '') ?? [];
  // Node's parser rejects unknown methods. The server treats them as unknown routes and answers 404.
  return method === undefined || METHODS.includes(method) ? '400 Bad Request' : NOT_FOUND;
}

function emptyAnswer(status: string): string {
  return `HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\ndate: ${new Date().toUTCString()}\r\n\r\n`;
}
