import { tryLock } from 'fs-native-extensions';
import { constants } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run.js';
import { destinationOf, ensureFolder } from '../../core/write-file.js';

/** What a lock file says of its holder, for people to read. Whether the holder lives, the kernel's lock decides. */
interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** The locked byte. It lies behind the text, which Windows would otherwise not let others read. */
const LOCKED_BYTE = 2 ** 30;
/** A look at who holds a lock takes it for a moment, and a holder that ends removes its file: both pass at once. */
const TRIES = 10;
const RETRY_MS = 20;
/** Longest text of a lock file that is read. */
const TEXT_BYTES_MAX = 4096;
/** Marks files whose holder keeps the kernel's lock. Earlier versions wrote `startedAt` instead, and kept none. */
const KEPT_BY = 'kernel';

/** Open lock files. Without this reference an unused handle would be closed by the garbage collector. */
const held = new Set<FileHandle>();

/**
 * Holds `<record>.lock` until the returned function is called, so that two runners never share a record. The kernel
 * keeps the lock: it ends with the process, however that ends, and counts in every container that sees the file.
 * @throws ALREADY_EXISTS while another runner holds it or a file of an earlier version is there
 * @throws INVALID_ARGUMENT where no lock can be kept
 */
export async function lockRecord(path: string): Promise<() => Promise<void>> {
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

/** Who holds the lock of a record, in words, or null where nobody does. */
export async function holderOf(path: string): Promise<string | null> {
  let file: FileHandle;
  try {
    // A pipe would wait for its writer.
    file = await open(await lockPathOf(path), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error instanceof TldrError ? error.cause : error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
  try {
    const text = await textOf(file);
    const free = tryLock(file.fd, LOCKED_BYTE, 1, { shared: true });
    return free && !isOfEarlierVersion(text) ? null : nameOf(text);
  } finally {
    await file.close();
  }
}

/** Beside the file that is written: every link to a record has the same lock. */
async function lockPathOf(path: string): Promise<string> {
  return `${(await destinationOf(path)).path}.lock`;
}

/** The lock file, opened and locked; null while another opening holds the lock, or where the file was replaced. */
async function openLocked(lockPath: string): Promise<FileHandle | null> {
  const file = await open(lockPath, 'a+', 0o600);
  let locked = false;
  try {
    if (!(await file.stat()).isFile())
      throw new TldrError(
        'INVALID_ARGUMENT',
        `${lockPath} is no file, expected a lock file: find out what made it and move it away; a lock file holds no data`,
      );
    // A holder that ended may have removed the file after it was opened here: a lock on that file excludes nobody.
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

/** Writes who holds the lock, and gives the function that ends it. */
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
    // Removed while the lock still holds: nobody else can have begun to use this file.
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
      ? `another run takes ${lockPath} at this moment: try again`
      : `another run (${holder}) works on ${path}: stop it first; its lock ${lockPath} ends with its process`,
  );
}

/** A process of an earlier version keeps no lock of the kernel, so that nothing tells whether it lives. */
function earlierVersionError(
  text: string,
  { path, lockPath }: { readonly path: string; readonly lockPath: string },
): TldrError {
  return new TldrError(
    'ALREADY_EXISTS',
    `${lockPath} was made by an earlier version of this program (${nameOf(text)}), whose lock does not tell whether it still works on ${path}: make sure that it has ended, then remove ${lockPath}. The lock holds no data, but if that process still works, two processes write ${path}, and what one of them records there is lost`,
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

/** Empty for a text that is no JSON object, as a crash between opening and writing leaves it. */
function fieldsOf(text: string): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  } catch {
    return new Map();
  }
}
