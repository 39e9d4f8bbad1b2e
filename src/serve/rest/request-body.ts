import type { IncomingMessage } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import type { HeldBytes } from '../byte-budget.js';
import type { ProxyLimits } from '../proxy-options.js';
import { headerOf } from './headers.js';
import { BodyTooLarge, decompressed, readableCoding, readWhole } from '../whole-body.js';

/** Bodies up to here are read before they are sent on, in one piece: cheaper than a stream of one chunk. */
const WHOLE_BYTES_MAX = 64 * 1024;

/** The announced length of a request's body; null for one that has none, Infinity for one of unknown length. */
function announcedBytes(request: IncomingMessage): number | null {
  if (request.headers['transfer-encoding'] !== undefined) return Number.POSITIVE_INFINITY;
  const length = request.headers['content-length'];
  return length === undefined || length === '0' ? null : Number(length);
}

/**
 * A client's body as it can be sent on. A stream that the database does not read to its end is given up without the
 * client's connection, which still has to carry the answer.
 * @param onBytes told how many bytes came, as they come
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
  // What the database does not want is still to be taken from the client, which may have more to ask behind it.
  body.once('close', () => request.unpipe(body).resume());
  request.on('data', (chunk: Buffer) => onBytes(chunk.length));
  request.pipe(body);
  return body;
}

/** Whether a request has a body, which may be yet to come. */
export function hasBody(request: IncomingMessage): boolean {
  return announcedBytes(request) !== null;
}

/**
 * A body that is so small that it may be read before anybody knows what it is for; undefined for any other, and for
 * one that is compressed.
 * @param onBytes told how many bytes came
 * @throws BodyUnreadable for one that breaks off
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

/** While a body is to come, a client that says nothing for too long is cut off. */
export function awaitBody(request: IncomingMessage, clientTimeoutMs: number): void {
  if (request.complete || announcedBytes(request) === null) return;
  const { socket } = request;
  socket.setTimeout(clientTimeoutMs);
  request.once('end', () => socket.setTimeout(0));
}

interface WholeBodyOptions {
  readonly limits: Pick<ProxyLimits, 'restBodyBytesMax' | 'clientTimeoutMs'>;
  /** Where the body is counted, decompressed, and once more for what it is rewritten to. */
  readonly held: HeldBytes;
  /** Told how many bytes came. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * A client's whole body, decompressed.
 * @throws BodyTooLarge and NoRoom before anything is read where the size is announced, CodingUnsupported for a
 * compression that cannot be read
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
