import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { checkWritable, destinationOf, openNeighbour, writeWhole } from '../../src/core/write-file.js';
import { stateFile } from '../../src/migrate/state/in-file.js';
import { removeLeftovers, replaceFile, swapFile } from '../../src/migrate/state/replace-file.js';
import { runCli } from '../support/cli/run-cli.js';
import { randomEncoder } from '../support/random-encoder.js';

/** Every way in which this program puts a file in place. */
const WRITERS: readonly (readonly [string, (path: string, content: string) => Promise<void>])[] = [
  ['writeWhole', (path, content) => writeWhole(path, (file) => file.writeFile(content))],
  ['replaceFile', replaceFile],
  [
    'swapFile',
    async (path, content) => {
      await (await swapFile(path, (file) => file.writeFile(content))).file.close();
    },
  ],
];
const isRoot = process.getuid?.() === 0;
const ownerTest = isRoot ? test : test.skip;
const mountTest = canMount() ? test : test.skip;
if (mountTest === test.skip) process.stderr.write('skipped what needs mounts: mount is refused here\n');
/** Where device nodes can be made, else skipped. A container may refuse that to root too. */
const deviceTest = canMakeDevices() ? test : test.skip;
if (deviceTest === test.skip)
  process.stderr.write('skipped what needs device nodes: mknod is refused here\n');

const USER = 1234;

/** Does something as a user without rights, who is in one group of its own and in others. */
async function asUser(groups: readonly number[], action: () => Promise<void>): Promise<void> {
  const { getgroups, setgroups, setegid, seteuid } = process;
  if (!getgroups || !setgroups || !setegid || !seteuid) throw new Error('this system has no users');
  const before = getgroups.call(process);
  setgroups.call(process, [...groups]);
  setegid.call(process, USER);
  seteuid.call(process, USER);
  try {
    await action();
  } finally {
    seteuid.call(process, 0);
    setegid.call(process, 0);
    setgroups.call(process, before);
  }
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-write-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe.each(WRITERS)('%s', (_, write) => {
  test('replaces the file that a symbolic link leads to and leaves the link, with the permissions of the file', async () => {
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'real'), 'old');
    await chmod(join(folder, 'data', 'real'), 0o640);
    await symlink('data', join(folder, 'alias'));
    await symlink(join('alias', 'real'), join(folder, 'second'));
    await symlink('second', join(folder, 'first'));
    await write(join(folder, 'first'), 'new');
    expect(await readlink(join(folder, 'first'))).toBe('second');
    expect(await readlink(join(folder, 'second'))).toBe(join('alias', 'real'));
    expect(await readFile(join(folder, 'data', 'real'), 'utf8')).toBe('new');
    expect((await stat(join(folder, 'data', 'real'))).mode & 0o777).toBe(0o640);
    expect(await readdir(join(folder, 'data'))).toEqual(['real']);
    expect((await readdir(folder)).sort()).toEqual(['alias', 'data', 'first', 'second']);
  });

  test('creates the file that a dangling link names', async () => {
    await mkdir(join(folder, 'data'));
    await symlink(join('data', 'later'), join(folder, 'link'));
    await write(join(folder, 'link'), 'new');
    expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(folder, 'data', 'later'), 'utf8')).toBe('new');
  });

  test('takes the folder above what a link leads to, as the system does', async () => {
    await mkdir(join(folder, 'far', 'inner'), { recursive: true });
    await symlink(join('far', 'inner'), join(folder, 'link'));
    await write(`${folder}/link/../out`, 'new');
    await symlink('link/../second', join(folder, 'through'));
    await write(join(folder, 'through'), 'newer');
    expect((await readdir(join(folder, 'far'))).sort()).toEqual(['inner', 'out', 'second']);
    expect((await readdir(folder)).sort()).toEqual(['far', 'link', 'through']);
  });

  test('refuses links in a circle, a pipe, a socket, a folder and what has no name of its own', async () => {
    await symlink('b', join(folder, 'a'));
    await symlink('a', join(folder, 'b'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await symlink('pipe', join(folder, 'to-pipe'));
    const server = createServer().listen(join(folder, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    await writeFile(join(folder, 'open'), 'kept');
    const refused: readonly (readonly [string, string])[] = [
      [join(folder, 'a'), 'symbolic links'],
      [join(folder, 'pipe'), 'is a pipe'],
      [join(folder, 'to-pipe'), 'is a pipe'],
      [join(folder, 'socket'), 'is a socket'],
      [folder, 'is a folder'],
      [`${folder}/new/`, 'names a folder'],
    ];
    try {
      for (const [path, why] of refused) {
        await expect(write(path, 'new')).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
          message: expect.stringContaining(why),
        });
      }
    } finally {
      server.close();
    }
    expect((await lstat(join(folder, 'pipe'))).isFIFO()).toBe(true);
    expect((await lstat(join(folder, 'to-pipe'))).isSymbolicLink()).toBe(true);
    expect((await lstat(join(folder, 'a'))).isSymbolicLink()).toBe(true);
  });

  test('opens no file that somebody placed beside it, whatever its name', async () => {
    await writeFile(join(folder, 'victim'), 'kept');
    for (const name of [`out.${process.pid}.partial`, 'out.partial'])
      await symlink('victim', join(folder, name));
    await write(join(folder, 'out'), 'new');
    expect(await readFile(join(folder, 'victim'), 'utf8')).toBe('kept');
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('new');
  });

  test('takes a name that leaves no room for a suffix', async () => {
    const path = join(folder, '名'.repeat(85));
    await write(path, 'new');
    await write(path, 'newer');
    expect(await readFile(path, 'utf8')).toBe('newer');
    expect(await readdir(folder)).toHaveLength(1);
  });

  mountTest('refuses a file that is mounted by itself before it is written', async () => {
    const path = join(folder, 'a mounted file');
    await writeFile(join(folder, 'other'), 'kept');
    await writeFile(path, '');
    execFileSync('mount', ['--bind', join(folder, 'other'), path]);
    try {
      await expect(checkWritable(path)).rejects.toThrow('is mounted by itself');
      await expect(write(path, 'new')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    } finally {
      execFileSync('umount', [path]);
    }
    expect(await readFile(join(folder, 'other'), 'utf8')).toBe('kept');
    expect((await readdir(folder)).sort()).toEqual(['a mounted file', 'other']);
  });

  mountTest('leaves the old file where the disk is full', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
    try {
      await write(join(folder, 'out'), 'old');
      await expect(write(join(folder, 'out'), 'x'.repeat(2 ** 20))).rejects.toThrow('ENOSPC');
      expect(await readFile(join(folder, 'out'), 'utf8')).toBe('old');
      expect(await readdir(folder)).toEqual(['out']);
    } finally {
      execFileSync('umount', [folder]);
    }
  });

  ownerTest('lets nobody read or write it who could not, if its owner and group cannot be kept', async () => {
    // All of them with a group of its own: the user's only group, or one of several.
    const cases = [
      { groups: [], before: 0o640, after: 0o600, gid: USER },
      { groups: [], before: 0o664, after: 0o644, gid: USER },
      { groups: [], before: 0o604, after: 0o600, gid: USER },
      { groups: [5678], before: 0o640, after: 0o640, gid: 5678 },
    ];
    await chown(folder, USER, USER);
    for (const { groups, before, after, gid } of cases) {
      const path = join(folder, 'out');
      await writeFile(path, 'old');
      await chown(path, 0, 5678);
      await chmod(path, before);
      await asUser(groups, () => write(path, 'new'));
      const found = await stat(path);
      expect([before, found.uid, found.gid, found.mode & 0o7777]).toEqual([before, USER, gid, after]);
      await rm(path);
    }
  });

  ownerTest('keeps the owner of the file that is replaced', async () => {
    const path = join(folder, 'out');
    await writeFile(path, 'old');
    await chmod(path, 0o460);
    await chown(path, 1234, 5678);
    await write(path, 'new');
    const { uid, gid, mode } = await stat(path);
    expect([uid, gid, mode & 0o777]).toEqual([1234, 5678, 0o460]);
  });
});

