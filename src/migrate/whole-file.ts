import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { putInPlace } from '../core/encoder-file.js';
import { codeOf } from '../core/errors.js';

/** Puts a file in place whole (`putInPlace`), also after a power cut; what an earlier try left is overwritten. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await putInPlace(path, `${path}.partial`, (file) => file.writeFile(content));
  await syncFolder(dirname(path));
}

/** The names in a folder are on disk, as a file's own sync does not promise. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes a folder for its owner alone, and those above it, where they are missing; on disk when this resolves. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = resolve(path); ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === resolve(first)) return;
  }
}

/**
 * Puts a file in place of another as `replaceFile` does, and keeps it open for more: nothing has to be opened once it
 * is there. `unsynced` is why it is not known whether a power cut would bring the other one back, null where not.
 * @throws the system's error; whether the file is in place has to be looked at where renaming failed
 */
export async function swapFile(
  path: string,
  content: Uint8Array,
): Promise<{ readonly file: FileHandle; readonly unsynced: unknown }> {
  const partial = `${path}.partial`;
  await rm(partial, { force: true });
  const folder = await open(dirname(path), 'r');
  try {
    const file = await open(partial, 'ax+');
    try {
      await file.writeFile(content);
      await file.sync();
      await rename(partial, path);
    } catch (error) {
      await file.close();
      throw error;
    }
    const unsynced: unknown = await folder.sync().then(
      () => null,
      (error: unknown) => error,
    );
    return { file, unsynced };
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
