import { afterEach, beforeEach, describe, expect, it, test } from '@jest/globals';
import {
  chmod,
  chown,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { otherMembers } from '../../../src/migrate/dual-write/unix-group-members.js';
import { writeDesiredState } from '../../../src/migrate/dual-write/proxy-state-files.js';
import { WriteJournal } from '../../../src/migrate/dual-write/write-journal.js';

/** Only root can give files to somebody else, and only where there are user numbers. */
const isRoot = process.getuid?.() === 0;
const testRoot = isRoot ? test : it.skip;
const testUsers = process.getuid === undefined ? it.skip : test;
const SOMEBODY = 12_345;

let place: string;
let journal: string;

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'qdrant-tldr-own-'));
  journal = join(place, 'journal');
});

afterEach(() => rm(place, { recursive: true }));

/** A user of this system, other than root, and the group that is theirs. */
async function groupOfSomebody(): Promise<{ readonly name: string; readonly gid: number }> {
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name = '', , uid, gid] = line.split(':');
    if (Number(uid) > 0 && Number(gid) > 0) return { name, gid: Number(gid) };
  }
  throw new Error('this system has no user but root');
}

async function opens(folder: string): Promise<void> {
  const opened = await WriteJournal.open(folder);
  await opened.close();
  await writeDesiredState(folder, { state: 'waiting', side: 'source' });
}

/** Nothing is written either. */
async function isRefused(folder: string, why: string): Promise<void> {
  const error = { code: 'INVALID_ARGUMENT', message: expect.stringContaining(why) };
  await expect(WriteJournal.open(folder)).rejects.toMatchObject(error);
  await expect(writeDesiredState(folder, { state: 'waiting', side: 'source' })).rejects.toMatchObject(error);
}

describe('the folder of a journal', () => {
  testUsers('is made for its owner alone, with those above it that are missing', async () => {
    await opens(join(journal, 'of', 'docs'));
    for (const made of [journal, join(journal, 'of'), join(journal, 'of', 'docs')])
      expect((await stat(made)).mode & 0o777).toBe(0o700);
  });

  testUsers('may be reached through links of the user, or of root', async () => {
    const real = join(place, 'real');
    await mkdir(real);
    await symlink('real', join(place, 'relative'));
    await symlink(join(place, 'relative'), join(place, 'absolute'));
    await symlink('../real/../absolute/new', join(real, 'winding'));
    await mkdir(join(real, 'new'));
    for (const path of ['relative/journal', 'absolute/journal', 'real/winding/journal'])
      await opens(join(place, path));
    expect((await readdir(real)).sort()).toEqual(['journal', 'new', 'winding']);
  });

  testUsers.each([0o702, 0o777, 0o1777])('is refused with mode %o', async (mode) => {
    await mkdir(journal);
    await chmod(journal, mode);
    await isRefused(journal, `every user can write into ${journal} (mode ${mode.toString(8)})`);
    expect(await readdir(journal)).toEqual([]);
    await chmod(journal, 0o755);
    await opens(journal);
  });

  testRoot('is refused if a group with other members can write into it, or replace it', async () => {
    const theirs = await groupOfSomebody();
    await mkdir(journal);
    for (const [folder, can] of [
      [journal, 'write into'],
      [place, 'replace what is in'],
    ] as const) {
      const before = (await stat(folder)).mode & 0o7777;
      await chown(folder, 0, theirs.gid);
      await chmod(folder, 0o2770);
      await isRefused(
        journal,
        `its group ${theirs.gid} can ${can} ${folder} (mode 2770), and its members include ${theirs.name}`,
      );
      expect(await readdir(journal)).toEqual([]);
      // A group that no account is in, as a container's volume has.
      await chown(folder, 0, SOMEBODY);
      await chmod(folder, 0o2770);
      await opens(journal);
      await rm(join(journal, 'writes.journal'));
      await rm(join(journal, 'plan.json'));
      await chown(folder, 0, theirs.gid);
      await chmod(folder, before);
    }
    await chmod(place, 0o1770);
    await opens(journal);
  });

  testUsers('is refused below one that everybody may change, not below one with the sticky bit', async () => {
    const shared = join(place, 'shared');
    await mkdir(shared);
    await chmod(shared, 0o777);
    await isRefused(join(shared, 'deep', 'journal'), `every user can replace what is in ${shared} (mode 777`);
    expect(await readdir(shared)).toEqual([]);
    await chmod(shared, 0o1777);
    await opens(join(shared, 'deep', 'journal'));
  });

  testRoot('is refused behind a link of somebody else, wherever that link is', async () => {
    await mkdir(join(place, 'real'));
    await symlink('real', join(place, 'link'));
    await lchown(join(place, 'link'), SOMEBODY, SOMEBODY);
    await isRefused(join(place, 'link'), `${join(place, 'link')} belongs to user ${SOMEBODY}`);
    await isRefused(join(place, 'link', 'journal'), `${join(place, 'link')} belongs to user ${SOMEBODY}`);
    await symlink('link', join(place, 'own'));
    await isRefused(join(place, 'own', 'journal'), `${join(place, 'link')} belongs to user ${SOMEBODY}`);
    await symlink('nowhere', join(place, 'dangling'));
    await lchown(join(place, 'dangling'), SOMEBODY, SOMEBODY);
    await isRefused(join(place, 'dangling'), `${join(place, 'dangling')} belongs to user ${SOMEBODY}`);
    expect(await readdir(join(place, 'real'))).toEqual([]);
  });

  testRoot('is refused where it, or one above it, belongs to somebody else', async () => {
    const theirs = join(place, 'theirs');
    await mkdir(join(theirs, 'journal'), { recursive: true });
    await chown(join(theirs, 'journal'), SOMEBODY, SOMEBODY);
    await isRefused(join(theirs, 'journal'), `belongs to user ${SOMEBODY}`);
    await chown(join(theirs, 'journal'), 0, 0);
    await chown(theirs, SOMEBODY, SOMEBODY);
    await isRefused(join(theirs, 'journal'), `${theirs} belongs to user ${SOMEBODY}`);
    await isRefused(join(theirs, 'new'), `${theirs} belongs to user ${SOMEBODY}`);
  });
});

