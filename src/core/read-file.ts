import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { codeOf, messageOf, TldrError } from './errors.js';

const FILE_BYTES_MAX = 2 ** 31 - 1;
/** With O_NONBLOCK, opening a pipe does not wait for its writer. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const CHUNK_BYTES = 64 * 1024;
const PIPE_POLL_MS = 20;

/** A regular file, open for reading, with the size it had. */
export interface RegularFile {
  readonly file: FileHandle;
  readonly sizeBytes: number;
}

/**
 * Opens a regular file. A pipe, a device or a folder is refused at once: its size is not known, and opening a
 * pipe would wait for its writer.
 * @param expected what the file should be, for messages
 * @throws NOT_FOUND when it cannot be opened
 * @throws INVALID_ARGUMENT when it is no regular file
 */
export async function openRegular(path: string, expected: string): Promise<RegularFile> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  });
  const found = await file.stat();
  if (found.isFile()) return { file, sizeBytes: found.size };
  await file.close();
  throw notRegular(path, found, expected);
}

/**
 * Reads the bytes of a regular file, at most as many as it had when it was opened. `check` runs before that.
 * @throws NOT_FOUND when it cannot be read
 * @throws INVALID_ARGUMENT when it is no regular file
 * @throws INVALID_DATA when it is larger than `maxBytes`
 * @throws any error of `check`
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
    return bytes.subarray(0, await readInto(file, bytes, 0));
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw new TldrError('NOT_FOUND', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  } finally {
    await file.close();
  }
}

/** Fills `bytes` from a position on. @throws the error that `ended` makes when the file ends before */
export async function readFully(
  file: FileHandle,
  { bytes, at, ended }: { readonly bytes: Uint8Array; readonly at: number; readonly ended: () => TldrError },
): Promise<void> {
  if ((await readInto(file, bytes, at)) < bytes.length) throw ended();
}

/** Fills `bytes` from a position on, as far as the file goes. Returns the number of bytes read. */
async function readInto(file: FileHandle, bytes: Uint8Array, at: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** The error for a path that leads to no regular file. */
function notRegular(path: string, found: Stats, expected: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', `${path} is a ${kindOf(found)}, expected ${expected}`);
}

/** What a path that is no regular file is instead, in words. */
export function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'folder';
  if (found.isFIFO()) return 'pipe';
  return found.isSocket() ? 'socket' : 'device';
}

/** Text of the pipes read so far: a pipe can be read once, but a process may read its configuration often. */
const pipesRead = new Map<string, string>();

/**
 * Reads the text of a small file, such as a configuration or a key, and blocks until it is read. It accepts a
 * pipe too, such as the one that a shell makes for `<(command)`.
 * @throws INVALID_ARGUMENT when it is a folder, a device or an empty pipe, or is larger than `maxBytes`
 * @throws the system's error when it cannot be read
 */
export function readSmallText(
  path: string,
  { expected, maxBytes }: { readonly expected: string; readonly maxBytes: number },
): string {
  const fd = openSync(path, READ);
  try {
    const found = fstatSync(fd);
    if (!found.isFile() && !found.isFIFO()) throw notRegular(path, found, expected);
    const bytes = readBounded(fd, maxBytes);
    if (bytes !== null && bytes.length > maxBytes)
      throw new TldrError('INVALID_ARGUMENT', `more than ${maxBytes} bytes are too many for ${expected}`);
    const text = bytes?.toString('utf8') ?? '';
    if (!found.isFIFO()) return text;
    if (text !== '') pipesRead.set(path, text);
    const known = pipesRead.get(path);
    if (known !== undefined) return known;
    const why = bytes === null ? 'whose writer is not done' : 'that nobody writes to';
    throw new TldrError('INVALID_ARGUMENT', `it is a pipe ${why}, expected ${expected}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads all bytes, or stops one chunk after `maxBytes` at the latest. Returns null for a pipe whose data has
 * not all arrived if this function must not wait.
 */
function readBounded(fd: number, maxBytes: number): Buffer | null {
  const parts: Buffer[] = [];
  for (let sizeBytes = 0; sizeBytes <= maxBytes;) {
    const part = Buffer.alloc(CHUNK_BYTES);
    try {
      const bytesRead = readSync(fd, part);
      if (bytesRead === 0) break;
      sizeBytes += bytesRead;
      parts.push(part.subarray(0, bytesRead));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw error;
      // If this process handles signals itself, no signal could end the blocking wait below.
      if (process.listenerCount('SIGTERM') > 0) return null;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_POLL_MS);
    }
  }
  return Buffer.concat(parts);
}
