import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { OpenAnswers } from '../open-answers.js';

/**
 * Name of the event that a server emits when a connection is ready for requests: `secureConnection` on an https server,
 * `connection` on an http server.
 */
type ConnectionEvent = 'secureConnection' | 'connection';

/**
 * Answers requests that ask for another protocol (`Upgrade`) in HTTP/1.1, as the database does. Node's parser
 * stops after such a request and would lose the requests pipelined behind it. The connection is therefore
 * read again from that request on, without the `Upgrade` header.
 */
export function ignoreHttpUpgrade(server: Server, answers: OpenAnswers, event: ConnectionEvent): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
    // Node forgets the open answers of earlier requests and would send later answers before them.
    void answers.allOf(socket).then(() => {
      if (socket.destroyed) return;
      // Node adds its own listener again.
      socket.removeAllListeners('timeout');
      socket.unshift(Buffer.concat([headWithoutUpgrade(request), rest]));
      server.emit(event, socket);
    });
  });
}

function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method ?? 'GET'} ${url ?? '/'} HTTP/${httpVersion}`];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    if (rawHeaders[i]?.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