describe('who else is in a group', () => {
  const UID = 1000;
  const of = (gid: number): Promise<string | null> => otherMembers(gid, UID, place);

  beforeEach(async () => {
    await writeFile(
      join(place, 'passwd'),
      'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nben:x:1001:1001::/home/ben:/bin/sh\ncat:x:1002:50::/:/bin/sh\n',
    );
    await writeFile(
      join(place, 'group'),
      'root:x:0:\nann:x:1000:\nben:x:1001:\nstaff:x:50:\nnone:x:60:\nteam:x:70:ann,root,ben,cat\nown:x:80:ann,root\ngone:x:90:dan\n',
    );
  });

  testUsers.each([
    ['the private group of the user', 1000, null],
    ['the group of root', 0, null],
    ['a group without members', 60, null],
    ['a group that is not known', 4711, null],
    ['a group of the user and root', 80, null],
    ['the private group of another user', 1001, 'ben'],
    ['a group that is the first of another user', 50, 'cat'],
    ['a group with other members', 70, 'ben, cat'],
    ['a group with a member that has no account here', 90, 'dan'],
  ] as const)('%s', async (_name, gid, members) => {
    expect(await of(gid)).toBe(process.platform === 'darwin' && gid !== 0 ? expect.any(String) : members);
  });

  testUsers('nobody knows it where other sources name accounts', async () => {
    await writeFile(
      join(place, 'nsswitch.conf'),
      '# passwd: ldap\npasswd: files systemd\nhosts: files dns\n',
    );
    if (process.platform !== 'darwin') expect(await of(60)).toBeNull();
    await writeFile(join(place, 'nsswitch.conf'), 'passwd: files\ngroup: files [NOTFOUND=continue] sss\n');
    expect(await of(60)).toContain('may name');
    expect(await of(0)).toBeNull();
  });

  testUsers(
    'nobody is in it where there are no accounts, and anybody where they cannot be read',
    async () => {
      await rm(join(place, 'passwd'));
      await rm(join(place, 'group'));
      if (process.platform !== 'darwin') expect(await of(1000)).toBeNull();
      await mkdir(join(place, 'passwd'));
      if (process.platform !== 'darwin') expect(await of(1000)).toContain('anybody');
    },
  );
});
