import type { Readable, Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { contentCoding, type ContentCoding } from '../core/content-coding.js';
import { messageOf } from '../core/errors.js';
import { NoRoom, type Meter } from './byte-budget.js';
import { BodyPieces } from './body-pieces.js';

/** Thrown for a body above `limitBytes`. `announcedBytes` is its announced size, if known. */
export class BodyTooLarge extends Error {
  constructor(
    readonly limitBytes: number,
    readonly announcedBytes: number | null = null,
  ) {
    super(`a body of more than ${limitBytes} bytes`);
  }
}

/** Thrown for a body that does not match its headers. */
export class BodyUnreadable extends Error {}

/** Thrown for a body in a compression that cannot be read here. */
export class CodingUnsupported extends Error {}

/** The size limit of a body, and the meter that counts its pieces. */
export interface BodyBounds {
  readonly limitBytes: number;
  readonly meter?: Meter | undefined;
}

/** The last bytes of a member of gzip data hold the size of its content (RFC 1952). */
const GZIP_SIZE_BYTES = 4;
/** Most frames of zstd data in a body. Each takes a decompressor of its own. */
const FRAMES_MAX = 100;
/** Bytes of a decompressed piece. */
const CHUNK_BYTES = 64 * 1024;

/** `bytesWritten`: the bytes of the compressed data that were read. */
type Decompressor = Transform & { readonly bytesWritten: number };

const DECOMPRESSOR: Readonly<Record<ContentCoding, (() => Decompressor) | null>> = {
  gzip: () => zlib.createGunzip({ chunkSize: CHUNK_BYTES }),
  deflate: () => zlib.createInflate({ chunkSize: CHUNK_BYTES }),
  br: () => zlib.createBrotliDecompress({ chunkSize: CHUNK_BYTES }),
  zstd: zstdOf(zlib),
};

/** Returns Node's decompressor for zstd; null before Node 22.15. */
function zstdOf(library: object): (() => Decompressor) | null {
  const create: unknown = Reflect.get(library, 'createZstdDecompress');
  if (typeof create !== 'function') return null;
  return () => Reflect.apply(create, zlib, [{ chunkSize: CHUNK_BYTES }]) as Decompressor;
}

/** Returns whether this version of Node reads a compression. */
export function isReadable(coding: ContentCoding): boolean {
  return DECOMPRESSOR[coding] !== null;
}

/**
 * Returns the compression of a request's body; null for none.
 * @throws CodingUnsupported for a compression that this version of Node cannot read
 */
export function readableCoding(header: string | undefined): ContentCoding | null {
  const coding = contentCoding(header);
  if (coding !== null && !isReadable(coding))
    throw new CodingUnsupported(
      `content-encoding ${coding} cannot be read here: the proxy runs on Node ${process.versions.node}, which reads gzip, deflate and br; send one of those or no compression, or run the proxy on Node 22.15 or later`,
    );
  return coding;
}

/**
 * Returns all bytes of a stream. If the stream is too large, the rest is not read, but the stream is not
 * ended, since its connection may still have to carry an answer.
 * @throws BodyTooLarge as soon as the limit is exceeded, the errors of the meter, BodyUnreadable when the
 * stream breaks off, and the stream's own errors
 */
export function readWhole(stream: Readable, { limitBytes, meter }: BodyBounds): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces = new BodyPieces();
    const onData = (chunk: Buffer): void => {
      const sizeBytes = pieces.sizeBytes + chunk.length;
      try {
        if (sizeBytes > limitBytes) throw new BodyTooLarge(limitBytes);
        meter?.(chunk.length, sizeBytes);
        pieces.add(chunk);
      } catch (error) {
        stream.pause();
        onError(error instanceof Error ? error : new Error(messageOf(error)));
      }
    };
    const onEnd = (): void => {
      stop();
      resolve(pieces.join());
    };
    const onError = (error: Error): void => {
      stop();
      pieces.clear();
      reject(error);
    };
    const onClose = (): void => onError(new BodyUnreadable('the body broke off'));
    const stop = (): void => {
      stream.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
    };
    if (stream.destroyed) onClose();
    else stream.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

/**
 * Returns the compression of an answer's body; null for none.
 * @throws BodyUnreadable for an unknown compression
 */
export function answerCoding(header: string | undefined): ContentCoding | null {
  const name = header?.trim().toLowerCase() ?? '';
  const coding = contentCoding(name === 'x-gzip' ? 'gzip' : name);
  if (coding === null && name !== '' && name !== 'identity')
    throw new BodyUnreadable(`content-encoding ${name} is not supported`);
  return coding;
}

/**
 * Returns a body without its compression. As at the server, bytes after the end of the compressed data make
 * the body unreadable; only zstd data may have several frames.
 * @throws BodyTooLarge when the body would grow beyond the limit, the errors of the meter, BodyUnreadable for
 * damaged bytes
 */
export async function decompressed(
  body: Buffer,
  coding: ContentCoding | null,
  bounds: BodyBounds,
): Promise<Buffer> {
  if (coding === null) return body;
  const plain = new BodyPieces();
  let frames = 0;
  for (let at = 0; at === 0 || at < body.length;) {
    if (++frames > FRAMES_MAX) throw new BodyUnreadable(`the body has more than ${FRAMES_MAX} frames`);
    const part = await nextPart(body.subarray(at), coding, roomLeft(bounds, plain.sizeBytes)).catch(
      (error: unknown) => {
        throw error instanceof BodyTooLarge ? new BodyTooLarge(bounds.limitBytes) : error;
      },
    );
    plain.add(part.plain);
    at += part.readBytes;
    const isWhole = at === body.length || (coding === 'zstd' && part.readBytes > 0);
    if (!isWhole) throw new BodyUnreadable(`the body has bytes after the end of its ${coding} data`);
  }
  const whole = plain.join();
  if (
    coding === 'gzip' &&
    body.length > 0 &&
    body.readUInt32LE(body.length - GZIP_SIZE_BYTES) !== whole.length % 2 ** 32
  )
    throw new BodyUnreadable('the body has a second member of gzip data, which the server does not read');
  return whole;
}

/** The limits for what follows `usedBytes`. */
function roomLeft({ limitBytes, meter }: BodyBounds, usedBytes: number): BodyBounds {
  return {
    limitBytes: limitBytes - usedBytes,
    meter: meter === undefined ? undefined : (bytes, total) => meter(bytes, usedBytes + total),
  };
}

/** Decompresses up to the end of the compressed data, and returns how many bytes it has. */
async function nextPart(
  body: Buffer,
  coding: ContentCoding,
  bounds: BodyBounds,
): Promise<{ readonly plain: Buffer; readonly readBytes: number }> {
  const create = DECOMPRESSOR[coding];
  if (create === null) throw new BodyUnreadable(`a body in ${coding} cannot be read here`);
  const stream = create();
  try {
    stream.end(body);
    const plain = await readWhole(stream, bounds);
    return { plain, readBytes: stream.bytesWritten };
  } catch (error) {
    if (error instanceof BodyTooLarge || error instanceof NoRoom) throw error;
    throw new BodyUnreadable(`the body is not valid ${coding} data`);
  } finally {
    stream.on('error', () => undefined).destroy();
  }
}
