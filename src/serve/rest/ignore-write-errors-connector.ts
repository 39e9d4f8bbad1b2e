import type { Duplex } from 'node:stream';
import { buildConnector } from 'undici';

const LOST = ['EPIPE', 'ECONNRESET'];

/**
 * Returns a connector whose connections ignore failed writes. A server that refuses a request before it has
 * read the body closes the connection. Writing then fails although the answer can still be read. Errors of
 * reading do count.
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
