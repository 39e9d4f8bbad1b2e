import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import type { JsonValue } from '@bufbuild/protobuf';
import { rm } from 'node:fs/promises';
import { decodeAnswer, encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { PlainGrpc } from '../../../support/server/grpc-call.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();

/** A collection of the same points that is not migrated: what a plain server makes of the same writes. */
const PLAIN = 'plain';
const SOURCE = 'unwaited';
const POINTS = 12;
const vectorOf = (id: number): number[] => Array.from({ length: DIM }, (_, i) => Math.sin(id * 7 + i));

/** Batches of which some operation fails once it is made; those before and after it count. */
const BATCHES: readonly (readonly [string, readonly JsonValue[], readonly JsonValue[]])[] = [
  [
    'set payload of a point that is not there, between others',
    [
      { overwrite_payload: { points: [3], payload: { first: 1 } } },
      { set_payload: { points: [901], payload: { a: 1 } } },
      { delete: { points: [1] } },
      { set_payload: { points: [2], payload: { a: 1 } } },
    ],
    [
      { overwritePayload: { pointsSelector: ids(3), payload: { first: { integerValue: '1' } } } },
      { setPayload: { pointsSelector: ids(901), payload: { a: { integerValue: '1' } } } },
      { deletePoints: { points: ids(1) } },
      { setPayload: { pointsSelector: ids(2), payload: { a: { integerValue: '1' } } } },
    ],
  ],
  [
    'vectors of a point that is not there, before writes by filter',
    [
      { update_vectors: { points: [{ id: 902, vector: vectorOf(1) }] } },
      { set_payload: { filter: equals('group', 1), payload: { group: 5 } } },
      { delete: { filter: equals('group', 5) } },
    ],
    [
      { updateVectors: { points: [{ id: { num: '902' }, vectors: dense(vectorOf(1)) }] } },
      { setPayload: { pointsSelector: filter('group', 1), payload: { group: { integerValue: '5' } } } },
      { deletePoints: { points: filter('group', 5) } },
    ],
  ],
  [
    'a vector of a wrong size, after an upsert',
    [
      { upsert: { points: [{ id: 20, vector: vectorOf(20), payload: { group: 2 } }] } },
      { upsert: { points: [{ id: 21, vector: [1, 2] }] } },
      { clear_payload: { points: [4] } },
    ],
    [
      {
        upsert: {
          points: [
            { id: { num: '20' }, vectors: dense(vectorOf(20)), payload: { group: { integerValue: '2' } } },
          ],
        },
      },
      { upsert: { points: [{ id: { num: '21' }, vectors: dense([1, 2]) }] } },
      { clearPayload: { points: ids(4) } },
    ],
  ],
  [
    'nothing that fails',
    [{ delete_vectors: { points: [5], vector: [''] } }, { delete_payload: { points: [6], keys: ['group'] } }],
    [
      { deleteVectors: { pointsSelector: ids(5), vectors: { names: [''] } } },
      { deletePayload: { pointsSelector: ids(6), keys: ['group'] } },
    ],
  ],
];
const QUERIES = ['', '?wait=false', '?wait=true', '?wait=false&ordering=strong', '?ordering=medium'];
/** The server takes none of these. */
const REFUSED = ['?wait=maybe', '?wait=false&wait=false', '?wait=false&ordering=unknown', '?wait='];
const WAITS: readonly Readonly<Record<string, JsonValue>>[] = [
  {},
  { wait: false },
  { wait: true },
  { wait: false, ordering: { type: 'Strong' } },
];

function ids(...all: readonly number[]): JsonValue {
  return { points: { ids: all.map((id) => ({ num: String(id) })) } };
}

function equals(key: string, value: number): JsonValue {
  return { must: [{ key, match: { value } }] };
}

function filter(key: string, value: number): JsonValue {
  return { filter: { must: [{ field: { key, match: { integer: String(value) } } }] } };
}

function dense(data: readonly number[]): JsonValue {
  return { vector: { dense: { data: [...data] } } };
}

type Ask = (method: string, path: string, body: string) => Promise<readonly [number, string]>;

/** Answers without what is another's of its own: numbers of operations, times and names. */
function askAt(url: () => string): Ask {
  return async (method, path, body) => {
    const response = await fetchOnce(url() + path, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(method !== 'GET' && { body }),
    });
    const text = await response.text();
    return [response.status, text.replace(/"(operation_id|time)":[\d.e-]+/g, '')];
  };
}

