import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, TldrError } from './errors.js';

const ENCODER_BYTES_MAX = 1024 ** 3;

/**
 * The bytes of an encoder file.
 * @throws NOT_FOUND, or INVALID_DATA when it is larger than any encoder
 */
export async function readEncoderFile(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > ENCODER_BYTES_MAX) {
      throw new TldrError('INVALID_DATA', `${path}: ${size} bytes is too large for an encoder`);
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw new TldrError('NOT_FOUND', `cannot read the encoder file ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Writes an encoder file whole or not at all: to a neighbour first, flushed, then renamed. */
export async function writeEncoderFile(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(partial, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw new TldrError('INVALID_ARGUMENT', `cannot write the encoder file ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
