import { constants, copyFile, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { codeOf, messageOf, TldrError } from '../core/errors.js';

/** Who holds a lock. A process id is given out again, by a restarted container at once: the start tells them apart. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Field 22 of /proc/<pid>/stat (proc(5)): clock ticks from boot to start; null where there is no such file. */
  readonly startedAt: string | null;
}

/** How file systems say that they have no hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Locks of this process, by absolute path. */
const held = new Set<string>();

/**
 * Holds `<record>.lock` until the returned function is called, so that two runners never share a record. A lock
 * whose process is gone from this machine is taken over.
 * @throws ALREADY_EXISTS while another runner holds it, INVALID_ARGUMENT where no lock can be written
 */
export async function lockRecord(path: string): Promise<() => Promise<void>> {
  const lockPath = resolve(`${path}.lock`);
  try {
    await mkdir(dirname(lockPath), { recursive: true });
    if (!(await create(lockPath)) && !(await takeOver(lockPath))) await refuse(path, lockPath);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot keep a record at ${path}: ${why}`, { cause });
  }
  held.add(lockPath);
  return async () => {
    await rm(lockPath, { force: true });
    held.delete(lockPath);
  };
}

/** Who holds the lock of a record, in words, or null: nobody, or a process of this machine that is gone. */
export async function holderOf(path: string): Promise<string | null> {
  const lockPath = resolve(`${path}.lock`);
  const holder = await readHolder(lockPath);
  if (holder === null || (!held.has(lockPath) && (await isStale(lockPath)))) return null;
  return `process ${holder.pid} on ${holder.host}`;
}

/** Puts a whole lock in place, or nothing where there is one. */
async function create(lockPath: string): Promise<boolean> {
  const own = `${lockPath}.${process.pid}.${process.hrtime.bigint()}`;
  const holder: Holder = { pid: process.pid, host: hostname(), startedAt: startOf(process.pid) };
  await writeFile(own, JSON.stringify(holder));
  try {
    await link(own, lockPath);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.includes(codeOf(error))) throw error;
    return await createCopy(own, lockPath);
  } finally {
    await rm(own, { force: true });
  }
}

/** The next best on file systems without hard links: as exclusive, but for a moment there is an empty lock. */
async function createCopy(own: string, lockPath: string): Promise<boolean> {
  try {
    await copyFile(own, lockPath, constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Replaces a lock whose holder is gone. One at a time: of two, the slower would remove the lock of the faster. */
async function takeOver(lockPath: string): Promise<boolean> {
  if (!(await isStale(lockPath))) return false;
  const turn = `${lockPath}.takeover`;
  if (!(await create(turn))) {
    if (!(await isStale(turn))) return false;
    throw new TldrError('ALREADY_EXISTS', `a run ended while it took over ${lockPath}: remove ${turn}`);
  }
  try {
    // Looked at again: whoever had the turn before may have taken it over.
    if (!(await isStale(lockPath))) return false;
    await rm(lockPath, { force: true });
    return await create(lockPath);
  } finally {
    await rm(turn, { force: true });
  }
}

async function refuse(path: string, lockPath: string): Promise<never> {
  const holder = await readHolder(lockPath);
  throw new TldrError(
    'ALREADY_EXISTS',
    holder === null
      ? `another run takes ${lockPath} at this moment: try again`
      : `another run (process ${holder.pid} on ${holder.host}) works on ${path}; stop it first, or remove ${lockPath} if it is gone`,
  );
}

/** True for a lock of this machine whose process is gone, and for a file that is no lock. */
async function isStale(lockPath: string): Promise<boolean> {
  if (held.has(lockPath)) return false;
  const holder = await readHolder(lockPath);
  return holder === null || (holder.host === hostname() && !isAlive(holder));
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return null;
    const fields = new Map<string, unknown>(Object.entries(value));
    const [pid, host, startedAt] = [fields.get('pid'), fields.get('host'), fields.get('startedAt')];
    if (typeof pid !== 'number' || typeof host !== 'string') return null;
    return { pid, host, startedAt: typeof startedAt === 'string' ? startedAt : null };
  } catch {
    // Gone in the meantime.
    return null;
  }
}

function isAlive({ pid, startedAt }: Holder): boolean {
  const start = startOf(pid);
  // Without a start on either side, this process itself is told by the locks it holds.
  if (startedAt === null || start === null) return pid !== process.pid && exists(pid);
  return start === startedAt;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

function startOf(pid: number): string | null {
  try {
    // The second field is a name in brackets that may hold anything, spaces and brackets included.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
