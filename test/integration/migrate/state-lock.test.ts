import { afterAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { holderOf, lockFile } from '../../../src/migrate/state/lock.js';
import { OWN_PIDS, ownPidsAllowed } from '../../support/serve/serve-child.js';

const CHILD = fileURLToPath(new URL('../../support/migrate/lock-child.js', import.meta.url));
const RUNNERS = 5;
const ROUNDS = 3;

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-lock-'));
afterAll(() => rm(folder, { recursive: true }));

async function lockOf(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(`${path}.lock`, JSON.stringify(content));
  return path;
}

test('one process holds a migration state once, and again when it has let go', async () => {
  const path = join(folder, 'own');
  const unlock = await lockFile(path);
  await expect(lockFile(path)).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
    message: expect.stringContaining('another run'),
  });
  await unlock();
  await (
    await lockFile(path)
  )();
  expect((await readdir(folder)).filter((name) => name.startsWith('own'))).toEqual([]);
});

/** The text of a lock whose process is gone: the kernel keeps no lock on the file. */
const LEFT = { pid: process.pid, host: hostname(), keptBy: 'kernel' };

test.each([
  ['names a process that is gone', { ...LEFT, pid: 2 ** 30 }],
  ['names this process', LEFT],
  ['names a living process, as in another container', { ...LEFT, pid: process.ppid }],
  ['names another machine', { ...LEFT, host: 'another-machine' }],
])('a lock file on which the kernel keeps no lock and which %s is taken over', async (_name, text) => {
  const path = await lockOf('left', text);
  expect(await holderOf(path)).toBeNull();
  const unlock = await lockFile(path);
  expect(await holderOf(path)).toBe(`process ${process.pid} on ${hostname()}`);
  await unlock();
  expect(await holderOf(path)).toBeNull();
  expect((await readdir(folder)).filter((name) => name.startsWith('left'))).toEqual([]);
});

test('a lock file without text, as a crash leaves it, is taken over', async () => {
  const path = join(folder, 'empty');
  await writeFile(`${path}.lock`, '');
  await (
    await lockFile(path)
  )();
});

test('a lock file of an earlier version is left alone until a person removes it', async () => {
  const path = await lockOf('earlier', { pid: 2 ** 30, host: hostname(), startedAt: '1' });
  await expect(lockFile(path)).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
    message: expect.stringMatching(
      /earlier version .* make sure that it has ended, then remove .*earlier\.lock/,
    ),
  });
  expect(await holderOf(path)).toBe(`process ${2 ** 30} on ${hostname()}`);
  await rm(`${path}.lock`);
  await (
    await lockFile(path)
  )();
});

interface Locker {
  readonly child: ChildProcess;
  readonly outcome: string;
}

/** A process that tries to take the lock. @param before the command that starts it, as words */
async function tryToLock(path: string, before: readonly string[] = []): Promise<Locker> {
  const [command, ...args] = [...before, process.execPath, CHILD, path];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  child.stdin.write('go\n');
  return { child, outcome: String((await lines.next()).value) };
}

const canUnshare = ownPidsAllowed('locks of two PID namespaces');

(canUnshare ? test : test.skip)('processes that do not see each other exclude each other', async () => {
  const path = join(folder, 'containers');
  const first = await tryToLock(path, OWN_PIDS);
  expect(first.outcome).toBe('held');
  const second = await tryToLock(path, OWN_PIDS);
  expect(second.outcome).toBe('ALREADY_EXISTS');
  second.child.stdin?.end();
  await once(second.child, 'exit');
  // The one that failed has ended and left the lock of the first alone.
  await expect(lockFile(path)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  await waitUntilFree(path);
  const third = await tryToLock(path, OWN_PIDS);
  expect(third.outcome).toBe('held');
  third.child.stdin?.end();
  await once(third.child, 'exit');
});

/** The kernel ends the processes of a namespace a moment after its first. */
async function waitUntilFree(path: string): Promise<void> {
  while ((await holderOf(path)) !== null) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('of several that find a lock left behind, exactly one takes it over', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const path = await lockOf(`race-${round}`, LEFT);
    const lines: AsyncIterator<string>[] = [];
    const children: ChildProcess[] = [];
    for (let i = 0; i < RUNNERS; i++) {
      const child = spawn(process.execPath, [CHILD, path], { stdio: ['pipe', 'pipe', 'inherit'] });
      children.push(child);
      lines.push(createInterface({ input: child.stdout })[Symbol.asyncIterator]());
    }
    const next = async (): Promise<unknown[]> =>
      Promise.all(lines.map(async (line) => (await line.next()).value as unknown));
    expect(new Set(await next())).toEqual(new Set(['ready']));
    for (const child of children) child.stdin?.write('go\n');
    const outcomes = (await next()).sort();
    const ended = Promise.all(children.map((child) => once(child, 'exit')));
    for (const child of children) child.stdin?.end();
    await ended;
    expect(outcomes.filter((outcome) => outcome === 'held')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'ALREADY_EXISTS')).toHaveLength(RUNNERS - 1);
  }
});
