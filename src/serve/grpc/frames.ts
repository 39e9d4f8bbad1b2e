import type { Writable } from 'node:stream';
import { BodyUnreadable, CodingUnsupported, decompressed, type BodyBounds } from '../whole-body.js';

/** Every message is preceded by one byte for compression and four for the length. */
export const PREFIX_BYTES = 5;
/** Copying a smaller message costs less than writing twice. */
const COPIED_BYTES_MAX = 64 * 1024;

/** Writes a call's one message, uncompressed, and ends the body. */
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
 * Returns the compression of a call's messages.
 * @throws CodingUnsupported for a compression that the server does not read either
 */
export function readableEncoding(encoding: string | undefined): string | undefined {
  if (encoding !== undefined && encoding !== 'gzip' && encoding !== 'identity')
    throw new CodingUnsupported(`Content is compressed with \`${encoding}\` which isn't supported`);
  return encoding;
}

/**
 * Returns the one message of a unary call's body, decompressed.
 * @throws BodyUnreadable when the body holds no message, several messages or a damaged one, BodyTooLarge when
 * the message would grow beyond the limit, and the errors of the meter
 */
export async function unframe(
  body: Buffer,
  { encoding, ...bounds }: BodyBounds & { readonly encoding: string | undefined },
): Promise<Buffer> {
  if (body.length < PREFIX_BYTES) throw new BodyUnreadable('the call has no complete message');
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

/** Bytes of a status text that need no escape. Some are escaped needlessly, since other servers do so. */
const PLAIN = /^[!$-;=@-_a-z|~]$/;

/** Returns a text in the encoding of `grpc-message` (gRPC over HTTP/2, "Percent-Encoded"). */
export function encodeStatusText(text: string): string {
  return Array.from(Buffer.from(text), (byte) => {
    const char = String.fromCharCode(byte);
    if (char !== '%' && PLAIN.test(char)) return char;
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

/** Returns the decoded text of a `grpc-message`; the text as received if its encoding is invalid. */
export function decodeStatusText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
