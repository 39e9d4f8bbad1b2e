import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import {
  appendFile,
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isTldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { Rng } from '../../../src/core/rng.js';
import { ownerOf } from '../../../src/migrate/dual-write/journal-entries.js';
import { writeDesiredState, writeReport } from '../../../src/migrate/dual-write/proxy-state-files.js';
import { BLOCK_BYTES, FRAME_BYTES_MAX } from '../../../src/migrate/dual-write/journal-frames.js';
import { ENTRY_IDS_MAX, WriteJournal } from '../../../src/migrate/dual-write/write-journal.js';

const UUID = '0000abcd-0000-4000-8000-00000000000f';
const U64_MAX = 2n ** 64n - 1n;
const HEAD_BYTES = 12;
const RECURSIVE = { recursive: true } as const;
const run = promisify(execFile);
const MODULE = new URL('../../../src/migrate/dual-write/write-journal.js', import.meta.url).href;
/**
 * A process in which one system call fails, as with too many open files, while the journal is begun anew; it says
 * which points were acknowledged after that, and is gone without closing it.
 */
const FAILING_ROTATION = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const { MODULE, FOLDER, CALL, NTH } = process.env;
  const { WriteJournal } = await import(MODULE);
  const journal = await WriteJournal.open(FOLDER);
  await journal.begin([1n]).written;
  for (let i = 0; i < 9; i++) {
    const { entries, written } = journal.begin([99n]);
    await written;
    journal.done(entries[0]);
  }
  await journal.begin([]).written;
  // The name that a power cut brings back where the folder was not synced.
  await fs.promises.link(FOLDER + '/writes.journal', FOLDER + '/before');
  const folder = await fs.promises.open(FOLDER);
  const owner = CALL === 'sync' ? Object.getPrototypeOf(folder) : fs.promises;
  await folder.close();
  const real = owner[CALL];
  let calls = 0;
  owner[CALL] = function (...given) {
    return ++calls === Number(NTH)
      ? Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }))
      : real.apply(this, given);
  };
  syncBuiltinESMExports();
  await journal.rotate(0).catch(() => undefined);
  const acknowledged = [];
  for (const id of [2n, 3n])
    await journal.begin([id]).written.then(() => acknowledged.push(Number(id)), () => undefined);
  owner[CALL] = real;
  syncBuiltinESMExports();
  fs.writeSync(1, JSON.stringify(acknowledged));
  process.exit(0);
