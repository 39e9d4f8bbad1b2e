import { watched } from '../../../support/store/watch-calls.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest } from '@jest/globals';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../../adapters/qdrant/index.js';
import { TldrError } from '../../../../src/core/errors.js';
import type { Sent, AffectedPoints } from '../../../../src/store/write-interceptor.js';
import type { PointId } from '../../../../src/core/point-id.js';
import { formatPointId } from '../../../../adapters/qdrant/points/point-id.js';
import { Rng } from '../../../../src/core/rng.js';
import type { QdrantStore } from '../../../../adapters/qdrant/index.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { DualWriter, type DualWriterOptions } from '../../../../src/migrate/dual-write/mirror-writes.js';
import { planMigration, type MigrationPlan } from '../../../../src/migrate/plan/migration.js';
import { verifyMigration } from '../../../../src/migrate/verify/all-points.js';
import { WriteJournal } from '../../../../src/migrate/dual-write/write-journal.js';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { DIM, fill, idAt, tinyEncoder } from '../../../support/migrate/fixtures.js';
import { copyOnce } from '../../../support/server/copy-once.js';
import { fetchAgain } from '../../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 400;
const encoder = tinyEncoder();

let server: TestServer;
let store: QdrantStore;
let folder: string;
let plan: MigrationPlan;

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant({ ...server, retry: { attempts: 1 } });
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-follow-'));
  for (const name of ['source', 'target']) if (await store.exists(name)) await store.drop(name);
  await createPlain('source');
  await fill(store, 'source', POINTS);
  const places = { source: store, target: store, sourceCollection: 'source', targetCollection: 'target' };
  plan = await planMigration({ ...places, encoder, layout: 'two-stage' });
});

afterEach(() => rm(folder, { recursive: true }));

async function createPlain(name: string): Promise<void> {
  await store.create({
    name,
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } }, optimizer_config: {} }),
  });
}

async function follow(
  over = store,
  limits: Pick<DualWriterOptions, 'targetWaitMs' | 'checkNames'> = {},
): Promise<DualWriter> {
  const journal = await WriteJournal.open(folder);
  const names = { sourceCollection: 'source', targetCollection: 'target' };
  return new DualWriter({ source: over, target: over, ...names, encoder, journal, ...limits });
}

const copy = (): Promise<void> => copyOnce({ plan, store, encoder, batchSize: 16 });

async function differences(): Promise<readonly string[]> {
  return (await verifyMigration(plan, { source: store, target: store, encoder })).differences;
}

const json = (filter: object): PointCondition => ({
  form: 'json',
  bytes: Buffer.from(JSON.stringify(filter)),
});
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
};
const onIds = (...ids: PointId[]): AffectedPoints => ({ ids, conditions: [] });
const jsonId = (id: PointId): string => (typeof id === 'bigint' ? String(id) : `"${id}"`);

/** A write as a client makes it, whether it waits or not. */
async function send(method: string, path: string, body: string): Promise<Sent<number>> {
  const response = await fetchAgain(`${server.url}/collections/source/points${path}`, {
    method,
    body,
    headers: { 'content-type': 'application/json' },
  });
  await response.arrayBuffer();
  const done = path.includes('wait=true') ? 'applied' : 'logged';
  return { answer: response.status, outcome: response.status === 200 ? done : 'unknown' };
}

/** A write while the disk is full. */
async function refusedByDisk(write: () => Promise<unknown>): Promise<void> {
  const file = await open(join(folder, 'any'), 'w');
  const full = jest.spyOn(Object.getPrototypeOf(file) as typeof file, 'appendFile');
  full.mockRejectedValue(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
  try {
    await expect(write()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('no space left'),
    });
  } finally {
    full.mockRestore();
    await file.close();
  }
}

