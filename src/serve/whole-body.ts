import type { Readable, Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { contentCoding, type ContentCoding } from '../core/content-coding.js';
import { messageOf } from '../core/errors.js';
import { NoRoom, type Meter } from './byte-budget.js';
import { Pieces } from './pieces.js';

/** More than the limit came: `limitBytes` is what was allowed, `announcedBytes` what was to come, where known. */
export class BodyTooLarge extends Error {
  constructor(
    readonly limitBytes: number,
    readonly announcedBytes: number | null = null,
  ) {
    super(`a body of more than ${limitBytes} bytes`);
  }
}

/** A body that is not what its headers say. */
export class BodyUnreadable extends Error {}

/** A body in a compression that this version of Node cannot read. */
export class CodingUnsupported extends Error {}

/** How much of a body may come, and who is told of its pieces. */
export interface BodyBounds {
  readonly limitBytes: number;
  readonly meter?: Meter | undefined;
}

/** Bytes of a piece of what is decompressed. */
const CHUNK_BYTES = 64 * 1024;

const DECOMPRESSOR: Readonly<Record<ContentCoding, (() => Transform) | null>> = {
  gzip: () => zlib.createGunzip({ chunkSize: CHUNK_BYTES }),
  deflate: () => zlib.createInflate({ chunkSize: CHUNK_BYTES }),
  br: () => zlib.createBrotliDecompress({ chunkSize: CHUNK_BYTES }),
  zstd: zstdOf(zlib),
};

/** Node reads zstd from 22.15 on. */
function zstdOf(library: object): (() => Transform) | null {
  const create: unknown = Reflect.get(library, 'createZstdDecompress');
  if (typeof create !== 'function') return null;
  return () => Reflect.apply(create, zlib, [{ chunkSize: CHUNK_BYTES }]) as Transform;
}

/** Whether this version of Node reads a compression. */
export function isReadable(coding: ContentCoding): boolean {
  return DECOMPRESSOR[coding] !== null;
}

/**
 * The compression of a request's body; null for none.
 * @throws CodingUnsupported for one that this version of Node cannot read
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
 * Reads a stream to its end. What is left of a stream that is too large is not read, and the stream not ended: the
 * connection below it may still have to carry an answer.
 * @throws BodyTooLarge as soon as it is, what the meter throws, BodyUnreadable for a stream that breaks off, and whatever
 * it fails with
 */
export function readWhole(stream: Readable, { limitBytes, meter }: BodyBounds): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces = new Pieces();
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
 * The compression of an answer's body; null for none.
 * @throws BodyUnreadable for one that is not known
 */
export function answerCoding(header: string | undefined): ContentCoding | null {
  const name = header?.trim().toLowerCase() ?? '';
  const coding = contentCoding(name === 'x-gzip' ? 'gzip' : name);
  if (coding === null && name !== '' && name !== 'identity')
    throw new BodyUnreadable(`content-encoding ${name} is not supported`);
  return coding;
}

/**
 * A body without its compression.
 * @throws BodyTooLarge for what would grow beyond the limit, what the meter throws, BodyUnreadable for damaged bytes
 */
export async function decompressed(
  body: Buffer,
  coding: ContentCoding | null,
  bounds: BodyBounds,
): Promise<Buffer> {
  if (coding === null) return body;
  const create = DECOMPRESSOR[coding];
  if (create === null) throw new BodyUnreadable(`a body in ${coding} cannot be read here`);
  const stream = create();
  try {
    stream.end(body);
    return await readWhole(stream, bounds);
  } catch (error) {
    if (error instanceof BodyTooLarge || error instanceof NoRoom) throw error;
    throw new BodyUnreadable(`the body is no ${coding}`);
  } finally {
    stream.on('error', () => undefined).destroy();
  }
}
