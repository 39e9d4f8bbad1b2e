import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QdrantClient } from '@qdrant/js-client-rest';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withProjection } from '../../../adapters/qdrant/client/with-projection.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { decodeAnswer, encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { COMPACT_DIM, DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { answerTo, ask, objectText, sorted } from '../../support/store/send-json-text.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const POINTS = 60;
const ODD = 'a/b "q" \\ %41 $& 日本\n.';
const DENSE = ['payload', ODD, '', 'filter', 'vectors'];
const MULTI = 'default';
const SPARSE = 's"/$&';
/** Collection, alias of its two-stage target, vector that is reduced, and its compact name. */
const CASES = [
  ["a%2Fb $&'`+#ä😀;{x}", 'x/y?z*"\\%2F $& ä', 'payload', '__proto__'],
  ['limit', 'toString', ODD, `'"k $&\\`],
] as const;

let place: CliPlace;
let serving: Serving;
let grpc: PlainGrpc;
let plain: PlainGrpc;

function vector(seed: number): number[] {
  return Array.from({ length: DIM }, (_, i) => Math.sin(seed * 13.7 + i * i * 1.3) + Math.cos(i * seed));
}

const dense = (i: number): [string, number[]][] => DENSE.map((name, k) => [name, vector(i + k / 9)]);
const multi = (i: number): number[][] => [vector(i + 0.41), vector(1.7 * i + 0.32)];
const sparse = (i: number): { indices: number[]; values: number[] } => ({
  indices: [1, i + 2],
  values: [0.5 + i / 1000, 1],
});

function vectorsText(i: number): string {
  return objectText([...dense(i), [MULTI, multi(i)], [SPARSE, sparse(i)]]);
}

function payloadText(i: number): string {
  return `{"${i % 2 === 0 ? '__proto__' : 'a.b'}":${i},"vector":{"payload":[1]},"":"x","${'"/$&'.replace('"', '\\"')}":[${i}]}`;
}

const pointText = (i: number): string => `{"id":${i},"vector":${vectorsText(i)},"payload":${payloadText(i)}}`;

const collectionPath = (name: string): string => `/collections/${encodeURIComponent(name)}`;

async function fill(collection: string): Promise<void> {
  const one = { size: DIM, distance: 'Cosine' };
  const vectors = objectText([
    ...DENSE.map((name) => [name, one] as const),
    [MULTI, { ...one, multivector_config: { comparator: 'max_sim' } }],
  ]);
  const { url } = place.server;
  const settings = `{"vectors":${vectors},"sparse_vectors":${objectText([[SPARSE, {}]])}}`;
  await ask(url, 'PUT', collectionPath(collection), settings);
  const points = Array.from({ length: POINTS }, (_, i) => pointText(i + 1)).join();
  await ask(url, 'PUT', `${collectionPath(collection)}/points?wait=true`, `{"points":[${points}]}`);
}

beforeAll(async () => {
  place = await openCliPlace('served-names');
  const { store, cwd, server } = place;
  for (const [collection, alias, full, compact] of CASES) {
    await fill(collection);
    for (const layout of ['two-stage', 'compact'] as const)
      await migrateCollection({
        source: store,
        target: store,
        sourceCollection: collection,
        vectorName: full,
        layout,
        ...(layout === 'two-stage' ? { compactName: compact } : {}),
        targetCollection: `${collection}-${layout}`,
        encoder: tinyEncoder(),
        statePath: join(cwd, `${CASES.findIndex(([name]) => name === collection)}-${layout}.json`),
      });
    await store.names.switch(alias, `${collection}-two-stage`);
  }
  const collections = objectText(
    CASES.flatMap(([collection]) => {
      const settings = { encoder: join(cwd, 'enc.onnx'), oversampling: POINTS };
      return [
        [collection, { ...settings, target: `${collection}-two-stage` }],
        [`${collection}-c`, { ...settings, target: `${collection}-compact` }],
      ] as const;
    }),
  );
  const at = JSON.stringify('127.0.0.1:0');
  await writeFile(
    join(cwd, 'serve.json'),
    `{"url":"${server.url}","grpcUrl":"${server.grpcUrl}","listenRest":${at},"listenGrpc":${at},"listenOperations":${at},"collections":${collections}}`,
  );
  serving = await startServe(cwd, []);
  grpc = new PlainGrpc(serving.grpc.startsWith('http') ? serving.grpc : `http://${serving.grpc}`);
  plain = new PlainGrpc(server.grpcUrl);
});

afterAll(async () => {
  endServing();
  // What is not there never started.
  for (const connection of [grpc, plain] as (PlainGrpc | undefined)[]) connection?.close();
  await place.end();
});

