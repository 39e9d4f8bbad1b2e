import { describe, expect } from '@jest/globals';
import type { JsonValue } from '@bufbuild/protobuf';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM, tinyEncoder } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { PlainGrpc } from '../../../support/server/grpc-call.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();

const INVALID = 3;
const GOOD = Array.from({ length: DIM }, (_, i) => i + 1);
const first = (value: string): string => [value, ...GOOD.slice(1)].join();
const all = (value: string): string => GOOD.map(() => value).join();
/** Written as a client writes them: JSON.stringify has no words for them. */
const NON_FINITE = [first('1e39'), first('-1e39'), all('3.5e38')];
const PROJECTS_TOO_FAR = all('3.4e38');

/** Every form in which a REST request writes a vector of one point, as method, path and body. */
function restForms(id: number, named: string): readonly (readonly [string, string, string])[] {
  const point = `{"id":${id},"vector":${named}}`;
  const columns = named.replace(/:\[([^\]]*)\]/, ':[[$1]]');
  const filler = `{"id":${id},"vector":{},"payload":{"text":"${'x'.repeat(200_000)}"}}`;
  return [
    ['PUT', '', `{"points":[${point}]}`],
    ['PUT', '', `{"points":[{"id":${id + 1},"vectors":{}},[${id},${named}]]}`],
    ['PUT', '', `{"points":[${filler},${point}]}`],
    ['PUT', '', `{"batch":{"ids":[${id}],"vectors":${columns}}}`],
    ['PUT', '/vectors', `{"points":[${point}]}`],
    ['PUT', '/vectors', `[[[${id},${named}]]]`],
    ['POST', '/batch', `{"operations":[{"upsert":{"points":[${point}]}}]}`],
    [
      'POST',
      '/batch',
      `{"operations":[{"delete":{"points":[${id}]}},{"update_vectors":{"points":[${point}]}}]}`,
    ],
  ];
}

function grpcForms(id: string, value: number, name: string): readonly (readonly [string, JsonValue])[] {
  const data = GOOD.map((one, i) => (i === 0 ? value : one));
  const flat = { vectors: { vectors: { [name]: { data } } } };
  const dense = { vectors: { vectors: { [name]: { dense: { data } } } } };
  const points = (vectors: JsonValue): JsonValue => [{ id: { num: id }, vectors }];
  return [
    ['Points/Upsert', { points: points(flat) }],
    ['Points/Upsert', { points: points(dense) }],
    ['Points/UpdateVectors', { points: points(dense) }],
    ['Points/UpdateBatch', { operations: [{ upsert: { points: points(flat) } }] }],
    ['Points/UpdateBatch', { operations: [{ updateVectors: { points: points(dense) } }] }],
  ];
}

/** Sends writes to a collection through the proxy. */
function clientOf({ rest, grpc, source }: Scenario): {
  send: (method: string, path: string, body: string) => Promise<readonly [number, string]>;
  call: (method: string, json: JsonValue) => Promise<number>;
  close: () => void;
} {
  const plain = new PlainGrpc(grpc);
  return {
    send: async (method, path, body) => {
      const response = await fetchOnce(`${rest}/collections/${source}/points${path}?wait=true`, {
        method,
        body,
        headers: { 'content-type': 'application/json' },
      });
      return [response.status, await response.text()];
    },
    call: async (method, json) => {
      const message = encodeRequest(method, { collectionName: source, wait: true, ...(json as object) });
      return (await plain.call({ path: pathOf(method), message })).code;
    },
    close: () => plain.close(),
  };
}

const journalOf = (scenario: Scenario): Promise<Buffer> => readFile(join(scenario.journal, 'writes.journal'));