/** One of all kinds of writes, by chance. */
async function writeSomething(dualWriter: DualWriter, rng: Rng): Promise<void> {
  const ids = Array.from({ length: 1 + rng.int(3) }, () => idAt(rng.int(POINTS + 50)));
  const list = ids.map(jsonId).join();
  const vector = (): string => `[${Array.from({ length: DIM }, () => rng.normal().toFixed(4)).join()}]`;
  const wait = rng.uniform() < 0.8 ? '?wait=true' : '';
  const kind = rng.int(6);
  const third = { must: [{ key: 'group', match: { value: rng.int(20) } }] };
  const filtered: AffectedPoints = { ids: [], conditions: [json(third)] };
  const filter = JSON.stringify(third);
  if (kind === 0) {
    const points = ids.map(
      (id) => `{"id":${jsonId(id)},"vector":${vector()},"payload":{"group":${rng.int(20)},"f":1.0}}`,
    );
    await dualWriter.write(onIds(...ids), () => send('PUT', wait, `{"points":[${points.join()}]}`));
  } else if (kind === 1)
    await dualWriter.write(onIds(...ids), () => send('POST', `/delete${wait}`, `{"points":[${list}]}`));
  else if (kind === 2)
    await dualWriter.write(onIds(...ids), () =>
      send('POST', `/payload${wait}`, `{"points":[${list}],"payload":{"group":${rng.int(20)}}}`),
    );
  else if (kind === 3)
    await dualWriter.write(filtered, () => send('POST', `/delete${wait}`, `{"filter":${filter}}`));
  else if (kind === 4)
    await dualWriter.write(filtered, () =>
      send('POST', `/payload${wait}`, `{"filter":${filter},"payload":{"group":${rng.int(20)},"seen":true}}`),
    );
  else
    await dualWriter.write(onIds(...ids), () =>
      send('POST', `/vectors/delete${wait}`, `{"points":[${list}],"vector":[""]}`),
    );
}

/** Several writers at once. */
async function writeMuch(dualWriter: DualWriter, seed: number, writes = 40): Promise<void> {
  const writer = async (at: number): Promise<void> => {
    const rng = new Rng(seed * 100 + at);
    for (let i = 0; i < writes; i++) await writeSomething(dualWriter, rng);
  };
  await Promise.all([1, 2, 3, 4].map(writer));
}