/** The same request to the original under its own name, and to what is served under any of its names. */
async function both(
  [collection, served]: readonly [string, string],
  method: string,
  below: string,
  body: string | null,
): Promise<void> {
  const direct = await answerTo(place.server.url, method, collectionPath(collection) + below, body);
  const through = await answerTo(serving.rest, method, collectionPath(served) + below, body);
  const shown = through.text.replaceAll(JSON.stringify(served).slice(1, -1), () =>
    JSON.stringify(collection).slice(1, -1),
  );
  expect([below, body, through.status, sorted(shown)]).toEqual([
    below,
    body,
    direct.status,
    sorted(direct.text),
  ]);
}

async function bothGrpc(collection: string, served: string, method: string, fields: string): Promise<void> {
  const result = async (from: PlainGrpc, name: string): Promise<unknown> => {
    const request = JSON.parse(`{"collectionName":${JSON.stringify(name)},${fields}}`) as object;
    const { code, text, message } = await from.call({
      path: pathOf(method),
      message: encodeRequest(method, request as Parameters<typeof encodeRequest>[1]),
    });
    if (code !== 0) return [code, text.replaceAll(name, () => collection)];
    const shown = JSON.stringify(decodeAnswer(method, message))
      .replace(/,"(time|version)":[^,}]*/g, '')
      .replace(/"operationId":"\d+"/g, '"operationId":"0"');
    return sorted(shown);
  };
  expect([method, fields, await result(grpc, served)]).toEqual([
    method,
    fields,
    await result(plain, collection),
  ]);
}

const all = '"limit":100,"with_payload":true,"with_vector":true';

