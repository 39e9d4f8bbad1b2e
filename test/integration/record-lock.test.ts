import { afterAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { lockRecord } from '../../src/migrate/record-lock.js';

const CHILD = fileURLToPath(new URL('./lock-child.js', import.meta.url));
const RUNNERS = 5;
const ROUNDS = 3;
const GONE = { pid: 2 ** 30, host: hostname(), startedAt: '1' };

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-lock-'));
afterAll(() => rm(folder, { recursive: true }));

async function lockOf(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(`${path}.lock`, JSON.stringify(content));
  return path;
}

test('one process holds a record once, and again when it has let go', async () => {
  const path = join(folder, 'own');
  const unlock = await lockRecord(path);
  await expect(lockRecord(path)).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
    message: expect.stringContaining('another run'),
  });
  await unlock();
  await (
    await lockRecord(path)
  )();
  expect((await readdir(folder)).filter((name) => name.startsWith('own'))).toEqual([]);
});

test('a lock of a living process and of another machine is respected', async () => {
  const living = await lockOf('living', { pid: process.ppid, host: hostname() });
  await expect(lockRecord(living)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  const elsewhere = await lockOf('elsewhere', { ...GONE, host: 'another-machine' });
  await expect(lockRecord(elsewhere)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
});

test.each([
  ['a process that is gone', GONE],
  [
    'a process of this id that began at another time, as in a container started again',
    { ...GONE, pid: process.pid },
  ],
  ['a process of this id, where starts are not told', { pid: process.pid, host: hostname() }],
])('a lock of %s is taken over', async (_name, holder) => {
  const path = await lockOf('stale', holder);
  await (
    await lockRecord(path)
  )();
  expect((await readdir(folder)).filter((name) => name.startsWith('stale'))).toEqual([]);
});

test('of several that find a lock left behind, exactly one takes it over', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const path = await lockOf(`race-${round}`, GONE);
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
