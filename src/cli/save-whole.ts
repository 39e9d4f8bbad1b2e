import { rename, rm, writeFile } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';

/**
 * Writes a file whole or not at all: to a neighbour first, then renamed over what is there.
 * @throws INVALID_ARGUMENT when it cannot be written
 */
export async function saveWhole(path: string, content: Uint8Array | string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await writeFile(partial, content);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw new TldrError('INVALID_ARGUMENT', `cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}