describe.each(CASES)('%s, also called %s, with %j reduced', (collection, alias, full, compact) => {
  const name = (text: string): string => JSON.stringify(text);

  test('writes and searches over REST leave and find what they do in the original', async () => {
    const pair = [collection, alias] as const;
    const put = (points: string): Promise<void> => both(pair, 'PUT', '/points?wait=true', points);
    await put(`{"points":[${pointText(100)},[101,${vectorsText(101)},${payloadText(101)}]]}`);
    await put(
      `{"batch":[[102,103],${objectText(dense(7).map(([key, v]) => [key, [v, v.map((value, i) => value + i)]]))},null]}`,
    );
    await put(`{"batch":{"ids":[104],"vectors":${objectText([[full, [vector(9)]]])}}}`);
    const moved = (i: number): string => objectText([[full, vector(70 + i)]]);
    await both(
      pair,
      'PUT',
      '/points/vectors?wait=true',
      `{"points":[[3,${moved(3)}],{"id":4,"vector":${moved(4)}}]}`,
    );
    await both(pair, 'PUT', '/points/vectors?wait=true', `[[[5,${moved(5)}]],null]`);
    await both(pair, 'POST', '/points/vectors/delete?wait=true', `{"points":[6],"vector":[${name(full)}]}`);
    await both(
      pair,
      'POST',
      '/points/vectors/delete?wait=true',
      `{"points":[8],"vector":[${name(compact)}]}`,
    );
    const operations = [
      `{"upsert":{"points":[[105,${vectorsText(105)},${payloadText(105)}]]}}`,
      `{"update_vectors":{"points":[[9,${moved(9)}]]}}`,
      `{"delete_vectors":{"points":[10],"vector":[${name(full)},${name(SPARSE)}]}}`,
      `{"set_payload":{"payload":${payloadText(1)},"points":[11]}}`,
    ];
    await both(pair, 'POST', '/points/batch?wait=true', `{"operations":[${operations.join()}]}`);
    await both(pair, 'POST', '/points/scroll', `{${all}}`);
    await both(pair, 'GET', '/points/101', null);
    for (const [using, query] of [
      ...dense(2.7),
      [MULTI, multi(2.7)] as const,
      [SPARSE, sparse(7)] as const,
      [compact, vector(1)] as const,
    ])
      await both(
        pair,
        'POST',
        '/points/query',
        `{"query":${JSON.stringify(query)},"using":${name(using)},"limit":9,"with_vector":true}`,
      );
    // Point 6 has no such vector: the error names it.
    await both(pair, 'POST', '/points/query', `{"query":6,"using":${name(full)}}`);
    await both(pair, 'POST', '/points/query', `{"query":[1],"using":${name(full)}}`);
    for (const vector of [full, compact])
      await both(pair, 'POST', '/points/count', `{"filter":{"must":[{"has_vector":${name(vector)}}]}}`);
    await both(pair, 'POST', '/points/recommend', '{"positive":[1]}');
    await both(pair, 'GET', '/exists', null);
  });

  test('so do those over gRPC', async () => {
    const same = (method: string, fields: string): Promise<void> =>
      bothGrpc(collection, collection, method, fields);
    const named = (i: number): string =>
      objectText([
        ...dense(i).map(([key, data]) => [key, { dense: { data } }] as const),
        [MULTI, { multiDense: { vectors: multi(i).map((data) => ({ data })) } }],
        [SPARSE, { sparse: sparse(i) }],
      ]);
    const vectors = (text: string): string => `"vectors":{"vectors":{"vectors":${text}}}`;
    const id = (num: number): string => `"id":{"num":"${num}"}`;
    const only = (i: number): string => vectors(objectText([[full, { dense: { data: vector(30 + i) } }]]));
    await same('Points/Upsert', `"wait":true,"points":[{${id(200)},${vectors(named(200))}}]`);
    await same('Points/UpdateVectors', `"wait":true,"points":[{${id(12)},${only(12)}}]`);
    const select = `"pointsSelector":{"points":{"ids":[{"num":"13"}]}}`;
    for (const vector of [full, compact])
      await same('Points/DeleteVectors', `"wait":true,${select},"vectors":{"names":[${name(vector)}]}`);
    await same(
      'Points/UpdateBatch',
      `"wait":true,"operations":[{"upsert":{"points":[{${id(201)},${vectors(named(201))}}]}},` +
        `{"updateVectors":{"points":[{${id(14)},${only(14)}}]}},` +
        `{"deleteVectors":{"pointsSelector":{"points":{"ids":[{"num":"15"}]}},"vectors":{"names":[${name(full)}]}}}]`,
    );
    await same('Points/Scroll', '"limit":200,"withPayload":{"enable":true},"withVectors":{"enable":true}');
    await same('Points/Get', `"ids":[{"num":"200"}],"withVectors":{"include":{"names":[${name(full)}]}}`);
    for (const [using, query] of [
      ...dense(4.1).map(([key, data]) => [key, { dense: { data } }] as const),
      [MULTI, { multiDense: { vectors: multi(4.1).map((data) => ({ data })) } }] as const,
      [SPARSE, { sparse: sparse(9) }] as const,
      [compact, { dense: { data: vector(1) } }] as const,
      [full, { id: { num: '13' } }] as const,
    ])
      await same(
        'Points/Query',
        `"query":{"nearest":${JSON.stringify(query)}},"using":${name(using)},"limit":"8"`,
      );
    await same(
      'Points/Search',
      `"vector":${JSON.stringify(vector(6))},"vectorName":${name(full)},"limit":"5"`,
    );
    for (const vector of [full, compact])
      await same(
        'Points/Count',
        `"exact":true,"filter":{"must":[{"hasVector":{"hasVector":${name(vector)}}}]}`,
      );
  });

  test('settings are told as those of the original', async () => {
    const configOf = (text: string): unknown => {
      const { result } = JSON.parse(text) as { result: { config: { params: unknown } } };
      return sorted(JSON.stringify(result.config.params));
    };
    const direct = await ask(place.server.url, 'GET', collectionPath(collection), null);
    for (const served of [collection, alias]) {
      const through = await ask(serving.rest, 'GET', collectionPath(served), null);
      expect(configOf(through)).toEqual(configOf(direct));
    }
  });

  test('the compact layout stores a projected vector under such a name', async () => {
    const served = `${collection}-c`;
    const point = `[300,${vectorsText(300)},${payloadText(300)}]`;
    await ask(serving.rest, 'PUT', `${collectionPath(served)}/points?wait=true`, `{"points":[${point}]}`);
    const stored = await ask(
      ...([place.server.url, 'POST', `${collectionPath(`${collection}-compact`)}/points`] as const),
      `{"ids":[300],"with_vector":true}`,
    );
    const [found] = (JSON.parse(stored) as { result: { vector: Record<string, number[]> }[] }).result;
    expect(Object.keys(found?.vector ?? {}).sort()).toEqual([...DENSE, MULTI, SPARSE].sort());
    expect(found?.vector[full]).toHaveLength(COMPACT_DIM);
  });

  test('the wrapped client finds what the original has', async () => {
    const client = new QdrantClient({ url: place.server.url, checkCompatibility: false });
    const collections = Object.fromEntries([
      [alias, { target: `${collection}-two-stage`, encoder: tinyEncoder(), oversampling: POINTS }],
    ]);
    const wrapped = await withProjection(client, { collections });
    const search = { using: full, query: vector(8.2), limit: 5, with_payload: true, with_vector: [full, ''] };
    const [{ points: direct }, { points: through }] = [
      await client.query(collection, search),
      await wrapped.query(alias, search),
    ];
    const shown = (points: typeof direct): unknown =>
      points.map(({ id, score, payload, vector: vectors }) => ({ id, score, payload, vectors }));
    expect(shown(through)).toEqual(shown(direct));
    await expect(wrapped.query(alias, { ...search, using: compact })).rejects.toMatchObject({ status: 400 });
  });
});
