import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  lstat,
  mkdir,
  open,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  type FileHandle,
} from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { boundedName } from './bounded-name.js';
import { codeOf, messageOf, TldrError } from './errors.js';

/** Linux follows at most this many symbolic links in one path. */
const LINKS_MAX = 40;
/** Bytes of a file's name that the name of its neighbour keeps, so that people recognise it. */
const NEIGHBOUR_NAME_BYTES = 100;
/** Links in this folder lead to open files, which may have no name. */
const OPEN_FILES = `${sep}proc${sep}`;
/** Lists the mount points, on Linux only. */
const MOUNTS = '/proc/self/mountinfo';

/** The file or device that content for a path is written to. */
export interface Destination {
  /** The path itself, or the one that its symbolic links lead to. */
  readonly path: string;
  /** The file that is replaced, or null if there is none. */
  readonly replaced: Pick<Stats, 'mode' | 'uid' | 'gid'> | null;
  /** A character device such as /dev/null, which is written into. Everything else is replaced as a whole. */
  readonly isDevice: boolean;
}

/**
 * Finds the file or device that content for a path is written to. Symbolic links are followed, even to a file
 * that does not exist yet.
 * @throws INVALID_ARGUMENT when the path cannot be followed, or leads to a folder, a pipe, a socket, a block
 * device, a link of /proc to an open file, or a file that is a mount point
 */
