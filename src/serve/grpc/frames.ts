import type { Writable } from 'node:stream';
import { BodyUnreadable, CodingUnsupported, decompressed, type BodyBounds } from '../whole-body.js';

/** A byte for compression and four for the length stand before every message. */
export const PREFIX_BYTES = 5;
/** Copying a smaller message costs less than writing twice. */
const COPIED_BYTES_MAX = 64 * 1024;

/** Ends a call's body with its one message, not compressed. */
export function endWith(stream: Writable, message: Uint8Array): void {
  const copied = message.length <= COPIED_BYTES_MAX;
  const begin = Buffer.allocUnsafe(PREFIX_BYTES + (copied ? message.length : 0));
  begin.writeUInt8(0, 0);
  begin.writeUInt32BE(message.length, 1);
  if (copied) {
    begin.set(message, PREFIX_BYTES);
    stream.end(begin);
    return;
  }
  stream.write(begin);
  stream.end(message);
}

/**
 * The compression of a call's messages, as it was named.
 * @throws CodingUnsupported for one that the server does not read either
 */
export function readableEncoding(encoding: string | undefined): string | undefined {
  if (encoding !== undefined && encoding !== 'gzip' && encoding !== 'identity')
    throw new CodingUnsupported(`Content is compressed with \`${encoding}\` which isn't supported`);
  return encoding;
}

/**
 * The one message of a unary call's body, decompressed.
 * @throws BodyUnreadable for none, several or damaged ones, BodyTooLarge for what would grow beyond the limit, and what
 * the meter throws
 */
export async function unframe(
  body: Buffer,
  { encoding, ...bounds }: BodyBounds & { readonly encoding: string | undefined },
): Promise<Buffer> {
  if (body.length < PREFIX_BYTES) throw new BodyUnreadable('the call has no whole message');
  const message = body.subarray(PREFIX_BYTES);
  const length = body.readUInt32BE(1);
  if (length !== message.length)
    throw new BodyUnreadable(`a message of ${length} bytes was announced, ${message.length} came`);
  if (body[0] === 0) return message;
  if (encoding !== 'gzip')
    throw new BodyUnreadable(
      'protocol error: received message with compressed-flag but no grpc-encoding was specified',
    );
  return decompressed(message, 'gzip', bounds);
}

/** Bytes of a status text that are written as they are: what other servers escape needlessly is escaped here, too. */
const PLAIN = /^[!$-;=@-_a-z|~]$/;

/** Text as grpc-message carries it (gRPC over HTTP/2, "Percent-Encoded"). */
export function encodeStatusText(text: string): string {
  return Array.from(Buffer.from(text), (byte) => {
    const char = String.fromCharCode(byte);
    if (char !== '%' && PLAIN.test(char)) return char;
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

/** As it came where it is not encoded as it should be. */
export function decodeStatusText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
