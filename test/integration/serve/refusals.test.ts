import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { JsonValue } from '@bufbuild/protobuf';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { Scenario } from '../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();

/** Served, and there at the server under the same name. */
const NAME = 'taken';
const DENSE = '"vectors":{"size":2,"distance":"Dot"}';
const BODIES = [
  `{${DENSE}}`,
  '{}',
  ' \n{ }',
  `{${DENSE},"shard_number":3,"replication_factor":1}`,
  '',
  'null',
  'no json',
  '7',
  '"text"',
  '{',
  `{${DENSE}`,
  `{${DENSE},}`,
  '\ufeff{}',
  '{"vectors":{"size":0,"distance":"Dot"}}',
  '{"vectors":{"size":2,"distance":"Far"}}',
  `{${DENSE},"vectors":{}}`,
  `{\n${DENSE},\n"hnsw_config":7}`,
  ` {${DENSE},"hnsw_config":7}`,
  `{${DENSE},"replication_factor":0}`,
  `{${DENSE},"shard_number":0}`,
  '{"shard_number":"x"}',
  `{${DENSE},"shard_number":0,"wal_config":{"wal_capacity_mb":0}}`,
  '{"optimizers_config":{"vacuum_min_vector_number":1},"write_consistency_factor":0}',
  // Escaped keys, and all of the settings of which the proxy would send one as 0.
  ...[DENSE, '"vectors":{"size":0,"distance":"Dot"}'].flatMap((vectors) => [
    `{${vectors.replace('v', '\\u0076')}}`,
    `{${vectors},"shard\\u005fnumber":1}`,
    `{${vectors},"shard\\u005fnumber":1,"replication_factor":1,"write_consistency_factor":1}`,
    `{"shard_number":12,${vectors},"replication_factor":1,"write_consistency_factor":1}`,
    `{"shard_number":null,"replication_factor":null,"write_consistency_factor":null,${vectors}}`,
    `{"shard_number":1,"replication_factor":0,"write_consistency_factor":1,${vectors}}`,
    `{"shard_number":1,"replication_factor":1,"write_consistency_factor":"x",${vectors}}`,
    `{"shard_number":1,"shard_number":1,"replication_factor":1,"write_consistency_factor":1,${vectors}}`,
    `{"shard_number":1.0,"replication_factor":1,"write_consistency_factor":1,${vectors}}`,
    `{"shard_number":4294967296,"replication_factor":1,"write_consistency_factor":1,${vectors}}`,
    `{"shard_number":1,"replication_factor":1,"write_consistency_factor":1,${vectors},"hnsw_config":7}`,
    `{"shard_number":1,"replication_factor":1,"write_consistency_factor":1,${vectors}`,
  ]),
  '[]',
  '[{"size":2,"distance":"Dot"}]',
  '[{"size":0,"distance":"Dot"},1,null,null]',
  '[null,0]',
  '[1,2]',
];
const dense = { params: { size: '2', distance: 'Dot' } };
const MESSAGES: readonly Record<string, JsonValue>[] = [
  {},
  { vectorsConfig: dense },
  { vectorsConfig: dense, shardNumber: 2, replicationFactor: 1 },
  { shardNumber: 0 },
  { replicationFactor: 0 },
  { vectorsConfig: dense, hnswConfig: { efConstruct: '1' } },
  { vectorsConfig: { params: { size: '0', distance: 'Dot' } } },
  ...[
    { size: '2', distance: 'Dot' },
    { size: '0', distance: 'Dot' },
  ].flatMap((params) => [
    { vectorsConfig: { params }, shardNumber: 2, replicationFactor: 1, writeConsistencyFactor: 1 },
    { vectorsConfig: { params }, shardNumber: 2, replicationFactor: 0, writeConsistencyFactor: 1 },
  ]),
  { vectorsConfig: dense, shardNumber: 0, walConfig: { walCapacityMb: '0' } },
];
const ROUTES = [
  'POST points/new',
  'PUT points/new',
  'DELETE points',
  'PATCH points',
  'POST points/1',
  'DELETE points/1',
  'POST index',
  'PUT aliases',
  'POST shards/0',
  'GET new',
  'POST points/search/new',
  'POST vectors/a',
  'PATCH vectors/a',
  'POST ',
  'DELETE a/b/c',
  'PUT snapshots',
];

