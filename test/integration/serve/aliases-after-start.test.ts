import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import type { Layout } from '../../../src/store/collection.js';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const LAYOUTS = ['two-stage', 'compact'] as const;
const vector = Array.from({ length: DIM }, (_, i) => i + 1);
/** What clients see of a served collection, in either layout. */
const SHOWN = `"vectors":{"size":${DIM},`;
const OK = 0;
const NOT_FOUND = 5;

let place: CliPlace;
let serving: Serving;
let grpc: PlainGrpc;

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(url: string, request: string, body?: object): Promise<Answer> {
  const [method = '', path = ''] = request.split(' ');
  const response = await fetchOnce(`${url}/collections${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

const client = (request: string, body?: object): Promise<Answer> => ask(serving.rest, request, body);
const server = (request: string, body?: object): Promise<Answer> => ask(place.server.url, request, body);

/** At the server itself; null removes the alias. */
async function point(alias: string, collection: string | null): Promise<void> {
  const action =
    collection === null
      ? { delete_alias: { alias_name: alias } }
      : { create_alias: { alias_name: alias, collection_name: collection } };
  expect((await server('POST /aliases', { actions: [action] })).status).toBe(200);
}

const upsert = (name: string, id: number): Promise<Answer> =>
  client(`PUT /${name}/points?wait=true`, { points: [{ id, vector }] });

const call = (method: string, json: object): ReturnType<PlainGrpc['call']> =>
  grpc.call({ path: pathOf(method), message: encodeRequest(method, { ...json }) });

/** Those of the points that the collection holds with a compact vector. */
async function withCompact(layout: Layout, ids: readonly number[]): Promise<number[]> {
  const filter = { must: [{ has_id: ids }, { has_vector: layout === 'compact' ? '' : 'compact' }] };
  const { text } = await server(`POST /${targetOf(layout)}/points/scroll`, { filter, with_vector: true });
  const { result } = JSON.parse(text) as { result: { points: { id: number; vector: unknown }[] } };
  const compact = ({ vector: found }: { readonly vector: unknown }): unknown =>
    layout === 'compact' ? found : Reflect.get(Object(found), 'compact');
  for (const one of result.points) expect(compact(one)).toHaveLength(COMPACT_DIM);
  return result.points.map(({ id }) => id).sort((a, b) => a - b);
}

const sourceOf = (layout: Layout): string => `docs-${layout}`;
const targetOf = (layout: Layout): string => `target-${layout}`;

beforeAll(async () => {
  place = await openCliPlace('names');
  const collections: Record<string, object> = {};
  for (const layout of LAYOUTS) {
    const [sourceCollection, targetCollection] = [sourceOf(layout), targetOf(layout)];
    const params = { vectors: { size: DIM, distance: 'Cosine' } };
    expect((await server(`PUT /${sourceCollection}`, params)).status).toBe(200);
    await fill(place.store, sourceCollection, 60);
    await migrateCollection({
      source: place.store,
      target: place.store,
      sourceCollection,
      targetCollection,
      layout,
      vectorName: '',
      encoder: tinyEncoder(),
      statePath: join(place.cwd, `${layout}.json`),
    });
    collections[sourceCollection] = { target: targetCollection, encoder: 'enc.onnx' };
  }
  const { url, grpcUrl } = place.server;
  const any = '127.0.0.1:0';
  const listen = { listenRest: any, listenGrpc: any, listenOperations: any };
  await writeFile(join(place.cwd, 'serve.json'), JSON.stringify({ url, grpcUrl, ...listen, collections }));
  serving = await startServe(place.cwd, []);
  grpc = new PlainGrpc(serving.grpc);
});

afterEach(() => {
  if (serving.child.exitCode !== null) throw new Error(serving.log());
});

afterAll(async () => {
  grpc.close();
  endServing();
  await place.end();
});

describe.each(LAYOUTS)('%s: names that aliases are given after the start', (layout) => {
  test('are served from the first request on, over REST and gRPC', async () => {
    const made = (what: string): string => `made-${layout}-${what}`;
    const names = ['rest', 'grpc', 'search', 'search-grpc', 'info'].map(made);
    for (const name of names) await point(name, targetOf(layout));
    expect((await upsert(made('rest'), 1001)).status).toBe(200);
    const points = [{ id: { num: '1002' }, vectors: { vector: { data: vector } } }];
    expect(await call('Points/Upsert', { collectionName: made('grpc'), wait: true, points })).toMatchObject({
      code: OK,
    });
    expect(await withCompact(layout, [1001, 1002])).toEqual([1001, 1002]);
    const query = { query: vector, limit: 3, with_vector: layout === 'two-stage' };
    const found = await client(`POST /${made('search')}/points/query`, query);
    expect(found).toMatchObject({ status: 200 });
    expect(found.text).not.toContain('"compact"');
    const request = { collectionName: made('search-grpc'), query: { nearest: { dense: { data: vector } } } };
    expect(await call('Points/Query', request)).toMatchObject({ code: OK });
    const info = await client(`GET /${made('info')}`);
    expect(info.text).toContain(SHOWN);
  });

  test('are the server’s again once the alias leads elsewhere, and nobody’s once it is removed', async () => {
    const [alias, other] = [`moved-${layout}`, `other-${layout}`];
    const plain = { vectors: { size: 2, distance: 'Dot' } };
    expect((await server(`PUT /${other}`, plain)).status).toBe(200);
    await point(alias, targetOf(layout));
    expect((await upsert(alias, 2001)).status).toBe(200);
    for (const [round, collection] of [other, targetOf(layout), other, targetOf(layout), other].entries()) {
      await point(alias, collection);
      const mine = collection !== other;
      const id = 2002 + round;
      const put = await client(`PUT /${alias}/points?wait=true`, {
        points: [{ id, vector: mine ? vector : [1, 2] }],
      });
      expect(put.status).toBe(200);
      expect(await withCompact(layout, [id])).toEqual(mine ? [id] : []);
    }
    await point(alias, null);
    while ((await client(`GET /${alias}`)).status !== 404);
    expect((await upsert(alias, 2010)).status).toBe(404);
    const gone = await call('Points/Get', { collectionName: alias, ids: [{ num: '1' }] });
    expect(gone).toMatchObject({ code: NOT_FOUND });
  });

  test('are served where a collection of that name was deleted before', async () => {
    const name = `replaced-${layout}`;
    expect((await client(`PUT /${name}`, { vectors: { size: 2, distance: 'Dot' } })).status).toBe(200);
    expect(
      (await client(`PUT /${name}/points?wait=true`, { points: [{ id: 1, vector: [1, 2] }] })).status,
    ).toBe(200);
    expect((await client(`DELETE /${name}`)).status).toBe(200);
    await point(name, targetOf(layout));
    while (!(await client(`GET /${name}`)).text.includes(SHOWN));
    expect((await upsert(name, 3001)).status).toBe(200);
    expect(await withCompact(layout, [3001])).toEqual([3001]);
  });
});