deviceTest('a character device is written into and stays one, a block device is refused', async () => {
  const [null_, full, disk] = [join(folder, 'null'), join(folder, 'full'), join(folder, 'disk')];
  execFileSync('mknod', [null_, 'c', '1', '3']);
  execFileSync('mknod', [full, 'c', '1', '7']);
  execFileSync('mknod', [disk, 'b', '7', '250']);
  await symlink('null', join(folder, 'link'));
  const fill = (path: string): Promise<void> => writeWhole(path, (file) => file.writeFile('new'));
  for (const path of [null_, join(folder, 'link')]) {
    await checkWritable(path);
    await fill(path);
  }
  await expect(fill(full)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(replaceFile(null_, 'new')).rejects.toThrow('is a device');
  await expect(swapFile(null_, (file) => file.writeFile('new'))).rejects.toThrow('is a device');
  await expect(checkWritable(disk)).rejects.toThrow('is a block device');
  await expect(fill(disk)).rejects.toThrow('is a block device');
  expect((await lstat(null_)).isCharacterDevice()).toBe(true);
  expect((await lstat(disk)).isBlockDevice()).toBe(true);
  expect((await readdir(folder)).sort()).toEqual(['disk', 'full', 'link', 'null']);
});

test('what a failed writer began is removed, and what a killed one left goes with the next removal', async () => {
  const path = join(folder, 'out');
  await writeFile(path, 'old');
  const failure = new Error('no more');
  await expect(writeWhole(path, () => Promise.reject(failure))).rejects.toBe(failure);
  expect(await readdir(folder)).toEqual(['out']);
  expect(await readFile(path, 'utf8')).toBe('old');
  const others = ['out.0123456789abcdef.partials', 'outer.0123456789abcdef.partial', 'out.txt'];
  for (const name of ['out.0123456789abcdef.partial', 'out.partial', ...others])
    await writeFile(join(folder, name), 'left');
  await removeLeftovers(path);
  expect((await readdir(folder)).sort()).toEqual(['out', ...others].sort());
});

test('what is begun beside one long name is not taken for the beginning of another', async () => {
  const [first, second] = [`${'a'.repeat(80)}.worker-0-of-2`, `${'a'.repeat(80)}.worker-1-of-2`];
  const { file, path } = await openNeighbour(await destinationOf(join(folder, first)), 'wx');
  await file.close();
  await removeLeftovers(join(folder, second));
  expect(await readdir(folder)).toEqual([basename(path)]);
  await removeLeftovers(join(folder, first));
  expect(await readdir(folder)).toEqual([]);
});

test('a migration state that a link leads to has one lock', async () => {
  await symlink('state.json', join(folder, 'link.json'));
  const place = stateFile(join(folder, 'link.json'));
  const { unlock } = await place.lock();
  await expect(stateFile(join(folder, 'state.json')).lock()).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
  });
  await unlock();
  await writeFile(join(folder, 'state.json.0123456789abcdef.partial'), 'left by a killed process');
  await (await stateFile(join(folder, 'state.json')).lock()).unlock();
  expect(await readdir(folder)).toEqual(['link.json']);
});