describe('a write that the target could never hold', () => {
  test('is refused before it is journalled, in every form, before and after the cut-over', async () => {
    const dense = { size: DIM, distance: 'Dot' };
    const scenario = await Scenario.make(place(), 'unbearable', {
      faults: false,
      points: 0,
      vectors: {
        params: {
          vectors: {
            full: dense,
            other: { ...dense, size: 2 },
            many: { ...dense, size: 2, multivector_config: { comparator: 'max_sim' } },
          },
        },
        vectorName: 'full',
        encoder: tinyEncoder(1, 'dot'),
      },
    });
    await scenario.serve();
    const { send, call, close } = clientOf(scenario);
    const named = (values: string): string => `{"full":[${values}]}`;
    const point = (id: number, vector: string): string => `{"points":[{"id":${id},"vector":${vector}}]}`;
    expect(await send('PUT', '', point(1, named(first('1'))))).toEqual([200, expect.anything()]);
    const refuseAll = async (): Promise<void> => {
      const before = await journalOf(scenario);
      for (const values of [...NON_FINITE, PROJECTS_TOO_FAR])
        for (const [method, path, body] of restForms(1, named(values)))
          expect([path, body.slice(0, 300), ...(await send(method, path, body))]).toEqual([
            path,
            body.slice(0, 300),
            400,
            expect.stringContaining(values === PROJECTS_TOO_FAR ? 'projects to values' : 'not finite'),
          ]);
      for (const value of [Number.POSITIVE_INFINITY, Number.NaN, 3e38]) {
        const written = Number.isFinite(value) ? value : String(value);
        for (const [method, json] of grpcForms('1', written as number, 'full'))
          expect([method, value, await call(method, json)]).toEqual([method, value, INVALID]);
      }
      expect((await journalOf(scenario)).equals(before)).toBe(true);
      // What the target can hold is taken: as large as float32, in another vector, or of a wrong size for the source
      // to refuse in its own words.
      expect((await send('PUT', '', point(2, named(first('1e37')))))[0]).toBe(200);
      expect((await send('PUT', '', point(3, '{"other":[1e39,1],"many":[[1e39,1]]}')))[0]).toBe(200);
      expect(await send('PUT', '', point(4, named('1e39,1')))).toEqual([
        400,
        expect.stringContaining('Vector dimension error'),
      ]);
    };
    await refuseAll();
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ open, caughtUp }) => caughtUp && open === 0);
    await refuseAll();
    await scenario.want({ state: 'copied', side: 'target' }, ({ side }) => side === 'target');
    await refuseAll();
    await scenario.reported(({ open }) => open === 0);
    close();
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });

  test('is one that the source would store as infinity; what it stores as it can be held is taken', async () => {
    const params = {
      vectors: {
        full: { size: DIM, distance: 'Dot', datatype: 'float16' },
        bytes: { size: DIM, distance: 'Euclid', datatype: 'uint8' },
        angles: { size: DIM, distance: 'Cosine' },
      },
    };
    const scenario = await Scenario.make(place(), 'stored', {
      faults: false,
      points: 0,
      vectors: { params, vectorName: 'full', encoder: tinyEncoder(1, 'dot') },
    });
    await scenario.serve();
    const { send, call, close } = clientOf(scenario);
    const put = async (name: string, values: string): Promise<number> =>
      (await send('PUT', '', `{"points":[{"id":1,"vector":{"${name}":[${values}]}}]}`))[0];
    expect(await put('full', first('65520'))).toBe(400);
    expect(await put('full', first('-1e5'))).toBe(400);
    expect(await put('full', first('65519'))).toBe(200);
    for (const [method, json] of grpcForms('1', 70_000, 'full'))
      expect(await call(method, json)).toBe(INVALID);
    // Before there is a target, each vector of the encoder's size may be the one that is reduced.
    expect(await put('bytes', all('3e38'))).toBe(200);
    expect(await put('angles', all('3e38'))).toBe(200);
    expect(await put('angles', first('1e39'))).toBe(400);
    // The target stores float16 too, and says so once it exists.
    expect(await put('full', first('1'))).toBe(200);
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ open, caughtUp }) => caughtUp && open === 0);
    let status = 200;
    while (status === 200) status = await put('full', all('60000'));
    expect(status).toBe(400);
    expect(await put('angles', first('1e39'))).toBe(200);
    expect(await put('full', first('1'))).toBe(200);
    await scenario.reported(({ open }) => open === 0);
    close();
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });

  test('is a payload that its key nests too deep; as deep as can be carried it is taken', async () => {
    const scenario = await Scenario.make(place(), 'deep', { faults: false });
    await scenario.serve();
    const { send, call, close } = clientOf(scenario);
    const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    const set = (key: string, depth: number): string =>
      `{"payload":${nested(depth)},"points":[1],"key":${JSON.stringify(key)}}`;
    const keys = (count: number): string => Array.from({ length: count }, () => 'k').join('.');
    const grpc = (key: string, depth: number): JsonValue => ({
      payload: JSON.parse(`{"a":${valueText(depth - 1)}}`) as JsonValue,
      key,
      pointsSelector: { points: { ids: [{ num: '1' }] } },
    });
    const batch = (operation: string): string =>
      `{"operations":[{"clear_payload":{"points":[2]}},${operation}]}`;
    const refuseAll = async (): Promise<void> => {
      const before = await journalOf(scenario);
      for (const [key, depth] of [
        ['k', 126],
        ['k.l', 125],
        ['k[0].l', 124],
        ['k[].l', 124],
        ['"k.l".m', 125],
        [keys(120), 7],
        [keys(500), 1],
      ] as const) {
        const refused = [key, 400, expect.stringContaining('at most 126')];
        expect([key, ...(await send('POST', '/payload', set(key, depth)))]).toEqual(refused);
        if (depth < 124)
          expect([
            key,
            ...(await send('POST', '/batch', batch(`{"set_payload":${set(key, depth)}}`))),
          ]).toEqual(refused);
      }
      expect(await call('Points/SetPayload', grpc(keys(120), 7))).toBe(INVALID);
      expect(await call('Points/SetPayload', grpc(keys(100), 27))).toBe(INVALID);
      const operations = [{ setPayload: grpc(keys(120), 7) as { [key: string]: JsonValue } }];
      expect(await call('Points/UpdateBatch', { operations })).toBe(INVALID);
      expect((await journalOf(scenario)).equals(before)).toBe(true);
    };
    const takeAll = async (): Promise<void> => {
      expect((await send('PUT', '/payload', `{"payload":${nested(126)},"points":[1]}`))[0]).toBe(200);
      expect((await send('POST', '/payload', set('k', 125)))[0]).toBe(200);
      expect((await send('POST', '/payload', set('"k.l[0]"', 125)))[0]).toBe(200);
      expect((await send('POST', '/payload', set(keys(120), 6)))[0]).toBe(200);
      expect(await call('Points/SetPayload', grpc(keys(100), 26))).toBe(0);
      // The server ignores the key of a payload that overwrites another.
      expect((await send('PUT', '/payload', set('k', 126)))[0]).toBe(200);
      expect(await call('Points/OverwritePayload', grpc(keys(120), 7))).toBe(0);
    };
    await refuseAll();
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ open, caughtUp }) => caughtUp && open === 0);
    await refuseAll();
    await takeAll();
    await scenario.want({ state: 'copied', side: 'target' }, ({ side }) => side === 'target');
    await refuseAll();
    await takeAll();
    await scenario.reported(({ open }) => open === 0);
    expect(await scenario.differences()).toEqual([]);
    close();
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });
});

/** A Value of gRPC that nests so many objects. */
function valueText(depth: number): string {
  const open = '{"structValue":{"fields":{"a":'.repeat(depth);
  return `${open}{"integerValue":"1"}${'}}}'.repeat(depth)}`;
}