describe('writes that are followed', () => {
  test('before, during and after the copy end in the same points on both sides', async () => {
    const dualWriter = await follow();
    await writeMuch(dualWriter, 1, 10);
    await dualWriter.setState('copying');
    expect(dualWriter.status()).toMatchObject({ state: 'copying', caughtUp: false });
    await Promise.all([copy(), writeMuch(dualWriter, 2)]);
    await dualWriter.setState('copied');
    await writeMuch(dualWriter, 3);
    await dualWriter.caughtUp(300_000);
    expect(dualWriter.status()).toEqual({
      state: 'copied',
      side: 'source',
      open: 0,
      caughtUp: true,
      setAside: null,
    });
    expect(await differences()).toEqual([]);
    // A second copy over what is there, as a repair makes it.
    await dualWriter.setState('copying');
    await store.drop('target');
    await Promise.all([copy(), writeMuch(dualWriter, 4)]);
    expect(dualWriter.status().open).toBeGreaterThan(0);
    await dualWriter.setState('copied');
    await dualWriter.caughtUp(300_000);
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('what a process that ended left open is brought over by the next', async () => {
    const first = await follow();
    await Promise.all([copy(), writeMuch(first, 5)]);
    await first.close();
    const second = await follow();
    expect(second.status().open).toBeGreaterThan(0);
    await second.setState('copied');
    await second.caughtUp(300_000);
    expect(await differences()).toEqual([]);
    await second.close();
    const third = await follow();
    expect(third.status().open).toBe(0);
    await third.close();
  });

  test('what many writes left open is brought over in batches', async () => {
    let writes = 0;
    const counted = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name === 'upsert') writes++;
        return typeof value === 'function' ? (value.bind(of) as unknown) : value;
      },
    });
    await copy();
    const dualWriter = await follow(counted);
    const nothing = (): Promise<Sent<null>> => Promise.resolve({ answer: null, outcome: 'applied' });
    const touch = (at: number): Promise<null> => dualWriter.write(onIds(idAt(at % POINTS)), nothing);
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => touch(i)));
    // One for each point is enough to remember it by.
    expect(dualWriter.status().open).toBe(POINTS);
    await dualWriter.setState('copied');
    await dualWriter.caughtUp(300_000);
    expect(writes).toBeLessThan(POINTS / 10);
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('an unreachable target holds up no write, and the cut-over; in service it makes writes fail', async () => {
    let down = true;
    const cut = async (...args: Parameters<QdrantStore['upsert']>): Promise<void> => {
      if (down) throw new TldrError('UNAVAILABLE', 'cut off');
      await store.upsert(...args);
    };
    const broken = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name === 'upsert') return cut;
        return typeof value === 'function' ? (value.bind(of) as unknown) : value;
      },
    });
    await copy();
    const dualWriter = await follow(broken, { targetWaitMs: 300 });
    await dualWriter.setState('copied');
    const put = (): Promise<number> =>
      dualWriter.write(onIds(1n), () =>
        send('PUT', '?wait=true', `{"points":[{"id":1,"vector":[${Array(DIM).fill(2).join()}]}]}`),
      );
    expect(await put()).toBe(200);
    let switched = 0;
    const count = (): Promise<void> => {
      switched++;
      return Promise.resolve();
    };
    expect(await dualWriter.switchTo('target', count)).toBe(false);
    down = false;
    expect(await dualWriter.switchTo('target', count)).toBe(true);
    expect(switched).toBe(1);
    expect(await differences()).toEqual([]);
    down = true;
    await expect(put()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(dualWriter.status()).toMatchObject({ side: 'target', open: 1 });
    down = false;
    await dualWriter.caughtUp(300_000);
    expect(await differences()).toEqual([]);
    expect(await dualWriter.switchTo('source', count)).toBe(true);
    await dualWriter.close();
  });

  test('while a name leads elsewhere nothing is read or written by it', async () => {
    let isHidden = true;
    const checkNames = (): Promise<void> =>
      isHidden ? Promise.reject(new TldrError('UNAVAILABLE', 'hidden')) : Promise.resolve();
    const calls: string[] = [];
    const recorded = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          calls.push(String(name));
          return Reflect.apply(value, of, args) as unknown;
        };
      },
    });
    await copy();
    const dualWriter = await follow(recorded, { checkNames });
    await expect(dualWriter.setState('copied')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(calls).toEqual([]);
    isHidden = false;
    await dualWriter.setState('copied');
    isHidden = true;
    calls.length = 0;
    const nothing = (): Promise<Sent<null>> => Promise.resolve({ answer: null, outcome: 'applied' });
    await dualWriter.write(onIds(1n), nothing);
    const byFilter: AffectedPoints = {
      ids: [],
      conditions: [json({ must: [{ key: 'group', match: { value: 3 } }] })],
    };
    await expect(dualWriter.write(byFilter, nothing)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(dualWriter.status().open).toBe(1);
    expect(calls).toEqual([]);
    isHidden = false;
    while (dualWriter.status().open > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('a filter that was looked up while an alias hid the source stops its write', async () => {
    const aliases = async (body: object): Promise<void> => {
      const response = await fetchAgain(`${server.url}/collections/aliases`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ actions: [body] }),
      });
      await response.arrayBuffer();
      expect(response.status).toBe(200);
    };
    const checkNames = async (): Promise<void> => {
      const text = await (await fetchAgain(`${server.url}/aliases`)).text();
      if (text.includes('"alias_name":"source"')) throw new TldrError('UNAVAILABLE', 'hidden');
    };
    const hiding = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name !== 'changes') return typeof value === 'function' ? (value.bind(of) as unknown) : value;
        const matching: QdrantStore['changes']['matching'] = async function* (collection, condition) {
          await aliases({ create_alias: { alias_name: 'other', collection_name: 'target' } });
          await aliases({ rename_alias: { old_alias_name: 'other', new_alias_name: 'source' } });
          yield* store.changes.matching(collection, condition);
        };
        return { ...store.changes, matching };
      },
    });
    await createPlain('target');
    const dualWriter = await follow(hiding, { checkNames });
    let sent = 0;
    const group: AffectedPoints = {
      ids: [],
      conditions: [json({ must: [{ key: 'group', match: { value: 3 } }] })],
    };
    const write = dualWriter.write(group, () => {
      sent++;
      return Promise.resolve({ answer: null, outcome: 'applied' });
    });
    await expect(write).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(sent).toBe(0);
    await aliases({ delete_alias: { alias_name: 'source' } });
    await dualWriter.close();
  });

  test('a follower that is given up waits no longer for a moment to switch', async () => {
    await copy();
    const hidden = (): Promise<void> => Promise.reject(new TldrError('UNAVAILABLE', 'hidden'));
    let checkNames = (): Promise<void> => Promise.resolve();
    const dualWriter = await follow(store, { checkNames: () => checkNames() });
    await dualWriter.setState('copied');
    checkNames = hidden;
    await dualWriter.write(onIds(1n), () => Promise.resolve({ answer: null, outcome: 'applied' }));
    const switched = dualWriter.switchTo('target', () => Promise.resolve());
    dualWriter.giveUp();
    await expect(switched).rejects.toMatchObject({ code: 'ABORTED' });
    await dualWriter.close();
  });

  test('points that the target cannot hold are set aside, named, and hold up no other write', async () => {
    await copy();
    const dualWriter = await follow(store, { targetWaitMs: 300_000 });
    await dualWriter.setState('copied');
    const bad = [idAt(1), idAt(2), idAt(3), idAt(4), idAt(5)];
    const list = (ids: readonly PointId[]): string => ids.map(jsonId).join();
    // Past the follower, as somebody may write at the server.
    const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
    await send('POST', '/payload?wait=true', `{"points":[${list(bad)}],"payload":${deep},"key":"k"}`);
    const touch = (ids: readonly PointId[]): Promise<number> =>
      dualWriter.write(onIds(...ids), () =>
        send('POST', '/payload?wait=true', `{"points":[${list(ids)}],"payload":{"touched":true}}`),
      );
    for (const id of bad) expect(await touch([id, idAt(20)])).toBe(200);
    const status = dualWriter.status();
    expect(status).toMatchObject({ open: 5, caughtUp: true, setAside: { points: 5 } });
    expect(status.setAside?.why).toMatch(new RegExp(`^point ${formatPointId(idAt(1))} .*nested 127 deep`));
    expect(await touch([idAt(30)])).toBe(200);
    expect(dualWriter.status().open).toBe(5);
    const switched = dualWriter.switchTo('target', () => Promise.resolve());
    await expect(switched).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('5 points cannot be brought'),
    });
    // Neither a repair nor another process waits for them.
    await dualWriter.setState('copying');
    await dualWriter.setState('copied');
    await dualWriter.caughtUp(300_000);
    await dualWriter.close();
    const next = await follow(store, { targetWaitMs: 300_000 });
    await next.setState('copied');
    await next.caughtUp(300_000);
    expect(next.status()).toMatchObject({ open: 5, setAside: { points: 5 } });
    // Once they are changed nothing is left of it.
    const write = (ids: readonly PointId[], path: string, rest: string): Promise<number> =>
      next.write(onIds(...ids), () => send('POST', `${path}?wait=true`, `{"points":[${list(ids)}]${rest}}`));
    expect(await write(bad.slice(0, 3), '/payload/clear', '')).toBe(200);
    expect(next.status()).toMatchObject({ open: 2, setAside: { points: 2 } });
    expect(await write(bad.slice(3), '/delete', '')).toBe(200);
    expect(next.status()).toMatchObject({ open: 0, setAside: null });
    expect(await next.switchTo('target', () => Promise.resolve())).toBe(true);
    // Where clients read the target, the writer of such a point is told so at once; others are not held up.
    await send('POST', '/payload?wait=true', `{"points":[${list([idAt(7)])}],"payload":${deep},"key":"k"}`);
    await expect(write([idAt(7)], '/payload', ',"payload":{"b":1}')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/the write was made.*nested 127 deep/),
    });
    expect(await write([idAt(8)], '/payload', ',"payload":{"b":1}')).toBe(200);
    expect(await write([idAt(7)], '/payload/delete', ',"keys":["k"]')).toBe(200);
    expect(next.status()).toMatchObject({ open: 0, setAside: null });
    expect(await differences()).toEqual([]);
    await next.close();
  });

  test('a point that fails again and again is set aside, whatever the server says of it', async () => {
    const bad = 7n;
    const failing = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name === 'upsert')
          return async (...args: Parameters<QdrantStore['upsert']>): Promise<void> => {
            if (args[1].ids.includes(bad)) throw new TldrError('UNAVAILABLE', 'the server panicked');
            await store.upsert(...args);
          };
        return typeof value === 'function' ? (value.bind(of) as unknown) : value;
      },
    });
    await copy();
    const dualWriter = await follow(failing);
    const touch = (id: PointId): Promise<number> =>
      dualWriter.write(onIds(id), () =>
        send('POST', '/payload?wait=true', `{"points":[${jsonId(id)}],"payload":{"touched":true}}`),
      );
    // Left from before, together with others.
    await Promise.all([1n, 3n, 5n, bad, 9n, 11n, 13n].map(touch));
    await dualWriter.setState('copied');
    while (dualWriter.status().setAside === null) expect(await touch(1n)).toBe(200);
    const why = 'point 7 of source cannot be brought to target: the server panicked';
    expect(dualWriter.status().setAside).toEqual({ points: 1, why });
    await dualWriter.caughtUp(300_000);
    expect(dualWriter.status().open).toBe(1);
    await dualWriter.close();
  });

  test('a write whose entry the disk refused stands for no point before the copy is finished', async () => {
    const put = (dualWriter: DualWriter): Promise<number> =>
      dualWriter.write(onIds(1n), () =>
        send('PUT', '?wait=true', `{"points":[{"id":1,"vector":[${Array(DIM).fill(2).join()}]}]}`),
      );
    await copy();
    const dualWriter = await follow();
    await refusedByDisk(() => put(dualWriter));
    expect(dualWriter.status().open).toBe(0);
    expect(await put(dualWriter)).toBe(200);
    expect(dualWriter.status().open).toBe(1);
    await dualWriter.setState('copied');
    await dualWriter.caughtUp(300_000);
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('a write whose entry the disk refused stands for no point that is set aside', async () => {
    await copy();
    const dualWriter = await follow();
    await dualWriter.setState('copied');
    const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
    await send('POST', '/payload?wait=true', `{"points":[4],"payload":${deep},"key":"k"}`);
    const touch = (): Promise<number> =>
      dualWriter.write(onIds(4n), () =>
        send('POST', '/payload?wait=true', '{"points":[4],"payload":{"touched":true}}'),
      );
    await refusedByDisk(touch);
    expect(await touch()).toBe(200);
    await until(() => dualWriter.status().setAside?.points === 1);
    await dualWriter.close();
    const next = await follow();
    expect(next.status().open).toBe(1);
    await next.setState('copied');
    await next.caughtUp(300_000);
    expect(next.status()).toMatchObject({ open: 1, setAside: { points: 1 } });
    await next.close();
  });

  test('writes to a point that is set aside, again and again, leave one entry', async () => {
    await copy();
    const dualWriter = await follow();
    await dualWriter.setState('copied');
    const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
    const [first, second] = [jsonId(idAt(1)), jsonId(idAt(2))];
    await send('POST', '/payload?wait=true', `{"points":[${first},${second}],"payload":${deep},"key":"k"}`);
    const touch = (ids: readonly PointId[]): Promise<number> =>
      dualWriter.write(onIds(...ids), () =>
        send(
          'POST',
          '/payload?wait=true',
          `{"points":[${ids.map(jsonId).join()}],"payload":{"touched":true}}`,
        ),
      );
    for (let i = 0; i < 20; i++) await Promise.all([touch([idAt(1)]), touch([idAt(1), idAt(5), idAt(2)])]);
    await until(() => dualWriter.status().open <= 2 && dualWriter.status().setAside?.points === 2);
    const fix = (id: PointId): Promise<number> =>
      dualWriter.write(onIds(id), () =>
        send('POST', '/payload/delete?wait=true', `{"points":[${jsonId(id)}],"keys":["k"]}`),
      );
    await fix(idAt(1));
    await until(() => dualWriter.status().open === 1 && dualWriter.status().setAside?.points === 1);
    // One entry remembers it across a restart.
    await dualWriter.close();
    const next = await follow();
    expect(next.status().open).toBe(1);
    await next.setState('copied');
    await next.caughtUp(300_000);
    await next.write(onIds(idAt(2)), () =>
      send('POST', '/payload/delete?wait=true', `{"points":[${second}],"keys":["k"]}`),
    );
    await until(() => next.status().open === 0 && next.status().setAside === null);
    expect(await differences()).toEqual([]);
    await next.close();
  });

  test('a switch that cannot be now holds up no write', async () => {
    let down = false;
    const cut = async (...args: Parameters<QdrantStore['upsert']>): Promise<void> => {
      if (down) throw new TldrError('UNAVAILABLE', 'cut off');
      await store.upsert(...args);
    };
    const frail = new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name === 'upsert') return cut;
        return typeof value === 'function' ? (value.bind(of) as unknown) : value;
      },
    });
    await copy();
    const dualWriter = await follow(frail);
    await dualWriter.setState('copied');
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const slow = dualWriter.write(onIds(idAt(9)), async () => {
      await held;
      return { answer: null, outcome: 'applied' };
    });
    const touch = (id: PointId): Promise<number> =>
      dualWriter.write(onIds(id), () =>
        send('POST', '/payload?wait=true', `{"points":[${jsonId(id)}],"payload":{"touched":true}}`),
      );
    const switched = (): Promise<boolean> => dualWriter.switchTo('target', () => Promise.resolve());
    // Behind for as long as the target takes nothing: a turn of its own would wait for the slow write, and all others
    // for that turn.
    down = true;
    await touch(idAt(1));
    const behind = switched();
    expect(await touch(idAt(3))).toBe(200);
    expect(await behind).toBe(false);
    down = false;
    // And for good, until a point is changed.
    const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
    await send('POST', '/payload?wait=true', `{"points":[${jsonId(idAt(5))}],"payload":${deep},"key":"k"}`);
    await touch(idAt(5));
    const forGood = switched();
    expect(await touch(idAt(7))).toBe(200);
    await expect(forGood).rejects.toMatchObject({ code: 'INVALID_DATA' });
    release();
    await slow;
    await dualWriter.write(onIds(idAt(5)), () =>
      send('POST', '/payload/delete?wait=true', `{"points":[${jsonId(idAt(5))}],"keys":["k"]}`),
    );
    while (!(await switched())) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('a write that failed on its way is looked at as well', async () => {
    await copy();
    const dualWriter = await follow();
    await dualWriter.setState('copied');
    const lost = dualWriter.write(onIds(1n), async () => {
      await send('POST', '/payload', '{"points":[1],"payload":{"late":true}}');
      throw new Error('the connection broke');
    });
    await expect(lost).rejects.toThrow('the connection broke');
    await dualWriter.caughtUp(300_000);
    while (dualWriter.status().open > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('a write that was only logged is answered before it is applied, and brought over after', async () => {
    let settled = 0;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const slow = watched(store, ({ name, go }) => {
      if (name !== 'changes.waitForApplied') return go();
      settled++;
      return held.then(go);
    });
    await copy();
    const dualWriter = await follow(slow, { targetWaitMs: 300_000 });
    await dualWriter.setState('copied');
    await dualWriter.switchTo('target', () => Promise.resolve());
    const put = (id: bigint, wait: string): Promise<number> =>
      dualWriter.write(onIds(id), () =>
        send('PUT', wait, `{"points":[{"id":${id},"vector":[${Array(DIM).fill(3).join()}]}]}`),
      );
    expect(await Promise.all([1n, 2n, 3n, 4n, 5n].map((id) => put(id, '')))).toEqual(Array(5).fill(200));
    expect(dualWriter.status().open).toBe(5);
    // Its client would find the five at the source.
    let answered = false;
    const waited = put(6n, '?wait=true').then(() => (answered = true));
    while (dualWriter.status().open !== 5) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(answered).toBe(false);
    release();
    await waited;
    expect(dualWriter.status().open).toBe(0);
    expect(settled).toBeLessThan(5);
    expect(await differences()).toEqual([]);
    await dualWriter.close();
  });

  test('a filter is looked up when what an earlier process left is applied', async () => {
    const first = await follow();
    await first.write(onIds(7n), () =>
      send('PUT', '', `{"points":[{"id":7,"vector":[${Array(DIM).fill(3).join()}]}]}`),
    );
    await first.close();
    const calls: string[] = [];
    const recorded = watched(store, ({ name, go }) => {
      calls.push(name);
      return go();
    });
    const second = await follow(recorded);
    const third = { ids: [], conditions: [json({ must: [{ key: 'group', match: { value: 3 } }] })] };
    const write = (): Promise<number> =>
      second.write(third, () =>
        send(
          'POST',
          '/payload?wait=true',
          '{"filter":{"must":[{"key":"group","match":{"value":3}}]},"payload":{"seen":1}}',
        ),
      );
    expect(second.status().open).toBeGreaterThan(0);
    expect(await write()).toBe(200);
    expect(await write()).toBe(200);
    expect(calls.filter((name) => ['changes.waitForApplied', 'changes.matching'].includes(name))).toEqual([
      'changes.waitForApplied',
      'changes.matching',
      'changes.matching',
    ]);
    await second.close();
  });

  test('a filter that cannot be looked up stops its write; another collection is no target', async () => {
    const dualWriter = await follow();
    const wrong: AffectedPoints = { ids: [], conditions: [json({ must: [{ key: 'a', match: 'nothing' }] })] };
    let sent = 0;
    const write = dualWriter.write(wrong, () => Promise.resolve({ answer: sent++, outcome: 'applied' }));
    await expect(write).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(sent).toBe(0);
    await createPlain('target');
    await expect(dualWriter.setState('copied')).rejects.toMatchObject({ code: 'MISMATCH' });
    await dualWriter.close();
  });

  test('a filter selects the same points in either form, more than fit one page', async () => {
    const ids = Array.from({ length: 5000 }, (_, i) => BigInt(1_000_000 + i));
    const rest = ids.map(() => store.codec.pack('{"group":99}'));
    await store.upsert('source', { ids, vectors: [], extra: rest });
    const message = encodeRequest('Points/Scroll', {
      filter: { must: [{ field: { key: 'group', match: { integer: '99' } } }] },
    });
    // The one field of the request, without its head.
    const head = 2;
    const found: PointId[][] = [];
    for (const condition of [
      json({ must: [{ key: 'group', match: { value: 99 } }] }),
      { form: 'message', bytes: message.subarray(head) },
    ]) {
      const some: PointId[] = [];
      for await (const page of store.changes.matching('source', condition)) some.push(...page);
      found.push(some);
    }
    expect(found).toEqual([ids, ids]);
  });
});
