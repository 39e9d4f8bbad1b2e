import { closeSync, constants, createReadStream, fstatSync, open, openSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { addAbortSignal, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { messageOf, TldrError } from '../core/errors.js';
import { kindOf } from '../core/read-file.js';
import { throwIfAborted } from '../core/run-options.js';

const openFile = promisify(open);
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const RELEASE_MS = 20;
const STANDARD_INPUT: readonly (string | undefined)[] = [undefined, '-', '/dev/stdin', '/dev/fd/0'];

/** A source of text; sizeBytes is null for a pipe. */
export interface Input {
  readonly name: string;
  readonly stream: Readable;
  readonly sizeBytes: number | null;
}

/**
 * Opens a file or a pipe, or standard input if the path is missing or a dash. The stream ends with an error
 * as soon as the signal fires, even while a pipe has no writer.
 * @throws NOT_FOUND when it cannot be opened
 * @throws INVALID_ARGUMENT for a folder, a socket or a device
 * @throws ABORTED when the signal fires
 */
export async function openInput(path: string | undefined, signal?: AbortSignal): Promise<Input> {
  const interruptible = (stream: Readable): Readable =>
    signal === undefined ? stream : addAbortSignal(signal, stream);
  if (path === undefined || STANDARD_INPUT.includes(path))
    return { name: 'standard input', stream: interruptible(process.stdin), sizeBytes: null };
  try {
    const found = await stat(path);
    if (await isNullDevice(found)) return { name: path, stream: Readable.from([]), sizeBytes: 0 };
    if (!found.isFile() && !found.isFIFO()) throw notText(path, found);
    const fd = found.isFIFO() ? await openPipe(path, signal) : await openFile(path, READ);
    // Something else may have this path by now. A pipe cannot be read in blocks as a file is.
    const opened = fstatSync(fd);
    if (opened.isFIFO())
      return { name: path, stream: interruptible(new Socket({ fd, writable: false })), sizeBytes: null };
    const stream = interruptible(createReadStream(path, { fd }));
    if (opened.isFile()) return { name: path, stream, sizeBytes: opened.size };
    stream.destroy();
    throw notText(path, opened);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Opens a pipe as soon as it has a writer. @throws ABORTED when the signal fires before that */
async function openPipe(path: string, signal: AbortSignal | undefined): Promise<number> {
  throwIfAborted(signal);
  const opening = openFile(path, constants.O_RDONLY);
  // Opening waits for a writer. To end the wait, this process repeatedly opens the pipe for writing.
  let releasing: NodeJS.Timeout | undefined;
  const release = (): void => {
    try {
      closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    } catch {
      // This process may not write to the pipe: the wait ends with the process, at the user's second signal.
    }
  };
  const onAbort = (): void => {
    releasing = setInterval(release, RELEASE_MS);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const fd = await opening.finally(() => {
    signal?.removeEventListener('abort', onAbort);
    clearInterval(releasing);
  });
  if (signal?.aborted === true) closeSync(fd);
  throwIfAborted(signal);
  return fd;
}

async function isNullDevice(found: Stats): Promise<boolean> {
  if (!found.isCharacterDevice()) return false;
  const { rdev } = await stat('/dev/null');
  return found.rdev === rdev;
}

function notText(path: string, found: Stats): TldrError {
  return new TldrError('INVALID_ARGUMENT', `${path} is a ${kindOf(found)}, expected a file`);
}
