import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { OpenAnswers } from '../open-answers.js';

/** What an https server calls a connection that it may read requests from, and what an http server calls it. */
type ConnectionEvent = 'secureConnection' | 'connection';

/**
 * Answers requests that ask for another protocol (`Upgrade`) in the one that they came in, as the database does. Node's
 * parser stops reading behind such a request, and would lose what is pipelined there: so the connection is read again
 * from that request on, without the header that asks for the upgrade.
 */
export function refuseUpgrades(server: Server, answers: OpenAnswers, event: ConnectionEvent): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
    // Node forgets the answers that earlier requests wait for, and would send later ones before them.
    void answers.allOf(socket).then(() => {
      if (socket.destroyed) return;
      // Node adds its own once more.
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
