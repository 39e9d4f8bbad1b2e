import { mkdir, open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
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

/**
 * Writes an encoder file whole or not at all.
 * @throws INVALID_ARGUMENT when it cannot be written
 */
export async function writeEncoderFile(path: string, bytes: Uint8Array): Promise<void> {
  await writeWhole(path, (file) => file.writeFile(bytes));
}

/**
 * Writes a file whole or not at all (`putInPlace`). Its folder is created.
 * @throws INVALID_ARGUMENT when it cannot be written, and whatever `fill` throws of its own
 */
export async function writeWhole(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const partial = partialOf(path);
  try {
    await ensureFolder(dirname(path));
    await putInPlace(path, partial, fill);
  } catch (cause) {
    await removeIfThere(partial);
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

/**
 * Puts a file in place, or in place of another: whatever happens, there is the old one or the new one, whole. `fill`
 * writes to `partial` in the same folder, which is flushed and renamed. `fill` must use `writeFile`, which goes on
 * after a short write; `write` does not.
 * @throws the system's error where the file cannot be written, and whatever `fill` throws of its own
 */
export async function putInPlace(
  path: string,
  partial: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(partial, 'w');
  try {
    await fill(file);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
}

/**
 * Finds out before a long computation whether its result can be written: creates the folder, opens the neighbour
 * that `writeWhole` would fill and removes it again. The file itself is not touched.
 * @throws INVALID_ARGUMENT when it cannot be written
 */
export async function checkWritable(path: string): Promise<void> {
  const partial = partialOf(path);
  try {
    if (await isFolder(path)) throw new TldrError('INVALID_ARGUMENT', `${path} is a folder`);
    await ensureFolder(dirname(path));
    await (await open(partial, 'w')).close();
    await rm(partial);
  } catch (cause) {
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

function partialOf(path: string): string {
  return `${path}.${process.pid}.partial`;
}

/** Under a path that goes through a file even removing what is not there fails. */
async function removeIfThere(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}

/** Like mkdir with `recursive`, which never returns where folders cannot be made, as under /proc. */
async function ensureFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  if (dirname(path) !== path) await ensureFolder(dirname(path));
  await mkdir(path).catch(async (error: unknown) => {
    // Another process may have been faster.
    if (!(await isFolder(path))) throw error;
  });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Not by `instanceof`, which fails for errors of another realm. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return typeof error === 'object' && error !== null && 'errno' in error && 'syscall' in error;
}

function cannotWrite(path: string, cause: NodeJS.ErrnoException): TldrError {
  return new TldrError('INVALID_ARGUMENT', `cannot write ${path}: ${messageOf(cause)}`, { cause });
}