`;

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-journal-'));
  path = join(folder, 'writes.journal');
});

afterEach(() => rm(folder, { recursive: true }));

/** Entries that are on disk. */
async function begun(journal: WriteJournal, ids: readonly PointId[]): Promise<readonly number[]> {
  const { entries, written } = journal.begin(ids);
  await written;
  return entries;
}

/** Ids of every open entry. */
async function contentOf(journal: WriteJournal): Promise<PointId[][]> {
  const all: PointId[][] = [];
  for (const entry of journal.openEntries()) all.push(await journal.idsOf(entry));
  return all;
}

async function reopened(): Promise<PointId[][]> {
  const journal = await WriteJournal.open(folder);
  try {
    return await contentOf(journal);
  } finally {
    await journal.close();
  }
}

/** A journal with these entries, closed. */
async function written(ids: readonly (readonly PointId[])[]): Promise<void> {
  const journal = await WriteJournal.open(folder);
  for (const some of ids) await begun(journal, some);
  await journal.close();
}

/** How often files are read while something is done. */
async function readsOf(task: () => Promise<void>): Promise<number> {
  const some = await open(path, 'r');
  const prototype = Object.getPrototypeOf(some) as { read: (...given: unknown[]) => unknown };
  await some.close();
  const real = prototype.read;
  let reads = 0;
  prototype.read = function (this: unknown, ...given: unknown[]): unknown {
    reads++;
    return Reflect.apply(real, this, given);
  };
  try {
    await task();
  } finally {
    prototype.read = real;
  }
  return reads;
}

async function damage(at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.from([byte[0]! ^ 0x40]), 0, 1, at);
  await file.close();
}

describe('the journal of writes', () => {
  test('what was begun and not done is there after a restart, ids as they were', async () => {
    const journal = await WriteJournal.open(folder);
    const [first = 0] = await begun(journal, [1n, U64_MAX, UUID]);
    const [second = 0] = await begun(journal, [2n]);
    await begun(journal, [UUID, 3n]);
    expect(await begun(journal, [])).toEqual([]);
    journal.done(second);
    journal.done(second);
    expect(journal.openEntries()).toContain(first);
    await journal.close();
    const again = await WriteJournal.open(folder);
    expect(await contentOf(again)).toEqual([
      [1n, U64_MAX, UUID],
      [UUID, 3n],
    ]);
    // Numbers are not given out again.
    const [next = 0] = await begun(again, [4n]);
    expect(next).toBeGreaterThan(Math.max(...again.openEntries().slice(0, -1)));
    await again.close();
  });

  test('many ids are several entries', async () => {
    const journal = await WriteJournal.open(folder);
    const ids = Array.from({ length: 2 * ENTRY_IDS_MAX + 1 }, (_, i) => BigInt(i));
    expect(await begun(journal, ids)).toHaveLength(3);
    expect((await contentOf(journal)).flat()).toEqual(ids);
    await journal.close();
  });

  test('what is more than a frame may hold is several frames, each as large as is read again', async () => {
    const journal = await WriteJournal.open(folder);
    const ids = Array.from(
      { length: ENTRY_IDS_MAX },
      (_, i) => `0000abcd-0000-4000-8000-${String(i).padStart(12, '0')}`,
    );
    const entries = Math.ceil(FRAME_BYTES_MAX / (ENTRY_IDS_MAX * 17)) + 1;
    await Promise.all(Array.from({ length: entries }, () => begun(journal, ids)));
    await begun(journal, [7n]);
    await journal.close();
    const file = await open(path, 'r');
    const head = Buffer.alloc(4);
    const sizes: number[] = [];
    for (let at = 8; at < (await file.stat()).size; at += HEAD_BYTES + sizes[sizes.length - 1]!) {
      await file.read(head, 0, 4, at);
      sizes.push(head.readUInt32LE(0));
    }
    await file.close();
    expect(Math.max(...sizes)).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    expect(sizes.length).toBeGreaterThan(2);
    const again = await WriteJournal.open(folder);
    const left = again.openEntries();
    expect(left).toHaveLength(entries + 1);
    expect(await again.idsOf(left[entries - 1]!)).toEqual(ids);
    expect(await again.idsOf(left[entries]!)).toEqual([7n]);
    await again.close();
  });

  test('a point that a write names again and again is noted once', async () => {
    const journal = await WriteJournal.open(folder);
    const ids = Array.from({ length: 20 * ENTRY_IDS_MAX }, (_, i) => (i % 2 === 0 ? UUID : BigInt(i % 5)));
    expect(await begun(journal, ids)).toHaveLength(1);
    expect(await contentOf(journal)).toEqual([[UUID, 1n, 3n, 0n, 2n, 4n]]);
    await journal.close();
  });

  test('writes that come together share one frame, and each is on disk when it is told so', async () => {
    const journal = await WriteJournal.open(folder);
    const sizes: number[] = [];
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        await begun(journal, [BigInt(i)]);
        sizes.push((await stat(path)).size);
      }),
    );
    const bytes = await readFile(path);
    let frames = 0;
    for (let at = 8; at < bytes.length; at += HEAD_BYTES + bytes.readUInt32LE(at)) frames++;
    expect(frames).toBeLessThan(100);
    expect(Math.min(...sizes)).toBeGreaterThan(8);
    expect((await contentOf(journal)).flat().sort()).toEqual(
      Array.from({ length: 100 }, (_, i) => BigInt(i)).sort(),
    );
    await journal.close();
  });

  test('a last frame torn anywhere is cut off, what came before stays', async () => {
    await written([[1n], [2n, UUID]]);
    const whole = await readFile(path);
    const second = 8 + HEAD_BYTES + whole.readUInt32LE(8);
    for (let size = second; size < whole.length; size++) {
      await writeFile(path, whole.subarray(0, size));
      expect(await reopened()).toEqual([[1n]]);
      expect((await stat(path)).size).toBe(second);
    }
    // As a file system may leave it: as long as it was to be, but not written.
    for (const from of [second, second + HEAD_BYTES]) {
      await writeFile(path, Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from)]));
      expect(await reopened()).toEqual([[1n]]);
    }
    await writeFile(path, whole);
    expect(await reopened()).toEqual([[1n], [2n, UUID]]);
  });

  test('a damaged byte before the last frame is refused, wherever it is', async () => {
    await written([[1n], [2n, UUID], [3n]]);
    const whole = await readFile(path);
    const second = 8 + HEAD_BYTES + whole.readUInt32LE(8);
    const third = second + HEAD_BYTES + whole.readUInt32LE(second);
    for (let at = 0; at < third; at++) {
      await writeFile(path, whole);
      await damage(at);
      const error: unknown = await reopened().then(
        () => `byte ${at} was not missed`,
        (cause: unknown) => cause,
      );
      expect(error).toMatchObject({ code: 'INVALID_DATA', message: expect.stringContaining('is damaged') });
    }
  });

  test('only one process has it open', async () => {
    const journal = await WriteJournal.open(folder);
    await expect(WriteJournal.open(folder)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await journal.close();
    await (await WriteJournal.open(folder)).close();
  });

  test('it is begun anew with what is open, in the middle of writes', async () => {
    const journal = await WriteJournal.open(folder);
    const [kept = 0] = await begun(journal, [U64_MAX]);
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < 500; i++) {
      all.push(begun(journal, [BigInt(i), UUID]).then(([entry = 0]) => i < 490 && journal.done(entry)));
      if (i % 100 === 99) await Promise.all([...all, journal.rotate(0)]);
    }
    await Promise.all(all);
    const before = (await stat(path)).size;
    await journal.rotate(0);
    expect((await stat(path)).size).toBeLessThan(before / 2);
    expect(journal.sizeBytes).toBe((await stat(path)).size);
    expect(await journal.idsOf(kept)).toEqual([U64_MAX]);
    const open = (await contentOf(journal)).map(String).sort();
    expect(open).toHaveLength(11);
    await begun(journal, [7n]);
    await journal.close();
    expect((await reopened()).map(String).sort()).toEqual([...open, '7'].sort());
  });

  test('it is begun anew, and opened, in blocks: not by a read for each entry', async () => {
    const journal = await WriteJournal.open(folder);
    const ids = Array.from({ length: 400 }, (_, i) => BigInt(i));
    const entries = 1_000;
    // A frame for some, so that both small and large frames are read.
    for (let i = 0; i < 50; i++) await begun(journal, ids);
    await Promise.all(Array.from({ length: entries - 50 }, () => begun(journal, ids)));
    const blocks = Math.ceil((await stat(path)).size / BLOCK_BYTES);
    expect(blocks).toBeGreaterThan(3);
    const reads = await readsOf(() => journal.rotate(0));
    expect(journal.sizeBytes).toBe((await stat(path)).size);
    expect(reads).toBeLessThanOrEqual(2 * blocks);
    await begun(journal, [7n]);
    await journal.close();
    let again: WriteJournal | null = null;
    const openReads = await readsOf(async () => {
      again = await WriteJournal.open(folder);
    });
    expect(openReads).toBeLessThanOrEqual(4 * blocks);
    const content = await contentOf(again!);
    expect(content).toEqual([...Array<PointId[]>(entries).fill(ids), [7n]]);
    await again!.close();
  });

  test.each([
    ...[1, 2, 3, 4].map((nth) => ['open', nth] as const),
    ...['rename', 'rm', 'stat'].map((call) => [call, 1] as const),
    // Of the new file, and of its folder.
    ...[1, 2].map((nth) => ['sync', nth] as const),
  ])('when %s fails the %s. time while it is begun anew, nothing acknowledged is lost', async (call, nth) => {
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', FAILING_ROTATION], {
      env: { ...process.env, MODULE, FOLDER: folder, CALL: call, NTH: String(nth) },
    });
    const acknowledged: unknown = JSON.parse(stdout);
    const isAllThere = async (): Promise<void> => {
      const left = await reopened();
      expect(left[0]).toEqual([1n]);
      // That 99 was brought over may not be on disk yet.
      const others = left.slice(1).flat().map(Number);
      expect(others.filter((id) => id !== 99)).toEqual(acknowledged);
    };
    await isAllThere();
    if (call !== 'sync') return;
    expect(acknowledged).toEqual(nth === 1 ? [2, 3] : []);
    // As after a power cut.
    await rename(join(folder, 'before'), path);
    await isAllThere();
  });

  test('when it is removed under the process, it is there again with what is open', async () => {
    const journal = await WriteJournal.open(folder);
    await begun(journal, [1n]);
    await rm(path);
    await begun(journal, [2n]);
    await journal.rotate();
    await begun(journal, [3n]);
    await journal.close();
    expect(await reopened()).toEqual([[1n], [2n], [3n]]);
  });

  test('when another file is put in its place, nothing more is acknowledged', async () => {
    const journal = await WriteJournal.open(folder);
    await begun(journal, [1n]);
    await rename(path, join(folder, 'elsewhere'));
    await copyFile(join(folder, 'elsewhere'), path);
    await expect(journal.rotate()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(begun(journal, [2n])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await journal.close();
  });

  test.each(['removed', 'emptied', 'in a removed folder'])(
    'once something was copied, one that is %s is an error',
    async (how) => {
      await written([[1n]]);
      await writeDesiredState(folder, { state: 'copied', side: 'source' });
      const lose = how === 'emptied' ? truncate(path, 0) : rm(how === 'removed' ? path : folder, RECURSIVE);
      await lose;
      const expectedBy = how === 'in a removed folder' ? 'a test says so' : null;
      const lost = { code: 'INVALID_DATA', message: expect.stringContaining('would lose these for good') };
      await expect(WriteJournal.open(folder, { expectedBy })).rejects.toMatchObject(lost);
      await expect(WriteJournal.open(folder, { expectedBy: 'a test says so' })).rejects.toMatchObject(lost);
      await mkdir(folder, RECURSIVE);
      expect(await readdir(folder)).toEqual(
        { removed: ['plan.json'], emptied: ['plan.json', 'writes.journal'] }[how] ?? [],
      );
      // A migration that was given up says so, and a new journal may begin.
      await writeDesiredState(folder, { state: 'waiting', side: 'source' });
      expect(await reopened()).toEqual([]);
    },
  );

  test.each([
    ['the journal of another migration', 'is for writes to "b" that are brought to "c"'],
    ['one cut to its first bytes', 'holds nothing'],
    ['one cut inside of its first frame', 'holds nothing'],
  ])('once something was copied, %s is an error', async (how, found) => {
    const [owner, others] = [ownerOf({ source: 'a', target: 'c' }), ownerOf({ source: 'b', target: 'c' })];
    const journal = await WriteJournal.open(folder, { owner });
    await begun(journal, [1n]);
    // What it is for survives a new beginning.
    await journal.rotate(0);
    await journal.close();
    await writeDesiredState(folder, { state: 'copied', side: 'source' });
    await (await WriteJournal.open(folder, { owner })).close();
    const whole = await readFile(path);
    if (how.startsWith('one cut')) await truncate(path, how.includes('inside') ? 40 : 8);
    else {
      await rm(path);
      await writeDesiredState(folder, { state: 'waiting', side: 'source' });
      await (await WriteJournal.open(folder, { owner: others })).close();
      await writeDesiredState(folder, { state: 'copied', side: 'source' });
    }
    const lost = { code: 'INVALID_DATA', message: expect.stringContaining(`writes.journal ${found}, but`) };
    await expect(WriteJournal.open(folder, { owner })).rejects.toMatchObject(lost);
    await writeFile(path, whole);
    const again = await WriteJournal.open(folder, { owner, expectedBy: 'a test' });
    expect(await contentOf(again)).toEqual([[1n]]);
    await again.close();
    // Of a migration that was given up anything may be left.
    await writeDesiredState(folder, { state: 'waiting', side: 'source' });
    await (await WriteJournal.open(folder, { owner: others })).close();
    await writeDesiredState(folder, { state: 'copied', side: 'source' });
    await expect(WriteJournal.open(folder, { owner })).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });

  test('a journal of an earlier version, which does not say what it is for, is taken', async () => {
    await written([[1n]]);
    await writeDesiredState(folder, { state: 'copied', side: 'source' });
    const owner = ownerOf({ source: 'a', target: 'b' });
    const journal = await WriteJournal.open(folder, { owner });
    expect(await contentOf(journal)).toEqual([[1n]]);
    await journal.close();
    const other = ownerOf({ source: 'b', target: 'a' });
    await expect(WriteJournal.open(folder, { owner: other })).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });

  test('what a killed process said of its journal counts without a plan', async () => {
    const report = { pid: 1, at: 1, source: 's', target: 't', encoder: 'e', caughtUp: false } as const;
    await writeReport(folder, { ...report, state: 'waiting', side: 'source', open: 3, setAside: null });
    await expect(WriteJournal.open(folder)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('3 writes open'),
    });
  });

  test('any sequence of entries, restarts and torn ends gives what a list gives', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const rng = new Rng(seed);
      const expected = new Map<number, string>();
      for (let round = 0; round < 5; round++) {
        const journal = await WriteJournal.open(folder);
        expect((await contentOf(journal)).map(String)).toEqual([...expected.values()]);
        for (let step = 0; step < 20; step++) {
          const open = [...expected.keys()];
          if (open.length > 0 && rng.uniform() < 0.5) {
            const entry = open[rng.int(open.length)]!;
            journal.done(entry);
            expected.delete(entry);
          } else {
            const ids = Array.from({ length: 1 + rng.int(3) }, () => BigInt(rng.int(1000)));
            const [entry = 0] = await begun(journal, ids);
            expected.set(entry, String([...new Set(ids)]));
          }
        }
        if (rng.uniform() < 0.3) await journal.rotate(0);
        await journal.close();
        await appendFile(path, Buffer.from([1, 2, 3, 4, 5]).subarray(0, rng.int(6)));
      }
      await rm(path);
    }
  });

  test('a file that is no journal is left alone, an empty one is begun', async () => {
    await writeFile(path, 'something else entirely');
    await expect(WriteJournal.open(folder)).rejects.toMatchObject({ code: 'INVALID_DATA' });
    expect(await readFile(path, 'utf8')).toBe('something else entirely');
    await truncate(path, 3);
    expect(await reopened()).toEqual([]);
    const error: unknown = await WriteJournal.open('/dev/null/journal').catch((cause: unknown) => cause);
    expect(isTldrError(error, 'INVALID_ARGUMENT')).toBe(true);
  });
});