describe('what the server refuses of a served collection', () => {
  let scenario: Scenario;
  let [direct, proxied]: [PlainGrpc | undefined, PlainGrpc | undefined] = [undefined, undefined];

  beforeAll(async () => {
    scenario = await Scenario.make(place(), NAME, { faults: false, points: 20 });
    await scenario.copy();
    const served = { target: scenario.target, encoder: 'encoder.onnx' };
    const { url, grpcUrl } = place();
    const listen = '127.0.0.1:0';
    const config = {
      url,
      grpcUrl,
      listenRest: listen,
      listenGrpc: listen,
      listenOperations: listen,
      collections: { [NAME]: served },
    };
    await writeFile(join(scenario.folder, 'serve.json'), JSON.stringify(config));
    direct = new PlainGrpc(grpcUrl);
  });

  afterAll(async () => {
    direct?.close();
    await rm(scenario.folder, { recursive: true });
  });

  const ask = async (url: string, route: string, body: string): Promise<unknown> => {
    const [method = '', path = ''] = route.split(' ');
    const response = await fetchOnce(url + path, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(method !== 'GET' && { body }),
    });
    const text = (await response.text()).replace(/"time":[\d.e-]+/, '');
    // The server lists errors in any order.
    return [response.status, /\[.*\]/.test(text) ? text.split(/; |\[|\]/).sort() : text];
  };

  const call = async (grpc: PlainGrpc | undefined, path: string, message: Uint8Array): Promise<unknown> => {
    const result = await grpc?.call({ path, message });
    return [result?.code, result?.text.split(/; |\[|\]/).sort()];
  };

  const collections = async (): Promise<string> =>
    (await fetchOnce(`${place().url}/collections`)).text().then((text) => text.replace(/"time".*/, ''));

  test('is refused in its words: creating it again, unknown routes and methods', async () => {
    await scenario.serve();
    proxied = new PlainGrpc(scenario.grpc);
    const before = await collections();
    for (const body of BODIES)
      for (const query of ['', '?timeout=5', '?timeout=0', '?timeout=x']) {
        const route = `PUT /collections/${NAME}${query}`;
        const said = await ask(place().url, route, body);
        expect([body, query, await ask(scenario.rest, route, body)]).toEqual([body, query, said]);
      }
    for (const json of MESSAGES) {
      const message = encodeRequest('Collections/Create', { collectionName: NAME, ...json });
      const said = await call(direct, pathOf('Collections/Create'), message);
      expect([json, await call(proxied, pathOf('Collections/Create'), message)]).toEqual([json, said]);
    }
    for (const route of ROUTES) {
      const [method = '', below = ''] = route.split(' ');
      const at = `${method} /collections/${NAME}/${below}`;
      expect([route, await ask(scenario.rest, at, '{"vector":[1]}')]).toEqual([
        route,
        await ask(place().url, at, '{"vector":[1]}'),
      ]);
    }
    const named = encodeRequest('Points/Count', { collectionName: NAME });
    for (const path of ['/qdrant.Points/New', '/qdrant.New/Upsert', '/qdrant.Points', '/other.Points/New'])
      for (const message of [named, Buffer.from([0xff])])
        expect([path, await call(proxied, path, message)]).toEqual([path, await call(direct, path, message)]);
    expect(await collections()).toEqual(before);
    proxied.close();
    expect(await scenario.end()).toBe(0);
  });

  test('creates nothing if the collection is gone at that moment', async () => {
    await scenario.serve();
    proxied = new PlainGrpc(scenario.grpc);
    const deleted = await fetchOnce(`${place().url}/collections/${scenario.target}`, { method: 'DELETE' });
    expect(deleted.status).toBe(200);
    const before = await collections();
    for (const body of BODIES) await ask(scenario.rest, `PUT /collections/${NAME}`, body);
    for (const json of MESSAGES)
      await call(
        ...([proxied, pathOf('Collections/Create')] as const),
        encodeRequest('Collections/Create', { collectionName: NAME, ...json }),
      );
    expect(await collections()).toEqual(before);
    proxied.close();
    await scenario.end();
  });
});
