import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RestAnswer } from '../protocol.js';
import { beginAnswer } from './relay.js';

/** The proxy reads the rest of an unneeded body until nothing more has come for so long. */
const LINGER_MS = 2_000;
/** Longest time for which it reads on, however much comes. */
const LINGER_MS_MAX = 30_000;

interface Exchanging {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * Sends one of the proxy's own answers. If another answer has begun, the response is destroyed instead.
 * @param options.headers headers of all of the proxy's own answers, names and values in turn
 * @param options.last whether the connection ends with this answer
 * @returns the number of bytes of the answer's body
 */
export function answerOwn(
  { request, response }: Exchanging,
  { status, contentType, body, retryAfter }: RestAnswer,
  { headers: common, last }: { readonly headers: readonly string[]; readonly last: boolean },
): number {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return 0;
  }
  const bytes = Buffer.from(body);
  const headers = [...common, 'content-length', String(bytes.length)];
  if (contentType !== '') headers.push('content-type', contentType);
  if (retryAfter !== undefined) headers.push('retry-after', retryAfter);
  headers.push('date', new Date().toUTCString());
  beginAnswer({ request, response }, { status, headers, last: !request.complete || last });
  const sent = request.method === 'HEAD' ? undefined : bytes;
  if (request.complete) response.end(sent);
  else answerEarly({ request, response }, sent);
  return sent?.length ?? 0;
}

/**
 * Answers a client that is still sending. Many clients read an answer only when they have sent everything. If the connection
 * closed before, they would get an error in place of the answer.
 */
function answerEarly({ request, response }: Exchanging, bytes: Buffer | undefined): void {
  if (bytes !== undefined) response.write(bytes);
  const more = (): void => void quiet.refresh();
  const end = (): void => {
    request.off('data', more);
    clearTimeout(quiet);
    clearTimeout(longest);
    response.end();
  };
  const quiet = setTimeout(end, LINGER_MS);
  const longest = setTimeout(end, LINGER_MS_MAX);
  request.on('data', more);
  request.once('end', end).once('close', end).resume();
}
