import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { codeOf } from '../core/errors.js';
import { BodyTooLarge, BodyUnreadable, CodingUnsupported } from './whole-body.js';

/** A byte for compression and four for the length stand before every message. */
export const PREFIX_BYTES = 5;
const unzip = promisify(gunzip);

/** One message with its prefix, not compressed. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX_BYTES);
  return framed;
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
 * @throws BodyUnreadable for none, several or damaged ones, BodyTooLarge for what would grow beyond the limit
 */
export async function unframe(
  body: Buffer,
  { encoding, limitBytes }: { readonly encoding: string | undefined; readonly limitBytes: number },
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
  try {
    return await unzip(message, { maxOutputLength: limitBytes });
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(limitBytes);
    throw new BodyUnreadable('the message is no gzip');
  }
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