export async function destinationOf(path: string): Promise<Destination> {
  try {
    return await follow(path);
  } catch (cause) {
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

async function follow(path: string): Promise<Destination> {
  if (path === '-') throw refused(path, 'is no name of a file here: give ./- for a file of that name');
  let named = path;
  for (let links = 0; links <= LINKS_MAX; links++) {
    if (named.endsWith('/') || named.endsWith(sep)) throw refused(path, 'names a folder, expected a file');
    // Not `resolve`: for `link/..` it returns the folder that holds the link.
    const at = join(await realFolder(dirname(named)), basename(named));
    const found = await orMissing(lstat(at));
    if (found === null) return { path: at, replaced: null, isDevice: false };
    if (!found.isSymbolicLink()) return destinationAt(path, at, found);
    // The kernel may refuse to follow a link that somebody else placed in a shared folder.
    const reached = await orMissing(stat(at));
    if (reached !== null && at.startsWith(OPEN_FILES)) {
      if (reached.isFile())
        throw refused(path, 'is a file that this process has open: give the name of the file instead');
      return destinationAt(path, at, reached);
    }
    const target = await readlink(at);
    named = isAbsolute(target) ? target : `${dirname(at)}${sep}${target}`;
  }
  throw refused(path, `leads through more than ${LINKS_MAX} symbolic links`);
}

async function destinationAt(path: string, at: string, found: Stats): Promise<Destination> {
  if (found.isFile()) {
    if (await isMountPoint(at))
      throw refused(path, 'is mounted by itself and cannot be replaced: mount the folder it is in instead');
    return { path: at, replaced: found, isDevice: false };
  }
  if (found.isCharacterDevice()) return { path: at, replaced: null, isDevice: true };
  const kind = found.isDirectory()
    ? 'folder'
    : found.isFIFO()
      ? 'pipe'
      : found.isSocket()
        ? 'socket'
        : 'block device';
  throw refused(path, `is a ${kind}, expected a file`);
}

/** A folder's path without symbolic links, or the absolute path if the folder does not exist. */
async function realFolder(path: string): Promise<string> {
  return (await orMissing(realpath(path))) ?? resolve(path);
}

/** Whether a file itself is a mount point, such as a single file that a container shares with its host. */
async function isMountPoint(path: string): Promise<boolean> {
  // Other systems than Linux have no such list.
  const mounts = await readFile(MOUNTS, 'utf8').catch(() => '');
  const escaped = path.replace(
    /[ \t\n\\]/g,
    (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return mounts.split('\n').some((line) => line.split(' ')[4] === escaped);
}

/**
 * Writes a file completely or not at all (`putInPlace`). Missing folders are created.
 * @throws INVALID_ARGUMENT when it cannot be written
 * @throws any error of `fill`
 */
export async function writeWhole(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    const destination = await destinationOf(path);
    await ensureFolder(dirname(destination.path));
    await putInPlace(destination, fill);
  } catch (cause) {
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

/**
 * Does the same as `writeWhole` for a file that only this process's user may read, also if others may read the file
 * that it replaces.
 * @throws INVALID_ARGUMENT when it cannot be written
 * @throws any error of `fill`
 */
export async function writePrivate(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    const destination = await destinationOf(path);
    const own = { mode: 0o600, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    await putInPlace({ ...destination, replaced: own }, fill);
  } catch (cause) {
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

/**
 * Creates or replaces a file atomically: at any moment the path has the complete old content or the complete
 * new one. `fill` writes to a neighbour (a temporary file in the same folder), which is flushed and then
 * renamed. `fill` must use `writeFile`, which continues after a short write; `write` does not. A device is
 * written to directly.
 * @throws the system's error when the file cannot be written
 * @throws any error of `fill`
 */
export async function putInPlace(
  destination: Destination,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  if (destination.isDevice) {
    const device = await open(destination.path, constants.O_WRONLY);
    await fill(device).finally(() => device.close());
    return;
  }
  const neighbour = await openNeighbour(destination, 'wx');
  const { file } = neighbour;
  try {
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(neighbour.path, destination.path);
  } catch (error) {
    await neighbour.remove();
    throw error;
  }
}

/** A temporary file in the folder of a destination, to be filled and renamed. */
export interface Neighbour {
  readonly file: FileHandle;
  readonly path: string;
  /** Never fails, so that it cannot hide the error that made it necessary. */
  readonly remove: () => Promise<void>;
}

/**
 * Opens a new file in the folder of a destination. Its name is random, and an existing file is never opened,
 * so no other user can have planted the file.
 * @throws the system's error
 */
export async function openNeighbour(
  { path, replaced }: Destination,
  flags: 'wx' | 'ax+',
): Promise<Neighbour> {
  const name = `${boundedName(basename(path), NEIGHBOUR_NAME_BYTES)}.${randomBytes(8).toString('hex')}.partial`;
  const neighbour = join(dirname(path), name);
  const remove = (): Promise<void> => rm(neighbour, { force: true }).catch(() => undefined);
  // Until the file has the group of the replaced file, only this process's user may read it.
  const file = await open(neighbour, flags, replaced === null ? 0o666 : replaced.mode & 0o700);
  if (replaced !== null) await resemble(file, replaced);
  return { file, path: neighbour, remove };
}

/**
 * Gives a file the owner, the group and the permissions of the file that it replaces, as far as this process
 * may. If the group cannot be set, group and others get only the permissions that both had before. Thus
 * nobody gains access.
 */
async function resemble(
  file: FileHandle,
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  const own = await file.stat();
  // A user may give a file to another group of theirs, but to no other user.
  if (own.uid !== uid || own.gid !== gid)
    await file
      .chown(uid, gid)
      .catch(() => file.chown(own.uid, gid))
      .catch(() => undefined);
  const isSameGroup = (await file.stat()).gid === gid;
  const shared = (mode >> 3) & mode & 0o7;
  const permissions = isSameGroup ? mode & 0o777 : (mode & 0o700) | (shared << 3) | shared;
  await file.chmod(permissions).catch(() => undefined);
}

/** Whether `other` is the name of a neighbour (`openNeighbour`) of the file `name`. */
export function isNeighbourOf(name: string, other: string): boolean {
  const start = boundedName(name, NEIGHBOUR_NAME_BYTES);
  return other.startsWith(start) && /^\.[0-9a-f]{16}\.partial$/.test(other.slice(start.length));
}

/**
 * Finds out before a long computation whether its result can be written: creates the folder, opens a neighbour as
 * `writeWhole` does and removes it again. The file itself is not touched.
 * @throws INVALID_ARGUMENT when it cannot be written
 */
export async function checkWritable(path: string): Promise<void> {
  try {
    const destination = await destinationOf(path);
    if (destination.isDevice) {
      await (await open(destination.path, constants.O_WRONLY)).close();
      return;
    }
    await ensureFolder(dirname(destination.path));
    const neighbour = await openNeighbour(destination, 'wx');
    await neighbour.file.close();
    await neighbour.remove();
  } catch (cause) {
    throw isSystemError(cause) ? cannotWrite(path, cause) : cause;
  }
}

/**
 * Whether writing to a path would replace a file or write to a device.
 * @throws INVALID_ARGUMENT when the path cannot be written to
 */
export async function isTaken(path: string): Promise<boolean> {
  const { replaced, isDevice } = await destinationOf(path);
  return replaced !== null || isDevice;
}

/**
 * Creates a folder and its missing parents. Not `mkdir` with `recursive`, which never returns where no folder
 * can be created, such as under /proc.
 * @returns the folders that were created, the outermost first
 * @throws the system's error
 */
export async function ensureFolder(path: string, mode = 0o777): Promise<string[]> {
  if (await isFolder(path)) return [];
  const made = dirname(path) === path ? [] : await ensureFolder(dirname(path), mode);
  try {
    await mkdir(path, { mode });
    return [...made, path];
  } catch (error) {
    // Another process may have been faster.
    if (await isFolder(path)) return made;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** The result of a promise, or null if it fails with ENOENT. */
async function orMissing<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Not by `instanceof`, which fails for errors of another realm. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return typeof error === 'object' && error !== null && 'errno' in error && 'syscall' in error;
}

function cannotWrite(path: string, cause: NodeJS.ErrnoException): TldrError {
  const denied = cause.syscall === 'open' && ['EACCES', 'EPERM', 'EROFS'].includes(cause.code ?? '');
  const hint = denied ? ': the file is replaced as a whole, so its folder must allow new files' : '';
  return new TldrError('INVALID_ARGUMENT', `cannot write ${path}: ${messageOf(cause)}${hint}`, { cause });
}

function refused(path: string, why: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', `cannot write ${path}: it ${why}`);
}