describe('through the command line', () => {
  const project = (out: string, ...more: string[]): ReturnType<typeof runCli> =>
    runCli(['project', '--encoder', 'enc.onnx', '--out', out, ...more], {
      cwd: folder,
      input: '[1,2,3,4]\n',
    });

  beforeEach(() => randomEncoder([4, 2], { normalize: true, bias: false }).save(join(folder, 'enc.onnx')));

  test('--out follows a link with --force, and without it where there is nothing to replace', async () => {
    await writeFile(join(folder, 'real'), 'old');
    await symlink('real', join(folder, 'link'));
    await symlink('later', join(folder, 'dangling'));
    expect(await project('link')).toMatchObject({ code: 5 });
    expect(await readFile(join(folder, 'real'), 'utf8')).toBe('old');
    expect(await project('link', '--force')).toMatchObject({ code: 0 });
    expect(await project('dangling')).toMatchObject({ code: 0 });
    for (const name of ['link', 'dangling'])
      expect((await lstat(join(folder, name))).isSymbolicLink()).toBe(true);
    const written = await readFile(join(folder, 'real'), 'utf8');
    expect(JSON.parse(written)).toHaveLength(2);
    expect(await readFile(join(folder, 'later'), 'utf8')).toBe(written);
  });

  test('a pipe and a file that is open as standard output are refused with words', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const piped = await project('pipe', '--force');
    expect(piped).toMatchObject({ code: 2, stderr: expect.stringContaining('it is a pipe') });
    expect((await lstat(join(folder, 'pipe'))).isFIFO()).toBe(true);
    const output = await project('/dev/stdout', '--force');
    expect(output).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot write /dev/stdout') });
  });

  test('a dash is standard output to project, and no file to the others', async () => {
    const result = await project('-', '--input', '-');
    expect(result).toMatchObject({ code: 0 });
    expect(JSON.parse(result.stdout)).toHaveLength(2);
    for (const [flag, file] of [
      ['--out', '-'],
      ['--report', '-'],
      ['--checkpoint', '-'],
    ] as const) {
      const args = ['train', '--input', 'x.npy', '--distance', 'dot', '--dim', '2', '--out', 'e.onnx'];
      const refused = await runCli([...args, flag, file], { cwd: folder });
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('give ./- for a file') });
    }
    expect(await readdir(folder)).toEqual(['enc.onnx']);
  });

  test('files that links lead to are told apart by where they are', async () => {
    await symlink('same', join(folder, 'link'));
    const args = ['train', '--input', 'x.npy', '--distance', 'dot', '--dim', '2'];
    const result = await runCli([...args, '--out', 'same', '--report', 'link'], { cwd: folder });
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('must be different files') });
  });

  deviceTest('--out writes into a device', async () => {
    execFileSync('mknod', [join(folder, 'null'), 'c', '1', '3']);
    expect(await project('null', '--force')).toMatchObject({ code: 0 });
    expect((await lstat(join(folder, 'null'))).isCharacterDevice()).toBe(true);
  });
});

function canMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), 'qdrant-tldr-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at], { stdio: 'ignore' });
    execFileSync('umount', [at], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(at);
  }
}

function canMakeDevices(): boolean {
  const path = join(tmpdir(), `qdrant-tldr-mknod-${process.pid}`);
  try {
    execFileSync('mknod', [path, 'c', '1', '3'], { stdio: 'ignore' });
    execFileSync('sh', ['-c', `: > ${path} && rm ${path}`], { stdio: 'ignore' });
    return true;
  } catch {
    // Needs root, and a file system that lets devices be opened.
    return false;
  }
}
