import { afterEach, beforeEach, describe, expect, it, test } from '@jest/globals';
import { chmod, chown, lchown, mkdir, mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePlan } from '../../src/migrate/journal-state.js';
import { WriteJournal } from '../../src/migrate/write-journal.js';

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

async function opens(folder: string): Promise<void> {
  const opened = await WriteJournal.open(folder);
  await opened.close();
  await writePlan(folder, { state: 'waiting', side: 'source' });
}

/** Nothing is written either. */
async function isRefused(folder: string, why: string): Promise<void> {
  const error = { code: 'INVALID_ARGUMENT', message: expect.stringContaining(why) };
  await expect(WriteJournal.open(folder)).rejects.toMatchObject(error);
  await expect(writePlan(folder, { state: 'waiting', side: 'source' })).rejects.toMatchObject(error);
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

  testUsers.each([0o770, 0o702, 0o777, 0o1777])('is refused with mode %o', async (mode) => {
    await mkdir(journal);
    await chmod(journal, mode);
    await isRefused(journal, `other users can write into ${journal} (mode ${mode.toString(8)})`);
    expect(await readdir(journal)).toEqual([]);
    await chmod(journal, 0o755);
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
