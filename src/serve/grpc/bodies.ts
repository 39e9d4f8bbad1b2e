import type { ClientHttp2Stream, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Readable } from 'node:stream';
import type { HeldBytes } from '../byte-budget.js';
import { encodeStatusText, endWith, PREFIX_BYTES, readableEncoding, unframe } from './frames.js';
import { trailersOf, type CallEnd } from './metadata.js';
import type { CallStatus } from '../protocol.js';
import type { ProxyLimits } from '../proxy-options.js';
import { SHADOWED_BYTES_MAX } from '../shadow.js';
import { readWhole } from '../whole-body.js';

const CONTENT_TYPE = 'application/grpc';

interface MessageOptions {
  /** The compression that the call's metadata names. */
  readonly encoding: string | undefined;
  readonly limits: Pick<ProxyLimits, 'clientTimeoutMs' | 'grpcMessageBytesMax'>;
  /** Counts the decompressed message, and the rewritten one as well. */
  readonly held: HeldBytes;
  /** Called with the number of bytes received. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Returns the one message of a client's call, decompressed.
 * @throws CodingUnsupported when it is in a compression that the server does not read
 * @throws BodyTooLarge when it is above the limit
 * @throws BodyUnreadable when the body holds no message, several messages or a damaged one
 * @throws NoRoom when the requests of all clients take too much memory
 */
export async function wholeMessage(
  stream: ServerHttp2Stream,
  { encoding, limits, held, onBytes }: MessageOptions,
): Promise<Buffer> {
  const { clientTimeoutMs, grpcMessageBytesMax: limitBytes } = limits;
  const readable = readableEncoding(encoding);
  const { meter } = held;
  stream.setTimeout(clientTimeoutMs);
  const body = await readWhole(stream, { limitBytes: limitBytes + PREFIX_BYTES, meter });
  onBytes(body.length);
  stream.setTimeout(0);
  const message = await unframe(body, { encoding: readable, limitBytes, meter });
  const isCompressed = body[0] !== 0;
  if (isCompressed) held.give(body.length);
  held.take(message.length);
  return message;
}

/**
 * Returns the one message of an answer, rewritten. The message is counted as long as it is held.
 * @throws BodyTooLarge when it is above the limit
 * @throws BodyUnreadable when the body holds no message, several messages or a damaged one
 * @throws NoRoom when the requests of all clients take too much memory
 * @throws any error of `rewrite`
 */
export async function rewrittenMessage(
  body: Buffer,
  { encoding, limitBytes, held }: { encoding: string | undefined; limitBytes: number; held: HeldBytes },
  rewrite: (message: Buffer) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const message = await unframe(body, { encoding, limitBytes, meter: held.answerMeter });
  // Computed before rewriting: handing the body to a thread empties it here.
  const heldBytes = body.length + (body[0] === 0 ? 0 : message.length);
  const rewritten = await rewrite(message);
  held.add(rewritten.length);
  held.give(heldBytes);
  return rewritten;
}

/** Counts a stream's window while the stream is paused, since it may then hold that many bytes. */
export function countPauses(stream: Readable, windowBytes: number, held: HeldBytes): void {
  let isPaused = false;
  stream.on('pause', () => {
    if (!isPaused) held.add(windowBytes);
    isPaused = true;
  });
  stream.on('resume', () => {
    if (!isPaused || stream.isPaused()) return;
    isPaused = false;
    held.give(windowBytes);
  });
}

interface StreamingOptions {
  readonly held: HeldBytes;
  readonly windowBytes: number;
  readonly clientTimeoutMs: number;
  /** Whether to keep a copy of the answer, unless it is too large. */
  readonly copied: boolean;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Streams an answer to its client. A client that takes nothing for too long is cut off.
 * @returns the copy, complete when the answer is; empty if none is kept
 */
export function streamAnswer(
  from: ClientHttp2Stream,
  to: ServerHttp2Stream,
  { held, windowBytes, clientTimeoutMs, copied, onBytes }: StreamingOptions,
): readonly Buffer[] {
  const copy: Buffer[] = [];
  let copiedBytes = copied ? 0 : Number.POSITIVE_INFINITY;
  from.on('data', (chunk: Buffer) => {
    onBytes(chunk.length);
    copiedBytes += chunk.length;
    if (copiedBytes <= SHADOWED_BYTES_MAX && held.tryTake(chunk.length)) {
      copy.push(chunk);
      return;
    }
    held.give(copy.reduce((sum, { length }) => sum + length, 0));
    copy.length = 0;
    copiedBytes = Number.POSITIVE_INFINITY;
  });
  countPauses(from, windowBytes, held);
  from
    .on('pause', () => to.setTimeout(clientTimeoutMs))
    .on('resume', () => to.setTimeout(0))
    .on('end', () => to.setTimeout(clientTimeoutMs));
  from.pipe(to);
  return copy;
}

/** Sends a client the whole answer to its call: one uncompressed message and the status. */
export function answerWith(
  stream: ServerHttp2Stream,
  headers: OutgoingHttpHeaders,
  { message, end }: { readonly message: Uint8Array; readonly end: CallEnd },
): void {
  const kept = Object.entries(headers).filter(
    ([name]) => name !== 'grpc-encoding' && name !== 'content-length',
  );
  stream.respond(
    { 'content-type': CONTENT_TYPE, ...Object.fromEntries(kept), ':status': 200 },
    { waitForTrailers: true },
  );
  stream.once('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': end.status, 'grpc-message': encodeStatusText(end.message) }),
  );
  endWith(stream, message);
}

/** Ends a call with a status and no message. */
export function refuseWith(
  stream: ServerHttp2Stream,
  status: CallStatus,
  retryAfter: string | undefined,
): void {
  stream.respond(
    {
      ':status': 200,
      'content-type': CONTENT_TYPE,
      ...trailersOf(status),
      ...(retryAfter !== undefined && { 'retry-after': retryAfter }),
    },
    { endStream: true },
  );
}
