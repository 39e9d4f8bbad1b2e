import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { contentCoding, type ContentCoding } from '../core/content-coding.js';
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

/** A body in a compression that this version of Node cannot read. */
export class CodingUnsupported extends Error {}

type Decompress = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECOMPRESS: Readonly<Record<ContentCoding, Decompress | null>> = {
  gzip: promisify(zlib.gunzip),
  deflate: promisify(zlib.inflate),
  br: promisify(zlib.brotliDecompress),
  zstd: zstdOf(zlib),
};

/** Node reads zstd from 22.15 on. */
function zstdOf(library: object): Decompress | null {
  const decompress: unknown = Reflect.get(library, 'zstdDecompress');
  if (typeof decompress !== 'function') return null;
  return (body, options) =>
    new Promise((resolve, reject) => {
      const done = (error: Error | null, plain: Buffer): void =>
        error === null ? resolve(plain) : reject(error);
      Reflect.apply(decompress, zlib, [body, options, done]);
    });
}

/** Whether this version of Node reads a compression. */
export function isReadable(coding: ContentCoding): boolean {
  return DECOMPRESS[coding] !== null;
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

/** @throws BodyTooLarge for what would grow beyond the limit, BodyUnreadable for damaged bytes */
export async function decompressed(
  body: Buffer,
  coding: ContentCoding | null,
  limitBytes: number,
): Promise<Buffer> {
  if (coding === null) return body;
  const decompress = DECOMPRESS[coding];
  if (decompress === null) throw new BodyUnreadable(`a body in ${coding} cannot be read here`);
  try {
    return await decompress(body, { maxOutputLength: limitBytes });
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(limitBytes);
    throw new BodyUnreadable(`the body is no ${coding}`);
  }
}
