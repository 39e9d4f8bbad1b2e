import { constants } from 'node:fs';
import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, TldrError } from './errors.js';
import { fieldExtent } from './protobuf.js';

const FILE_BYTES_MAX = 2 ** 31 - 1;
const ENCODER_BYTES_MAX = 1024 ** 3;
/** An ONNX model has about ten. */
const OUTER_FIELDS_MAX = 1000;
/** More than the head of any field takes: two numbers of ten bytes. */
const FIELD_HEAD_BYTES = 32;

/** A regular file, open for reading, with the size it had. */
export interface RegularFile {
  readonly file: FileHandle;
  readonly sizeBytes: number;
}

/**
 * Opens a regular file. A pipe, a device or a folder is refused at once: none of them has an end that is known, and
 * opening a pipe would wait for its writer.
 * @param expected what the file should be, for messages
 * @throws NOT_FOUND where it cannot be opened, INVALID_ARGUMENT where it is no regular file
 */
export async function openRegular(path: string, expected: string): Promise<RegularFile> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  });
  const found = await file.stat();
  if (found.isFile()) return { file, sizeBytes: found.size };
  await file.close();
  const kind = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a pipe' : 'a device';
  throw new TldrError('INVALID_ARGUMENT', `${path} is ${kind}, expected ${expected}`);
}

/**
 * The bytes of a regular file, at most as many as it had when it was opened.
 * @throws NOT_FOUND, INVALID_ARGUMENT where it is no regular file, INVALID_DATA where it is larger than `maxBytes`,
 * and whatever `check` throws, which sees the file before it is read
 */
export async function readRegular(
  path: string,
  expected: string,
  limits: { readonly maxBytes?: number; readonly check?: (opened: RegularFile) => Promise<void> } = {},
): Promise<Buffer> {
  const { maxBytes = FILE_BYTES_MAX, check } = limits;
  const opened = await openRegular(path, expected);
  const { file, sizeBytes } = opened;
  try {
    if (sizeBytes > maxBytes)
      throw new TldrError(
        'INVALID_DATA',
        `${path}: ${sizeBytes} bytes is too large for ${expected}, expected at most ${maxBytes}`,
      );
    await check?.(opened);
    const bytes = Buffer.alloc(sizeBytes);
    let done = 0;
    while (done < sizeBytes) {
      const { bytesRead } = await file.read(bytes, done, sizeBytes - done, done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw new TldrError('NOT_FOUND', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  } finally {
    await file.close();
  }
}

/**
 * The bytes of an encoder file. Before they are read, the heads of its outermost fields are: they say how long the
 * file has to be.
 * @throws NOT_FOUND, INVALID_ARGUMENT where it is no regular file, INVALID_DATA where it is larger than any encoder or
 * not as long as its fields promise
 */
export async function readEncoderFile(path: string): Promise<Uint8Array> {
  return readRegular(path, 'an encoder file', {
    maxBytes: ENCODER_BYTES_MAX,
    check: (opened) => checkOuterFields(path, opened),
  });
}

async function checkOuterFields(path: string, { file, sizeBytes }: RegularFile): Promise<void> {
  const head = Buffer.alloc(FIELD_HEAD_BYTES);
  let fields = 0;
  for (let at = 0; at < sizeBytes; fields++) {
    const { bytesRead } = await file.read(head, 0, FIELD_HEAD_BYTES, at);
    const extent = fieldExtent(head.subarray(0, bytesRead));
    if (extent === null || at + extent > sizeBytes || fields === OUTER_FIELDS_MAX)
      throw new TldrError(
        'INVALID_DATA',
        `${path} is no encoder file that train wrote: ${sizeBytes} bytes, which at byte ${at} are not what an ONNX model has`,
      );
    at += extent;
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
