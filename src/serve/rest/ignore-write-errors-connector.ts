import type { Duplex } from 'node:stream';
import { buildConnector } from 'undici';

const LOST = ['EPIPE', 'ECONNRESET'];

/**
 * Opens connections on which a write that fails is no failure yet. A server that refuses a request before it has read
 * its body closes the connection: writing fails while the answer still lies there unread. Reading says how it ended.
 */
export function ignoreWriteErrorsConnector(timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({ timeout: timeoutMs });
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0] === null) writePatiently(result[1]);
      callback(...result);
    });
}

function writePatiently(socket: Duplex): void {
  const write = socket._write.bind(socket);
  const writeMany = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => write(chunk, encoding, (error) => done(unlessLost(error)));
  if (writeMany !== undefined)
    socket._writev = (chunks, done) => writeMany(chunks, (error) => done(unlessLost(error)));
}

function unlessLost(error: NodeJS.ErrnoException | null | undefined): Error | null {
  return error == null || LOST.includes(error.code ?? '') ? null : error;
}
