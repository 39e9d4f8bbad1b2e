import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { putInPlace } from '../core/encoder-file.js';
import { codeOf } from '../core/errors.js';

/** Puts a file in place whole (`putInPlace`), also after a power cut; what an earlier try left is overwritten. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await putInPlace(path, `${path}.partial`, (file) => file.writeFile(content));
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A file's text, or null where there is none. @throws the system's error where it cannot be read */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
