import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';

/** More than the limit came: `limitBytes` is what was allowed. */
export class BodyTooLarge extends Error {
  constructor(readonly limitBytes: number) {
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
 * Reads a stream to its end.
 * @throws BodyTooLarge as soon as it is, and whatever the stream fails with
 */
export async function readWhole(stream: Readable, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw new BodyTooLarge(limitBytes);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks, sizeBytes);
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
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : '';
    if (code === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(limitBytes);
    throw new BodyUnreadable(`the body is no ${name}`);
  }
}
