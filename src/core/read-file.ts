import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { codeOf, messageOf, TldrError } from './errors.js';

const FILE_BYTES_MAX = 2 ** 31 - 1;
/** Opening a pipe or a device waits for nobody. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const CHUNK_BYTES = 64 * 1024;
const PIPE_POLL_MS = 20;

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
  throw notRegular(path, found, expected);
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

/** The error for a path that leads to no regular file. */
function notRegular(path: string, found: Stats, expected: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', `${path} is a ${kindOf(found)}, expected ${expected}`);
}

/** What a path leads to that is no regular file, in words. */
export function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'folder';
  if (found.isFIFO()) return 'pipe';
  return found.isSocket() ? 'socket' : 'device';
}

/** What pipes held: each can be read once, and a process may read its configuration several times. */
const pipesRead = new Map<string, string>();

/**
 * The text of a small file that is needed before anything else: a configuration, a key. A pipe is taken too, as
 * `<(command)` in a shell makes one.
 * @throws INVALID_ARGUMENT where it is a folder, a device or a pipe without content, or is larger than `maxBytes`; and
 * the system's error where it cannot be read
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

/** All bytes, a few more than `maxBytes` at most; null for a pipe that has more to come and is not waited for. */
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
      // Where this process handles signals, none would end the wait.
      if (process.listenerCount('SIGTERM') > 0) return null;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_POLL_MS);
    }
  }
  return Buffer.concat(parts);
}
