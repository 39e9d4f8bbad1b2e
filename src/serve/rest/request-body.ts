import type { IncomingMessage } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import type { HeldBytes } from '../byte-budget.js';
import type { ProxyLimits } from '../proxy-options.js';
import { headerOf } from './headers.js';
import { BodyTooLarge, decompressed, readableCoding, readWhole } from '../whole-body.js';

/**
 * Bodies up to this size are read whole and sent in one piece, which is cheaper than a stream of one chunk.
 */
const WHOLE_BYTES_MAX = 64 * 1024;

/** Returns the announced length of a request's body; null for no body, Infinity for an unknown length. */
function announcedBytes(request: IncomingMessage): number | null {
  if (request.headers['transfer-encoding'] !== undefined) return Number.POSITIVE_INFINITY;
  const length = request.headers['content-length'];
  return length === undefined || length === '0' ? null : Number(length);
}

/**
 * Returns a client's body in the form in which it is sent on. If the database does not read a stream to its
 * end, the stream is abandoned, but the client's connection stays open for the answer.
 * @param onBytes called with the number of bytes of each piece
 */
export async function passingBody(
  request: IncomingMessage,
  onBytes: (bytes: number) => void,
): Promise<Buffer | Readable | null> {
  const length = announcedBytes(request);
  if (length === null) return null;
  if (length <= WHOLE_BYTES_MAX) {
    const whole = await readWhole(request, { limitBytes: WHOLE_BYTES_MAX });
    onBytes(whole.length);
    return whole;
  }
  const body = new PassThrough({ highWaterMark: WHOLE_BYTES_MAX });
  request.once('close', () => {
    if (!request.complete) body.destroy(new Error('the client is gone'));
  });
  // The rest of the body is read and thrown away, since the client may send more requests behind it.
  body.once('close', () => request.unpipe(body).resume());
  request.on('data', (chunk: Buffer) => onBytes(chunk.length));
  request.pipe(body);
  return body;
}

/** Returns whether a request has a body, even if it has not arrived yet. */
export function hasBody(request: IncomingMessage): boolean {
  return announcedBytes(request) !== null;
}

/**
 * Returns the body if it is uncompressed and so small that it may be read before the request is routed;
 * otherwise undefined.
 * @param onBytes called with the number of bytes received
 * @throws BodyUnreadable when the body breaks off
 */
export async function smallBody(
  request: IncomingMessage,
  clientTimeoutMs: number,
  onBytes: (bytes: number) => void,
): Promise<Buffer | undefined> {
  const length = announcedBytes(request);
  if (length === null || length > WHOLE_BYTES_MAX || request.headers['content-encoding'] !== undefined)
    return undefined;
  awaitBody(request, clientTimeoutMs);
  const body = await readWhole(request, { limitBytes: WHOLE_BYTES_MAX });
  onBytes(body.length);
  return body;
}

/** Cuts off a client that sends nothing for too long while its body is incomplete. */
export function awaitBody(request: IncomingMessage, clientTimeoutMs: number): void {
  if (request.complete || announcedBytes(request) === null) return;
  const { socket } = request;
  socket.setTimeout(clientTimeoutMs);
  request.once('end', () => socket.setTimeout(0));
}

interface WholeBodyOptions {
  readonly limits: Pick<ProxyLimits, 'restBodyBytesMax' | 'clientTimeoutMs'>;
  /** Counts the decompressed body, and the rewritten one as well. */
  readonly held: HeldBytes;
  /** Called with the number of bytes received. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Returns a client's whole body, decompressed.
 * @throws BodyTooLarge and NoRoom, before anything is read if the size is announced; CodingUnsupported for a
 * compression that the proxy cannot read
 */
export async function wholeBody(
  request: IncomingMessage,
  { limits, held, onBytes }: WholeBodyOptions,
): Promise<Buffer> {
  const bounds = { limitBytes: limits.restBodyBytesMax, meter: held.meter };
  const coding = readableCoding(headerOf(request.rawHeaders, 'content-encoding'));
  const announced = announcedBytes(request);
  if (announced !== null && Number.isFinite(announced)) {
    if (announced > bounds.limitBytes) throw new BodyTooLarge(bounds.limitBytes, announced);
    held.expect(2 * announced);
  }
  awaitBody(request, limits.clientTimeoutMs);
  const raw = await readWhole(request, bounds);
  onBytes(raw.length);
  const plain = await decompressed(raw, coding, bounds);
  if (plain !== raw) held.give(raw.length);
  held.take(plain.length);
  return plain;
}