describe('a write whose client does not wait for it', () => {
  let scenario: Scenario;
  let [direct, proxied]: [PlainGrpc | undefined, PlainGrpc | undefined] = [undefined, undefined];
  const atServer = askAt(() => place().url);
  const atProxy = askAt(() => scenario.rest);

  beforeAll(async () => {
    const params = { vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 };
    await place().store.create({
      name: PLAIN,
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({ params }),
    });
    scenario = await Scenario.make(place(), SOURCE, { faults: false, points: 0 });
    direct = new PlainGrpc(place().grpcUrl);
  });

  // The place ends what runs after each test.
  beforeEach(async () => {
    await scenario.serve();
    proxied = new PlainGrpc(scenario.grpc);
  });

  afterEach(async () => {
    proxied?.close();
    await scenario.end();
  });

  afterAll(async () => {
    direct?.close();
    await rm(scenario.folder, { recursive: true });
  });

  const pointsOf = async (name: string): Promise<string> => {
    await place().store.changes.waitForApplied(name);
    const body = JSON.stringify({ limit: 100, with_payload: true, with_vector: true });
    return (await atServer('POST', `/collections/${name}/points/scroll`, body))[1];
  };

  /** The same points in both, as often as a case changed some. */
  const refill = async (): Promise<void> => {
    const points = Array.from({ length: POINTS }, (_, i) => i + 1).map((id) => ({
      id,
      vector: vectorOf(id),
      payload: { group: id % 3 },
    }));
    for (const [ask, name] of [[atServer, PLAIN] as const, [atProxy, SOURCE] as const]) {
      const at = `/collections/${name}/points`;
      const emptied = await ask('POST', `${at}/delete?wait=true`, '{"filter":{}}');
      const filled = await ask('PUT', `${at}?wait=true`, JSON.stringify({ points }));
      expect([emptied[0], filled[0]]).toEqual([200, 200]);
    }
  };

  const compareAll = async (queries: readonly string[]): Promise<void> => {
    for (const [title, operations, messages] of BATCHES) {
      for (const query of queries) {
        await refill();
        const path = (name: string): string => `/collections/${name}/points/batch${query}`;
        const body = JSON.stringify({ operations });
        const plain = await atServer('POST', path(PLAIN), body);
        expect([title, query, ...(await atProxy('POST', path(SOURCE), body))]).toEqual([
          title,
          query,
          ...plain,
        ]);
        expect([title, query, await pointsOf(SOURCE)]).toEqual([title, query, await pointsOf(PLAIN)]);
      }
      for (const wait of WAITS) {
        await refill();
        const call = async (grpc: PlainGrpc | undefined, collectionName: string): Promise<unknown> => {
          const message = encodeRequest('Points/UpdateBatch', {
            collectionName,
            operations: [...messages],
            ...wait,
          });
          const result = await grpc?.call({ path: pathOf('Points/UpdateBatch'), message });
          const answer = decodeAnswer('Points/UpdateBatch', result?.message ?? Buffer.alloc(0));
          const said = JSON.stringify(answer).replace(/"(operationId|time)":"?[\d.e-]+"?/g, '');
          return [result?.code, result?.text, said];
        };
        expect([title, wait, await call(proxied, SOURCE)]).toEqual([title, wait, await call(direct, PLAIN)]);
        expect([title, wait, await pointsOf(SOURCE)]).toEqual([title, wait, await pointsOf(PLAIN)]);
      }
    }
  };

  /** Nothing is open, and both sides of the migration are equal. */
  const settled = async (): Promise<void> => {
    await scenario.reported(({ open }) => open === 0);
    expect(await scenario.differences()).toEqual([]);
  };

  test('is answered and applied as by the server before the copy', () =>
    compareAll([...QUERIES, ...REFUSED]));

  test('is answered and applied as by the server after the copy, and reaches the target', async () => {
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
    await compareAll(QUERIES);
    await settled();
  });

  test('is answered and applied as by the server after the cut-over, and reaches the target', async () => {
    await scenario.want({ state: 'copied', side: 'target' }, ({ side }) => side === 'target');
    await compareAll(QUERIES);
    await settled();
  });

  test('is read where a later write was waited for, whichever side answers', async () => {
    const at = `/collections/${SOURCE}/points`;
    for (let round = 0; round < 20; round++) {
      const point = (id: number): string =>
        JSON.stringify({ points: [{ id, vector: vectorOf(round), payload: { round } }] });
      const [first] = await atProxy('PUT', at, point(50));
      const [second] = await atProxy('PUT', `${at}?wait=true`, point(51));
      expect([first, second]).toEqual([200, 200]);
      const [, text] = await atProxy('POST', at, '{"ids":[50],"with_payload":true}');
      expect(text).toContain(`"round":${round}}`);
    }
  });

  test('is a creation of an index, on both sides', async () => {
    const body = '{"field_name":"group","field_schema":"integer"}';
    const plain = await atServer('PUT', `/collections/${PLAIN}/index`, body);
    expect(await atProxy('PUT', `/collections/${SOURCE}/index`, body)).toEqual(plain);
    for (const name of [SOURCE, scenario.target]) {
      await place().store.changes.waitForApplied(name);
      expect((await atServer('GET', `/collections/${name}`, ''))[1]).toContain('"payload_schema":{"group":');
    }
  });
});

describe('writes that were answered before they were applied', () => {
  test('are on both sides after kill -9 of the proxy', async () => {
    const scenario = await Scenario.make(place(), 'killed', { faults: false });
    await scenario.serve();
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
    let id = 70_000;
    for (const side of ['source', 'target'] as const) {
      await scenario.want({ state: 'copied', side }, (report) => report.side === side);
      const ask = askAt(() => scenario.rest);
      const write = (ordering: string): Promise<readonly [number, string]> => {
        const points = Array.from({ length: 40 }, () => ({ id: ++id, vector: vectorOf(id) }));
        const operations = [
          { set_payload: { points: [999_999], payload: { a: 1 } } },
          { upsert: { points } },
          { delete: { points: [points[0]?.id] } },
        ];
        return ask(
          'POST',
          `/collections/killed/points/batch?wait=false${ordering}`,
          JSON.stringify({ operations }),
        );
      };
      const orderings = Array.from(
        { length: 30 },
        (_, i) => ['', '&ordering=medium', '&ordering=strong'][i % 3]!,
      );
      const answers = await Promise.all(orderings.map(write));
      expect(answers.map(([status]) => status)).toEqual(orderings.map(() => 200));
      await scenario.killAndServe();
      await scenario.reported(({ open, caughtUp }) => caughtUp && open === 0);
      expect(await scenario.differences()).toEqual([]);
      const body = JSON.stringify({ exact: true, filter: { must: [{ has_id: range(70_001, id) }] } });
      const count = await askAt(() => place().url)('POST', `/collections/killed_2s/points/count`, body);
      expect(count[1]).toContain(`"count":${((id - 70_000) / 40) * 39}`);
    }
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
