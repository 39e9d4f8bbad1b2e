import { createServer, type Server } from 'node:http';
import { messageOf } from '../../core/errors.js';
import type { ListenAddress } from '../proxy-options.js';
import { listen } from './start-proxy.js';

export interface OperationsOptions {
  readonly address: ListenAddress;
  /** Returns whether the proxy can take traffic. */
  readonly ready: () => Promise<boolean>;
  /** Returns all metrics in Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** Returns what is served, as plain data. */
  readonly served: () => unknown;
}

/** The listener for operators of the proxy. */
export interface Operations {
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/**
 * Starts the listener for /healthz, /readyz, /metrics and /served, on an address separate from the clients' ports.
 * @throws UNAVAILABLE when the address is taken or cannot be listened on
 */
export async function startOperations(options: OperationsOptions): Promise<Operations> {
  const server: Server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    const say = (status: number, body: string, contentType = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') say(405, 'only GET\n');
    else if (path === '/healthz') say(200, 'ok\n');
    else if (path === '/readyz')
      options.ready().then(
        (ready) => say(ready ? 200 : 503, ready ? 'ready\n' : 'not ready\n'),
        () => say(503, 'not ready\n'),
      );
    else if (path === '/metrics')
      options.metrics().then(
        (text) => say(200, text, 'text/plain; version=0.0.4; charset=utf-8'),
        (error: unknown) => say(500, `${messageOf(error)}\n`),
      );
    else if (path === '/served') say(200, `${JSON.stringify(options.served())}\n`, 'application/json');
    else say(404, 'not found: use /healthz, /readyz, /metrics or /served\n');
  });
  const address = await listen(server, options.address);
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
