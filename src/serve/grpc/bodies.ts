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
  /** The compression that the call names. */
  readonly encoding: string | undefined;
  readonly limits: Pick<ProxyLimits, 'clientTimeoutMs' | 'grpcMessageBytesMax'>;
  /** Where the message is counted, decompressed, and once more for what it is rewritten to. */
  readonly held: HeldBytes;
  /** Told how many bytes came. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * The one message of a client's call, decompressed.
 * @throws CodingUnsupported, BodyTooLarge, BodyUnreadable, NoRoom
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
 * Rewrites the one message of an answer, which is counted as long as it is held.
 * @throws BodyTooLarge, BodyUnreadable, NoRoom, and what rewriting throws
 */
export async function rewrittenMessage(
  body: Buffer,
  { encoding, limitBytes, held }: { encoding: string | undefined; limitBytes: number; held: HeldBytes },
  rewrite: (message: Buffer) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const message = await unframe(body, { encoding, limitBytes, meter: held.answerMeter });
  // Of a body that is handed to a thread nothing is left here.
  const heldBytes = body.length + (body[0] === 0 ? 0 : message.length);
  const rewritten = await rewrite(message);
  held.add(rewritten.length);
  held.give(heldBytes);
  return rewritten;
}

/** While nothing is taken from a stream, it may hold as much as its window. */
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
  /** A copy is wanted, of an answer that is not too large. */
  readonly copied: boolean;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Lets an answer flow to its client, who is cut off where it takes nothing for too long.
 * @returns the copy, complete when the answer is; empty where none is kept
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

/** Gives a client the whole answer to its call: one message, which is not compressed, and how the call ended. */
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

/** Ends a call with a status alone. */
export function refuseWith(
  stream: ServerHttp2Stream,
  status: CallStatus,
  retryAfter: string | undefined,
): void {
  stream.respond(
    {
      ...{ ':status': 200, 'content-type': CONTENT_TYPE, ...trailersOf(status) },
      ...(retryAfter !== undefined && { 'retry-after': retryAfter }),
    },
    { endStream: true },
  );
}
