import { constants } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run-options.js';
import { destinationOf, ensureFolder } from '../../core/write-file.js';

/** The holder that a lock file names, for people. Only the kernel's lock says whether it still runs. */
interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** Offset of the locked byte: behind the text, because Windows does not let others read locked bytes. */
const LOCKED_BYTE = 2 ** 30;
/** Taking a lock is retried: a look at its holder locks it briefly, and an ending holder removes the file. */
const TRIES = 10;
const RETRY_MS = 20;
/** Most bytes of a lock file that are read. */
const TEXT_BYTES_MAX = 4096;
/**
 * Marks files whose holder has the kernel's lock. Earlier versions wrote `startedAt` and had no such lock.
 */
const KEPT_BY = 'kernel';

/** Open lock files. Without this reference, the garbage collector would close the handles. */
const held = new Set<FileHandle>();

/**
 * Locks `<path>.lock` until the returned function is called, so that two runs never share a migration
 * state. The kernel keeps the lock: it ends with the process, however that ends, and counts in every
 * container that sees the file.
 * @throws ALREADY_EXISTS while another run holds the lock, or when an earlier version left its lock file
 * @throws INVALID_ARGUMENT when no lock can be kept there
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  let lockPath = `${path}.lock`;
  try {
    lockPath = await lockPathOf(path);
    await ensureFolder(dirname(lockPath));
    for (let left = TRIES; ; left--) {
      const file = await openLocked(lockPath);
      if (file !== null) return await hold(file, { path, lockPath });
      if (left === 1) throw await refusal(path, lockPath);
      await sleep(RETRY_MS);
    }
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot keep a lock at ${lockPath}: ${why}`, { cause });
  }
}

/** Returns the process that holds the lock of a migration state, for people; null if none does. */
export async function holderOf(path: string): Promise<string | null> {
  let file: FileHandle;
  try {
    // Non-blocking, because opening a pipe would wait for its writer.
    file = await open(await lockPathOf(path), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error instanceof TldrError ? error.cause : error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
  try {
    const text = await textOf(file);
    const { tryLock } = await import('fs-native-extensions');
    const free = tryLock(file.fd, LOCKED_BYTE, 1, { shared: true });
    return free && !isOfEarlierVersion(text) ? null : nameOf(text);
  } finally {
    await file.close();
  }
}

/** Returns the path of the lock: beside the real file, so that all symbolic links to it share the lock. */
async function lockPathOf(path: string): Promise<string> {
  return `${(await destinationOf(path)).path}.lock`;
}

/** Returns the lock file, open and locked; null if another handle holds the lock or the file was replaced. */
async function openLocked(lockPath: string): Promise<FileHandle | null> {
  const file = await open(lockPath, 'a+', 0o600);
  let locked = false;
  try {
    if (!(await file.stat()).isFile())
      throw new TldrError(
        'INVALID_ARGUMENT',
        `${lockPath} is not a regular file, expected a lock file: find out what made it and move it away; a lock file holds no data`,
      );
    // An ending holder may have removed the file after it was opened here; a lock on it excludes nobody.
    const { tryLock } = await import('fs-native-extensions');
    locked = tryLock(file.fd, LOCKED_BYTE, 1) && (await isStillAt(file, lockPath));
    return locked ? file : null;
  } finally {
    if (!locked) await file.close();
  }
}

async function isStillAt(file: FileHandle, path: string): Promise<boolean> {
  const opened = await file.stat({ bigint: true });
  const there = await stat(path, { bigint: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  });
  return there !== null && there.ino === opened.ino && there.dev === opened.dev;
}

/** Writes this process into the lock file. Returns the function that releases the lock. */
async function hold(
  file: FileHandle,
  { path, lockPath }: { readonly path: string; readonly lockPath: string },
): Promise<() => Promise<void>> {
  try {
    const text = await textOf(file);
    if (isOfEarlierVersion(text)) throw earlierVersionError(text, { path, lockPath });
    const holder: Holder = { pid: process.pid, host: hostname() };
    await file.truncate(0);
    await file.writeFile(JSON.stringify({ ...holder, keptBy: KEPT_BY }));
  } catch (error) {
    await file.close();
    throw error;
  }
  held.add(file);
  return async () => {
    if (!held.delete(file)) return;
    // Removed while it is still locked, so that no other process can be using this file.
    await rm(lockPath, { force: true });
    await file.close();
  };
}

async function textOf(file: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(TEXT_BYTES_MAX), 0, TEXT_BYTES_MAX, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

async function refusal(path: string, lockPath: string): Promise<TldrError> {
  const holder = await holderOf(path);
  return new TldrError(
    'ALREADY_EXISTS',
    holder === null
      ? `another run is just taking the lock ${lockPath}: try again`
      : `another run (${holder}) works on ${path}: stop it first; its lock ${lockPath} ends with its process`,
  );
}

/** Earlier versions had no kernel lock, so that nothing says whether such a process is still running. */
function earlierVersionError(
  text: string,
  { path, lockPath }: { readonly path: string; readonly lockPath: string },
): TldrError {
  return new TldrError(
    'ALREADY_EXISTS',
    `${lockPath} was made by an earlier version of this program (${nameOf(text)}), whose lock file does not show whether that process still works on ${path}: make sure that it has ended, then remove ${lockPath}. The lock holds no data, but if that process still works, two processes write ${path}, and what one of them writes there is lost`,
  );
}

function isOfEarlierVersion(text: string): boolean {
  const fields = fieldsOf(text);
  return fields.has('pid') && fields.get('keptBy') !== KEPT_BY;
}

function nameOf(text: string): string {
  const fields = fieldsOf(text);
  const [pid, host] = [fields.get('pid'), fields.get('host')];
  return typeof pid === 'number' && typeof host === 'string'
    ? `process ${pid} on ${host}`
    : 'an unnamed process';
}

/** Returns the fields of a JSON object; none for other text, such as a crash leaves in a new lock file. */
function fieldsOf(text: string): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  } catch {
    return new Map();
  }
}
