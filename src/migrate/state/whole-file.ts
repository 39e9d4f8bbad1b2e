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

/** A record of a million ranges is smaller. */
const TEXT_BYTES_MAX = 256 * 1024 ** 2;

/**
 * Puts a file in place whole (`putInPlace`), also after a power cut. Where the path is a symbolic link, the file that
 * it leads to is replaced.
 * @throws INVALID_ARGUMENT for what is no file, and the system's error
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const destination = await keptAt(path);
  const folder = dirname(destination.path);
  await ensureFolder(folder);
  await putInPlace(destination, (file) => file.writeFile(content));
  await syncFolder(folder);
}

/** Where a file that has to be read again is written. @throws INVALID_ARGUMENT for a device, which keeps nothing */
async function keptAt(path: string): Promise<Destination> {
  const destination = await destinationOf(path);
  if (!destination.isDevice) return destination;
  throw new TldrError('INVALID_ARGUMENT', `cannot write ${path}: it is a device, expected a file`);
}

/** Removes the neighbours that killed writers of a file left. Nobody else may be writing the file. */
export async function removeLeftovers(path: string): Promise<void> {
  const destination = (await destinationOf(path)).path;
  const folder = dirname(destination);
  const name = basename(destination);
  for (const found of await readdir(folder))
    // Earlier versions had one name for it.
    if (isNeighbourOf(name, found) || found === `${name}.partial`)
      await rm(join(folder, found), { force: true });
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
  for (const made of await ensureFolder(resolve(path), 0o700)) await syncFolder(dirname(made));
}

/**
 * Puts a file in place of another as `replaceFile` does, and keeps it open for more: nothing has to be opened once it
 * is there. `write` writes all of it. `unsynced` is why it is not known whether a power cut would bring the other one back, null where not.
 * @throws INVALID_ARGUMENT for what is no file, and the system's error; whether the file is in place has to be looked at
 * where renaming failed
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
 * The text of a file that this program wrote, or null where there is none.
 * @throws NOT_FOUND where it cannot be read, INVALID_ARGUMENT where it is no regular file, INVALID_DATA where it is
 * larger than any such file
 */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return (await readRegular(path, 'a file', { maxBytes: TEXT_BYTES_MAX })).toString('utf8');
  } catch (error) {
    if (error instanceof TldrError && codeOf(error.cause) === 'ENOENT') return null;
    throw error;
  }
}
