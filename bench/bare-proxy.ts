import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { Pool } from 'undici';
import { collectGarbageLessOften } from '../src/cli/collect-garbage-less-often.js';

/**
 * The least a proxy on Node can do: every request goes to the upstream and its answer back, with nothing looked at.
 * The floor that the real one is compared with. Arguments: upstream origin, number of processes (default 1) that share
 * one port; prints that port.
 */
collectGarbageLessOften();
const [origin = '', processes = '1'] = process.argv.slice(2);
/** Of one connection only. */
const DROPPED = new Set(['connection', 'host', 'transfer-encoding', 'keep-alive']);
const kept = <T>(headers: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !DROPPED.has(name)));

function serve(): void {
  const pool = new Pool(origin, { connections: 64 });
  const server = createServer((request, response) => {
    const { method = 'GET', url = '/', headers } = request;
    pool.dispatch(
      { method, path: url, headers: kept(headers), body: request },
      {
        onRequestStart: () => undefined,
        onResponseStart: (_controller, status, received) => void response.writeHead(status, kept(received)),
        onResponseData: (_controller, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (!cluster.isWorker) console.log(typeof address === 'object' && address !== null ? address.port : '');
  });
}

/** Several that share the port which the first of them got. */
function serveTogether(count: number): void {
  let listening = 0;
  cluster.on('listening', (_, { port }) => {
    if (++listening === count) console.log(port);
  });
  for (let i = 0; i < count; i++) cluster.fork();
}

if (cluster.isPrimary && Number(processes) > 1) serveTogether(Number(processes));
else serve();
