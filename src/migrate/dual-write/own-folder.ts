import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { dirname, join, parse, resolve, sep } from 'node:path';
import { codeOf, TldrError } from '../../core/errors.js';
import { otherMembers } from './group-members.js';
import { makeFolder } from '../state/whole-file.js';

/** As many links as Linux follows from one path. */
const LINKS_MAX = 40;
const ROOT_UID = 0;
const OTHERS_WRITE = 0o002;
const GROUP_WRITE = 0o020;
const STICKY = 0o1000;

/**
 * Makes a folder for its owner alone where it is missing, and makes sure that no other user can put another one in its
 * place or write into it: what is kept there decides what is written to a database.
 * @throws INVALID_ARGUMENT where somebody else can, and the system's error
 */
export async function makeOwnFolder(path: string): Promise<void> {
  await checkOwnFolder(path);
  await makeFolder(path);
  // Somebody may have been faster.
  await checkOwnFolder(path);
}

/**
 * Looks at every folder and symbolic link on the way to a folder, and at the folder itself, as far as they exist. A
 * group may write if only this user and root are in it. On a system without user numbers nothing is looked at.
 * @throws INVALID_ARGUMENT where another user, root aside, can put something else in the folder's place or write into it
 */
export async function checkOwnFolder(path: string): Promise<void> {
  const uid = process.geteuid?.();
  if (uid === undefined) return;
  const names = namesOf(resolve(path));
  let at = parse(resolve(path)).root;
  let links = 0;
  for (;;) {
    const name = names.shift();
    await refuseUnsafe(path, { at, found: await lstat(at), uid, isLast: name === undefined });
    if (name === undefined) return;
    if (name === '..') at = dirname(at);
    else {
      const next = join(at, name);
      const found = await lstatIfThere(next);
      if (found === null) return;
      if (found.isSymbolicLink()) {
        if (!isOwn(found.uid, uid))
          throw refused(path, `${next} belongs to user ${found.uid}, who can replace it`);
        if (++links > LINKS_MAX)
          throw refused(path, `it leads through more than ${LINKS_MAX} symbolic links`);
        const target = await readlink(next);
        names.unshift(...namesOf(target));
        if (target.startsWith(sep)) at = parse(target).root;
      } else at = next;
    }
  }
}

async function refuseUnsafe(
  path: string,
  { at, found, uid, isLast }: { at: string; found: Stats; uid: number; isLast: boolean },
): Promise<void> {
  // What is no folder is told by whoever opens it.
  if (!found.isDirectory()) return;
  if (!isOwn(found.uid, uid))
    throw refused(path, `${at} belongs to user ${found.uid}, who can replace what is in it`);
  // The sticky bit keeps others from what is in a folder, not from adding to it.
  if (!isLast && (found.mode & STICKY) !== 0) return;
  const mode = (found.mode & 0o7777).toString(8);
  const advice = `\`chmod ${isLast ? '700' : 'go-w'}\` takes that away`;
  const what = isLast ? `write into ${at}` : `replace what is in ${at}`;
  if ((found.mode & OTHERS_WRITE) !== 0)
    throw refused(path, `every user can ${what} (mode ${mode}); ${advice}`);
  if ((found.mode & GROUP_WRITE) === 0) return;
  const members = await otherMembers(found.gid, uid);
  if (members !== null)
    throw refused(
      path,
      `its group ${found.gid} can ${what} (mode ${mode}), and in it are ${members}; ${advice}`,
    );
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

function refused(path: string, why: string): TldrError {
  return new TldrError(
    'INVALID_ARGUMENT',
    `the folder ${path} cannot be used for a journal: ${why}. Expected a folder, and folders and symbolic links above it, that belong to the user of this process or to root and that nobody else can replace`,
  );
}
