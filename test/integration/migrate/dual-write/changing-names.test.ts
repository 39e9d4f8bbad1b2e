import { beforeAll, describe, expect } from '@jest/globals';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDesiredState } from '../../../../src/migrate/dual-write/proxy-state-files.js';
import { PlainGrpc } from '../../../support/server/grpc-call.js';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { Scenario, type ScenarioPlace } from '../../../support/migrate/migrating-scenario.js';
import { startGate } from '../../../support/serve/relay.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();
const POINTS = 60;
const MOVES = 60;

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(url: string, request: string, body?: object): Promise<Answer> {
  const [method = '', path = ''] = request.split(' ');
  const response = await fetchOnce(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** At the server itself; null removes the alias. */
async function point(alias: string, collection: string | null): Promise<void> {
  const action =
    collection === null
      ? { delete_alias: { alias_name: alias } }
      : { create_alias: { alias_name: alias, collection_name: collection } };
  const { status } = await ask(place().url, 'POST /collections/aliases', { actions: [action] });
  expect(status).toBe(200);
}

const VECTORS = { size: DIM, distance: 'Cosine' };

/** At the server itself. */
async function create(name: string): Promise<void> {
  expect((await ask(place().url, `PUT /collections/${name}`, { vectors: VECTORS })).status).toBe(200);
}

/** At the server itself: its name becomes an alias of another collection. */
async function replace(name: string, collection: string): Promise<void> {
  expect((await ask(place().url, `DELETE /collections/${name}`)).status).toBe(200);
  await point(name, collection);
}

/** At the server itself: an alias gets the name of a collection, which stays behind it. */
async function hide(name: string, behind: string): Promise<void> {
  await point('to-be-renamed', behind);
  const rename_alias = { old_alias_name: 'to-be-renamed', new_alias_name: name };
  expect((await ask(place().url, 'POST /collections/aliases', { actions: [{ rename_alias }] })).status).toBe(
    200,
  );
}

const vector = Array.from({ length: DIM }, (_, i) => i + 1);

function upsert(url: string, name: string, id: number): Promise<Answer> {
  const body = { points: [{ id, vector, payload: { by: name } }] };
  return ask(url, `PUT /collections/${name}/points?wait=true`, body);
}

/** The points that a name's clients find, of those asked for. */
async function found(url: string, name: string, ids: readonly number[]): Promise<number[]> {
  const { status, text } = await ask(url, `POST /collections/${name}/points`, { ids });
  expect(status).toBe(200);
  const { result } = JSON.parse(text) as { readonly result: readonly { readonly id: number }[] };
  return result.map(({ id }) => id).sort((a, b) => a - b);
}

async function copied(source: string, at: ScenarioPlace): Promise<Scenario> {
  const scenario = await Scenario.make(at, source, { faults: false, points: POINTS });
  await scenario.serve();
  await scenario.want({ state: 'copying', side: 'source' }, () => true);
  await scenario.copy();
  return scenario;
}

async function migrated(source: string, at = place()): Promise<Scenario> {
  const scenario = await copied(source, at);
  await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
  return scenario;
}

function signal(): { readonly fired: Promise<void>; readonly fire: () => void } {
  let fire: () => void = () => undefined;
  const fired = new Promise<void>((resolve) => (fire = resolve));
  return { fired, fire: () => fire() };
}

const sides = ['source', 'target', 'source'] as const;

async function ended(scenario: Scenario): Promise<void> {
  await scenario.reported(({ open }) => open === 0);
  expect(await scenario.differences()).toEqual([]);
  expect(await scenario.end()).toBe(0);
  await rm(scenario.folder, { recursive: true });
}

describe('names that change while a collection is migrated', () => {
  beforeAll(async () => {
    await create('elsewhere');
  });

  test('writes by an alias made at the server are followed before, at and after the cut-over', async () => {
    const scenario = await migrated('renamed');
    const grpc = new PlainGrpc(scenario.grpc);
    const written: number[] = [];
    for (const [round, side] of sides.entries()) {
      await scenario.want({ state: 'copied', side }, () => true);
      const alias = `made-${round}`;
      await point(alias, 'renamed');
      expect((await upsert(scenario.rest, alias, 9000 + round)).status).toBe(200);
      const message = encodeRequest('Points/Upsert', {
        collectionName: alias,
        wait: true,
        points: [{ id: { num: String(9100 + round) }, vectors: { vector: { data: vector } } }],
      });
      expect((await grpc.call({ path: pathOf('Points/Upsert'), message })).code).toBe(0);
      const index = { field_name: `f${round}`, field_schema: 'keyword' };
      expect((await ask(scenario.rest, `PUT /collections/${alias}/index`, index)).status).toBe(200);
      written.push(9000 + round, 9100 + round);
      // What was written by one name is read by all, wherever reads go.
      for (const name of ['renamed', alias, 'made-0'])
        expect(await found(scenario.rest, name, written)).toEqual([...written].sort((a, b) => a - b));
      const filter = { must: [{ key: 'by', match: { value: alias } }] };
      const removed = await ask(scenario.rest, `POST /collections/made-0/points/delete?wait=true`, {
        filter,
      });
      expect(removed.status).toBe(200);
      written.splice(written.indexOf(9000 + round), 1);
      expect(await found(scenario.rest, alias, [9000 + round])).toEqual([]);
    }
    grpc.close();
    await ended(scenario);
  });

  test('an alias that leads elsewhere or nowhere is the server’s, one of the target is refused', async () => {
    const scenario = await migrated('moving');
    for (const [round, side] of sides.entries()) {
      await scenario.want({ state: 'copied', side }, () => true);
      await point('moved', 'moving');
      expect((await upsert(scenario.rest, 'moved', 100 + round)).status).toBe(200);
      await point('moved', 'elsewhere');
      expect((await upsert(scenario.rest, 'moved', 200 + round)).status).toBe(200);
      expect(await found(place().url, 'elsewhere', [100 + round, 200 + round])).toEqual([200 + round]);
      expect(await found(place().url, 'moving', [200 + round])).toEqual([]);
      await point('moved', scenario.target);
      const refused = await upsert(scenario.rest, 'moved', 300 + round);
      expect(refused).toMatchObject({ status: 400, text: expect.stringContaining('filled by a migration') });
      for (const request of ['PATCH /collections/moved', 'DELETE /collections/moved'])
        expect((await ask(scenario.rest, request, {})).status).toBe(400);
      await point('moved', null);
      expect((await upsert(scenario.rest, 'moved', 400 + round)).status).toBe(404);
    }
    await ended(scenario);
  });

  test('aliases of either side cannot be changed through the proxy, however new they are', async () => {
    const scenario = await migrated('kept');
    await point('fresh', 'kept');
    const change = (action: object): Promise<Answer> =>
      ask(scenario.rest, 'POST /collections/aliases', { actions: [action] });
    const rename = { rename_alias: { old_alias_name: 'fresh', new_alias_name: 'newer' } };
    expect((await change(rename)).status).toBe(400);
    expect((await change({ delete_alias: { alias_name: 'fresh' } })).status).toBe(400);
    await point('fresh', 'elsewhere');
    expect((await change(rename)).status).toBe(200);
    expect((await change({ delete_alias: { alias_name: 'newer' } })).status).toBe(200);
    await ended(scenario);
  });

  test('no write is acknowledged and lost while an alias is made, moved and removed all the time', async () => {
    const scenario = await migrated('restless');
    const grpc = new PlainGrpc(scenario.grpc);
    let moving = true;
    const moves = (async () => {
      const ways = ['restless', 'elsewhere', scenario.target, null];
      for (let i = 0; i < MOVES; i++) await point('restless-alias', ways[(i * 7) % 4] ?? null);
      moving = false;
    })();
    const written = new Set<number>();
    const write = async (lane: number): Promise<void> => {
      for (let i = 0; moving; i++) {
        const id = 10_000 * (lane + 1) + i;
        const message = encodeRequest('Points/Upsert', {
          collectionName: 'restless-alias',
          wait: true,
          points: [{ id: { num: String(id) }, vectors: { vector: { data: vector } } }],
        });
        const taken =
          lane % 2 === 0
            ? (await upsert(scenario.rest, 'restless-alias', id)).status === 200
            : (await grpc.call({ path: pathOf('Points/Upsert'), message })).code === 0;
        if (taken) written.add(id);
      }
    };
    await Promise.all([moves, ...[0, 1, 2, 3].map(write)]);
    await scenario.want({ state: 'copied', side: 'target' }, ({ open }) => open === 0);
    const ids = [...written];
    const [at, of] = [
      await found(scenario.rest, 'restless', ids),
      await found(place().url, 'elsewhere', ids),
    ];
    expect(ids.length).toBeGreaterThan(0);
    expect([...at, ...of].sort((a, b) => a - b)).toEqual(ids.sort((a, b) => a - b));
    grpc.close();
    await ended(scenario);
  });

  test('a write that was sent to a collection whose name became an alias of the source is not acknowledged', async () => {
    // What happens at the server before a write by that name arrives there.
    let armed: { readonly name: string; readonly then: () => Promise<void> } | null = null;
    const pass = async (bytes: Buffer): Promise<void> => {
      const gate = armed;
      if (gate === null || !bytes.includes(gate.name)) return;
      armed = null;
      await gate.then();
    };
    const [rest, grpc] = [await startGate(place().url, pass), await startGate(place().grpcUrl, pass)];
    const scenario = await migrated('waited-for', { ...place(), url: rest.url, grpcUrl: grpc.url });
    const client = new PlainGrpc(scenario.grpc);
    const upsertCall = async (name: string, id: number): Promise<Answer> => {
      const points = [{ id: { num: String(id) }, vectors: { vector: { data: vector } } }];
      const message = encodeRequest('Points/Upsert', { collectionName: name, wait: true, points });
      const { code, text } = await client.call({ path: pathOf('Points/Upsert'), message });
      return { status: code, text };
    };
    const byRest = (name: string, id: number): Promise<Answer> => upsert(scenario.rest, name, id);
    const ways = [
      { by: 'rest', write: byRest, ok: 200, no: 503, ids: [7001, 7002] },
      { by: 'grpc', write: upsertCall, ok: 0, no: 14, ids: [7003, 7004] },
    ] as const;
    for (const { by, write, ok, no, ids } of ways) {
      const [first, second] = ids;
      const [own, real, way] = [`own-${by}`, `real-${by}`, `way-${by}`];
      await create(own);
      await create(real);
      await point(way, real);
      expect((await write(own, 1)).status).toBe(ok);
      expect((await write(way, 1)).status).toBe(ok);
      const aside = { status: no, text: expect.stringMatching(/became an alias .*repeat the write/) };
      armed = { name: own, then: () => replace(own, 'waited-for') };
      expect(await write(own, first)).toMatchObject(aside);
      armed = { name: real, then: () => replace(real, 'waited-for') };
      expect(await write(way, second)).toMatchObject(aside);
      expect((await write(own, first)).status).toBe(ok);
      expect((await write(real, second)).status).toBe(ok);
      expect(await found(place().url, scenario.target, ids)).toEqual(ids);
    }
    client.close();
    await ended(scenario);
    await Promise.all([rest, grpc].map((gate) => gate.close()));
  });

  test('a write by the name of the source, which an alias hid before it arrived, is not acknowledged', async () => {
    let armed: string | null = null;
    const pass = async (bytes: Buffer): Promise<void> => {
      if (armed === null || !bytes.includes(armed)) return;
      armed = null;
      await hide('taken', 'elsewhere');
    };
    const [rest, grpc] = [await startGate(place().url, pass), await startGate(place().grpcUrl, pass)];
    const scenario = await migrated('taken', { ...place(), url: rest.url, grpcUrl: grpc.url });
    const client = new PlainGrpc(scenario.grpc);
    const write = {
      rest: (id: number) => upsert(scenario.rest, 'taken', id),
      grpc: async (id: number): Promise<Answer> => {
        const points = [{ id: { num: String(id) }, vectors: { vector: { data: vector } } }];
        const message = encodeRequest('Points/Upsert', { collectionName: 'taken', wait: true, points });
        const { code, text } = await client.call({ path: pathOf('Points/Upsert'), message });
        return { status: code, text };
      },
    };
    for (const { by, seen, ok, no, id } of [
      { by: 'rest', seen: '/collections/taken/points', ok: 200, no: 503, id: 7101 },
      { by: 'grpc', seen: 'taken', ok: 0, no: 14, id: 7102 },
    ] as const) {
      armed = seen;
      const text = expect.stringMatching(/taken.*became an alias .*repeat the write/);
      expect(await write[by](id)).toMatchObject({ status: no, text });
      await point('taken', null);
      expect((await write[by](id)).status).toBe(ok);
      expect(await found(place().url, 'taken', [id])).toEqual([id]);
      expect(await found(place().url, scenario.target, [id])).toEqual([id]);
    }
    client.close();
    await ended(scenario);
    await Promise.all([rest, grpc].map((gate) => gate.close()));
  });

  test('nothing is brought over while an alias hides the source or the target', async () => {
    const scenario = await copied('hidden', place());
    for (const name of ['hidden', scenario.target]) {
      await scenario.want({ state: 'copying', side: 'source' }, () => true);
      expect((await upsert(scenario.rest, 'hidden', 8001)).status).toBe(200);
      await hide(name, 'elsewhere');
      await writeDesiredState(scenario.journal, { state: 'copied', side: 'source' });
      await scenario.logged(`the alias "${name}" hides`);
      expect(await found(place().url, 'elsewhere', [8001])).toEqual([]);
      await point(name, null);
      await scenario.reported(({ caughtUp, open }) => caughtUp && open === 0);
      expect(await scenario.differences()).toEqual([]);
    }
    await ended(scenario);
  });

  test('nothing counts as brought over if an alias hid the source meanwhile', async () => {
    let armed = false;
    // The first bytes with the source's name over gRPC ask for the point that was written.
    const gate = await startGate(place().grpcUrl, async (bytes) => {
      if (!armed || !bytes.includes('between')) return;
      armed = false;
      await hide('between', 'elsewhere');
    });
    const scenario = await migrated('between', { ...place(), grpcUrl: gate.url });
    expect((await upsert(scenario.rest, 'between', 8101)).status).toBe(200);
    await scenario.reported(({ open }) => open === 0);
    armed = true;
    expect((await upsert(scenario.rest, 'between', 8101)).status).toBe(200);
    await scenario.logged('the alias "between" hides');
    await point('between', null);
    await ended(scenario);
    await gate.close();
  });

  test('a reload that takes its time does not undo a cut-over', async () => {
    let opened = Number.NEGATIVE_INFINITY;
    const [reached, released] = [signal(), signal()];
    // The second connection that a reload opens is for what it goes on with.
    const pass = async (bytes: Buffer): Promise<void> => {
      if (!bytes.includes('GET / HTTP') || ++opened !== 2) return;
      reached.fire();
      await released.fired;
    };
    const gate = await startGate(place().url, pass);
    const scenario = await migrated('reloaded', { ...place(), url: gate.url });
    expect((await upsert(scenario.rest, 'reloaded', 9900)).status).toBe(200);
    opened = 0;
    await scenario.reload({});
    await reached.fired;
    await scenario.want({ state: 'copied', side: 'target' }, () => true);
    released.fire();
    await scenario.logged('reads go to the target');
    await scenario.logged('the configuration was read again');
    // Which side is read shows where they differ.
    const removed = { points: [9900] };
    const at = `/collections/${scenario.target}/points/delete?wait=true`;
    expect((await ask(place().url, `POST ${at}`, removed)).status).toBe(200);
    expect(await found(scenario.rest, 'reloaded', [9900])).toEqual([]);
    expect((await upsert(scenario.rest, 'reloaded', 9900)).status).toBe(200);
    await ended(scenario);
    await gate.close();
  });

  test('a key that changes at a reload is said to be for the next start', async () => {
    const scenario = await migrated('keyed');
    await writeFile(join(scenario.folder, 'key'), 'another-key');
    await scenario.reload({ apiKeyFile: 'key' });
    await scenario.logged('the new API key takes effect only after a restart');
    await ended(scenario);
  });
});
