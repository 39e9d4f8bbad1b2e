import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { codeOf } from '../core/errors.js';

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

const DECOMPRESS: Readonly<
  Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/**
 * Reads a stream to its end. What is left of a stream that is too large is not read, and the stream not ended: the
 * connection below it may still have to carry an answer.
 * @throws BodyTooLarge as soon as it is, BodyUnreadable for a stream that breaks off, and whatever it fails with
 */
export function readWhole(stream: Readable, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const onData = (chunk: Buffer): void => {
      sizeBytes += chunk.length;
      chunks.push(chunk);
      if (sizeBytes <= limitBytes) return;
      stop();
      stream.pause();
      reject(new BodyTooLarge(limitBytes));
    };
    const onEnd = (): void => {
      stop();
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, sizeBytes));
    };
    const onError = (error: Error): void => {
      stop();
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

/** @throws BodyTooLarge for what would grow beyond the limit, BodyUnreadable for damaged bytes or another encoding */
export async function decompressed(
  body: Buffer,
  encoding: string | undefined,
  limitBytes: number,
): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  if (name === 'identity' || name === '') return body;
  const decompress = DECOMPRESS[name];
  if (decompress === undefined) throw new BodyUnreadable(`content-encoding ${name} is not supported`);
  try {
    return await decompress(body, { maxOutputLength: limitBytes });
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(limitBytes);
    throw new BodyUnreadable(`the body is no ${name}`);
  }
}
