import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, TldrError } from '../../core/errors.js';
import { readRegular } from '../../core/read-file.js';
import {
  destinationOf,
  ensureFolder,
  isNeighbourOf,
  openNeighbour,
  putInPlace,
  type Destination,
} from '../../core/write-file.js';

/** Larger files are neither written nor read. A migration state of a million ranges is smaller. */
export const STATE_FILE_BYTES_MAX = 256 * 1024 ** 2;

/**
 * Replaces a file atomically (`putInPlace`); it is complete even after a power cut. If the path is a symbolic
 * link, the file that it leads to is replaced.
 * @throws INVALID_ARGUMENT when the path is not a file, or the content is too large for `readIfThere`, and the
 * system's error. An existing file then stays as it was.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const sizeBytes = Buffer.byteLength(content);
  if (sizeBytes > STATE_FILE_BYTES_MAX)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${path} is not written: it would have ${sizeBytes} bytes, and this program reads at most ${STATE_FILE_BYTES_MAX} of such a file. A file that is there stays as it was. A migration state grows with the ranges that are copied`,
      { hint: 'fewer-ranges' },
    );
  const destination = await keptAt(path);
  const folder = dirname(destination.path);
  await ensureFolder(folder);
  await putInPlace(destination, (file) => file.writeFile(content));
  await syncFolder(folder);
}

/** Returns where to write a file that is read again. @throws INVALID_ARGUMENT for a device */
async function keptAt(path: string): Promise<Destination> {
  const destination = await destinationOf(path);
  if (!destination.isDevice) return destination;
  throw new TldrError('INVALID_ARGUMENT', `cannot write ${path}: it is a device, expected a file`);
}

/** Removes temporary files that killed writers left beside a file. No other process may be writing it. */
export async function removeLeftovers(path: string): Promise<void> {
  const destination = (await destinationOf(path)).path;
  const folder = dirname(destination);
  const name = basename(destination);
  for (const found of await readdir(folder))
    // Earlier versions used one fixed name.
    if (isNeighbourOf(name, found) || found === `${name}.partial`)
      await rm(join(folder, found), { force: true });
}

/** Syncs the names in a folder to disk, which a file's own sync does not promise. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Creates a missing folder for its owner only, and missing parents. They are on disk when this resolves. */
export async function makeFolder(path: string): Promise<void> {
  for (const made of await ensureFolder(resolve(path), 0o700)) await syncFolder(dirname(made));
}

/**
 * Replaces a file as `replaceFile` does and returns the new file, still open. `write` writes all of its
 * content. `unsynced` is the error of syncing the folder, null without one; after it, a power cut may bring
 * the old file back.
 * @throws INVALID_ARGUMENT when the path is not a file, and the system's error. If renaming failed, the
 * caller has to check which file is in place.
 */
export async function swapFile(
  path: string,
  write: (file: FileHandle) => Promise<void>,
): Promise<{ readonly file: FileHandle; readonly unsynced: unknown }> {
  const destination = await keptAt(path);
  const folder = await open(dirname(destination.path), 'r');
  try {
    const { file, path: neighbour, remove } = await openNeighbour(destination, 'ax+');
    try {
      await write(file);
      await file.sync();
      await rename(neighbour, destination.path);
    } catch (error) {
      await file.close();
      await remove();
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

/**
 * Returns the text of a file that this program wrote; null if there is none.
 * @throws NOT_FOUND when it cannot be read, INVALID_ARGUMENT when it is not a regular file
 * @throws INVALID_DATA when it is larger than any such file
 */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return (await readRegular(path, 'a file', { maxBytes: STATE_FILE_BYTES_MAX })).toString('utf8');
  } catch (error) {
    if (error instanceof TldrError && codeOf(error.cause) === 'ENOENT') return null;
    throw error;
  }
}
