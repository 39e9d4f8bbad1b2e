import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { dirname, join, parse, resolve, sep } from 'node:path';
import { codeOf, TldrError } from '../../core/errors.js';
import { otherMembers } from './unix-group-members.js';
import { makeFolder } from '../state/replace-file.js';

/** Most symbolic links in one path, as in Linux. */
const LINKS_MAX = 40;
const ROOT_UID = 0;
const OTHERS_WRITE = 0o002;
const GROUP_WRITE = 0o020;
const STICKY = 0o1000;
const JOURNAL = 'a journal';

/**
 * Creates a missing folder for its owner only, and checks that no other user can replace it or write into it,
 * because its content decides what is written to a database.
 * @param use what the folder is for, for the error
 * @throws INVALID_ARGUMENT when another user can, and the system's error
 */
export async function makeOwnFolder(path: string, use = JOURNAL): Promise<void> {
  await checkOwnFolder(path, use);
  await makeFolder(path);
  // Checked again, because another user may have created the folder in between.
  await checkOwnFolder(path, use);
}

/**
 * Checks every folder and symbolic link on the way to a folder, and the folder itself, as far as they exist.
 * A group may have write permission if only this user and root are in it. Systems without user numbers are
 * not checked.
 * @throws INVALID_ARGUMENT when a user other than root can replace the folder or write into it
 */
export async function checkOwnFolder(path: string, use = JOURNAL): Promise<void> {
  const problem = await problemOf(path);
  if (problem === null) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `the folder ${path} cannot be used for ${use}: ${problem}. Expected a folder, and folders and symbolic links above it, that belong to the user of this process or to root and that nobody else can replace`,
  );
}

async function problemOf(path: string): Promise<string | null> {
  const uid = process.geteuid?.();
  if (uid === undefined) return null;
  const names = namesOf(resolve(path));
  let at = parse(resolve(path)).root;
  let links = 0;
  for (;;) {
    const name = names.shift();
    const problem = await problemAt(at, { found: await lstat(at), uid, isLast: name === undefined });
    if (problem !== null || name === undefined) return problem;
    if (name === '..') at = dirname(at);
    else {
      const next = join(at, name);
      const found = await lstatIfThere(next);
      if (found === null) return null;
      if (found.isSymbolicLink()) {
        if (!isOwn(found.uid, uid)) return `${next} belongs to user ${found.uid}, who can replace it`;
        if (++links > LINKS_MAX) return `it leads through more than ${LINKS_MAX} symbolic links`;
        const target = await readlink(next);
        names.unshift(...namesOf(target));
        if (target.startsWith(sep)) at = parse(target).root;
      } else at = next;
    }
  }
}

async function problemAt(
  at: string,
  { found, uid, isLast }: { found: Stats; uid: number; isLast: boolean },
): Promise<string | null> {
  // If it is not a folder, opening it fails later with a clear error.
  if (!found.isDirectory()) return null;
  if (!isOwn(found.uid, uid)) return `${at} belongs to user ${found.uid}, who can replace what is in it`;
  // The sticky bit keeps others from what is in a folder, not from adding to it.
  if (!isLast && (found.mode & STICKY) !== 0) return null;
  const mode = (found.mode & 0o7777).toString(8);
  const advice = `\`chmod ${isLast ? '700' : 'go-w'}\` prevents that`;
  const what = isLast ? `write into ${at}` : `replace what is in ${at}`;
  if ((found.mode & OTHERS_WRITE) !== 0) return `every user can ${what} (mode ${mode}); ${advice}`;
  if ((found.mode & GROUP_WRITE) === 0) return null;
  const members = await otherMembers(found.gid, uid);
  if (members === null) return null;
  return `its group ${found.gid} can ${what} (mode ${mode}), and its members include ${members}; ${advice}`;
}

function isOwn(owner: number, uid: number): boolean {
  return owner === uid || owner === ROOT_UID;
}

function namesOf(path: string): string[] {
  return path.split(sep).filter((name) => name !== '' && name !== '.');
}

async function lstatIfThere(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
