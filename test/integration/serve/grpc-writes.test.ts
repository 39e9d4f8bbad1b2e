import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { matrixFromRows, row } from '../../../src/core/matrix.js';
import {
  startServed,
  type Answer,
  type Ask,
  type ServedTest,
  type Source,
} from '../../support/serve/serve-grpc-fixture.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

let served: ServedTest;
let twoStage: Ask;
let compact: Ask;

beforeAll(async () => {
  served = await startServed();
  twoStage = served.through([served.served('plain', 'two-stage'), served.served('named', 'two-stage')]);
  const vectorAnswers = 'compact';
  compact = served.through([
    served.served('plain', 'compact', { vectorAnswers }),
    served.served('named', 'compact', { vectorAnswers }),
  ]);
});

afterAll(async () => {
  await served.stop();
});

const vector = (i: number): number[] => [...row(served.queries, i)];

interface Point {
  readonly id: { readonly num: string };
  readonly payload?: unknown;
  readonly vectors?: {
    readonly vector?: { readonly data: number[] };
    readonly vectors?: { readonly vectors?: Readonly<Record<string, { readonly data: number[] }>> };
  };
}

/** Every point with every vector, by name. */
async function contentOf(ask: Ask, collectionName: string): Promise<Map<string, Record<string, number[]>>> {
  const answer = (await ask('Points/Scroll', {
    collectionName,
    limit: 10_000,
    withVectors: { enable: true },
  })) as unknown as { result: Point[] };
  return new Map(
    answer.result.map(({ id, vectors }) => {
      const named =
        vectors?.vector === undefined ? (vectors?.vectors?.vectors ?? {}) : { '': vectors.vector };
      return [id.num, Object.fromEntries(Object.entries(named).map(([name, { data }]) => [name, data]))];
    }),
  );
}

function projected(data: readonly number[]): number[] {
  return [...served.projector.project(matrixFromRows([data])).data];
}

function expectClose(actual: readonly number[] | undefined, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  const norm = Math.hypot(...expected) || 1;
  // Cosine vectors are stored at unit length, within a rounding of it.
  expected.forEach((value, i) => expect(actual?.[i]).toBeCloseTo(value / norm, 5));
}

/** Writes of every form, the same for the original and for what is served. */
function writes(source: Source): [string, JsonObject][] {
  const plain = source === 'plain';
  const name = plain ? '' : 'text';
  const set = (vectors: Record<string, JsonObject>): JsonObject => ({ vectors: { vectors } });
  const one = (value: JsonObject): JsonObject => (plain ? { vector: value } : set({ [name]: value }));
  const ids = (...nums: number[]): JsonObject => ({
    points: { ids: nums.map((num) => ({ num: String(num) })) },
  });
  const points = [
    {
      id: { num: '1001' },
      vectors: one({ data: vector(1) }),
      payload: { n: { integerValue: '9007199254740993' } },
    },
    { id: { num: '1002' }, vectors: one({ dense: { data: vector(2) } }) },
    { id: { num: '1003' }, vectors: set({ [name]: { data: vector(3) } }) },
    { id: { num: '1004' }, vectors: set({}) },
    { id: { num: '1' }, vectors: set({ [name]: { dense: { data: vector(4) } } }) },
  ];
  if (!plain)
    points.push({
      id: { num: '1005' },
      vectors: set({ small: { data: [1, 2, 3, 4] }, words: { data: [1], indices: { data: [3] } } }),
    });
  const collectionName = source;
  const wait = true;
  return [
    ['Points/Upsert', { collectionName, wait, points }],
    [
      'Points/UpdateVectors',
      {
        collectionName,
        wait,
        points: [
          { id: { num: '2' }, vectors: one({ data: vector(5) }) },
          { id: { num: '20' }, vectors: set({ [name]: { data: vector(6) } }) },
        ],
      },
    ],
    ['Points/DeleteVectors', { collectionName, wait, vectors: { names: [name] }, pointsSelector: ids(3, 4) }],
    [
      'Points/UpdateBatch',
      {
        collectionName,
        wait,
        operations: [
          { upsert: { points: [{ id: { num: '1010' }, vectors: one({ data: vector(10) }) }] } },
          {
            updateVectors: { points: [{ id: { num: '5' }, vectors: one({ dense: { data: vector(11) } }) }] },
          },
          { deleteVectors: { pointsSelector: ids(6), vectors: { names: [name] } } },
          { setPayload: { payload: { x: { doubleValue: 1 } }, pointsSelector: ids(7) } },
          { deletePoints: { points: ids(8) } },
        ],
      },
    ],
    [
      'Points/SetPayload',
      { collectionName, wait, payload: { y: { boolValue: true } }, pointsSelector: ids(9) },
    ],
    ['Points/Delete', { collectionName, wait, points: ids(10, 11) }],
  ];
}

describe.each(['plain', 'named'] as const)('%s', (source) => {
  const name = source === 'plain' ? '' : 'text';

  test('writes leave the same points as in the original, and compact vectors that belong to them', async () => {
    for (const [method, json] of writes(source)) {
      const expected = await served.direct(method, json);
      expect(expected).not.toHaveProperty('code');
      expect(await twoStage(method, json)).toEqual(expected);
      expect(await compact(method, json)).toEqual(expected);
    }
    const original = await contentOf(served.direct, source);
    expect(original.get('1001')).toHaveProperty([name]);
    expect(original.get('3')).not.toHaveProperty([name]);
    expect(await contentOf(twoStage, source)).toEqual(original);
    const full = await contentOf(served.direct, `${source}-two-stage`);
    const reduced = await contentOf(served.direct, `${source}-compact`);
    expect([full.size, reduced.size]).toEqual([original.size, original.size]);
    for (const [id, { [name]: vectorOf, ...others }] of original) {
      const { [name]: kept, compact: hidden, ...fullOthers } = full.get(id) ?? {};
      const { [name]: small, ...reducedOthers } = reduced.get(id) ?? {};
      expect([kept, fullOthers, reducedOthers]).toEqual([vectorOf, others, others]);
      if (vectorOf === undefined) expect([hidden, small]).toEqual([undefined, undefined]);
      else {
        expectClose(hidden, projected(vectorOf));
        expectClose(small, projected(vectorOf));
      }
    }
  });

  test.each([
    ['Points/Get', { ids: [{ num: '1' }, { num: '20' }, { num: '1004' }] }],
    ['Points/Scroll', { limit: 7, filter: { must: [{ hasVector: { hasVector: name } }] } }],
    ['Points/Query', { query: { nearest: { id: { num: '1' } } }, limit: '3', using: name }],
  ])('%s returns vectors in the shape of the original', async (method, request) => {
    const selectors: (JsonObject | null)[] = [
      null,
      { enable: true },
      { include: { names: [name] } },
      { include: {} },
    ];
    if (source === 'named') selectors.push({ include: { names: ['small', 'words'] } });
    for (const withVectors of selectors) {
      const json = { collectionName: source, ...request, ...(withVectors === null ? {} : { withVectors }) };
      expect(await twoStage(method, json)).toEqual(await served.direct(method, json));
    }
  });

  test('counts, facets and matrices are those of the original', async () => {
    for (const [method, json] of [
      ['Points/Count', { exact: true, filter: { must: [{ hasVector: { hasVector: name } }] } }],
      ['Points/Facet', { key: 'shelf', exact: true }],
      [
        'Points/SearchMatrixPairs',
        {
          sample: '300',
          limit: '2',
          using: name,
          filter: { must: [{ hasId: { hasId: [{ num: '30' }, { num: '31' }, { num: '32' }] } }] },
        },
      ],
    ] as [string, JsonObject][]) {
      const request = { collectionName: source, ...json };
      const order = (answer: Answer): unknown =>
        JSON.parse(JSON.stringify(answer), (key, value: unknown) =>
          key === 'pairs' ? (value as object[]).map((pair) => JSON.stringify(pair)).sort() : value,
        );
      expect(order(await twoStage(method, request))).toEqual(order(await served.direct(method, request)));
    }
  });

  test('full vectors that are not stored are refused, not given in another size', async () => {
    const strict = served.through([served.served(source, 'compact')]);
    const request = { collectionName: source, ids: [{ num: '1' }] };
    expect(await strict('Points/Get', { ...request, withVectors: { enable: true } })).toMatchObject({
      code: 3,
      text: expect.stringContaining('are not stored'),
    });
    expect(await strict('Points/Get', request)).toEqual(await served.direct('Points/Get', request));
  });
});

describe('collections', () => {
  interface Info {
    readonly result: {
      readonly config: { readonly params: JsonObject; readonly metadata?: JsonObject };
      readonly indexedVectorsCount?: string;
    };
  }

  test.each(['plain', 'named'] as const)('%s looks as it did before, its metadata aside', async (source) => {
    const request = { collectionName: source };
    const original = ((await served.direct('Collections/Get', request)) as unknown as Info).result;
    const { metadata: none, ...expected } = original.config;
    expect(none).toBeUndefined();
    for (const ask of [twoStage, compact]) {
      const shown = ((await ask('Collections/Get', request)) as unknown as Info).result;
      const { metadata, ...config } = shown.config;
      expect(config).toEqual(expected);
      expect(metadata).toHaveProperty('tldr');
      expect(shown.indexedVectorsCount).toBe(original.indexedVectorsCount);
    }
  });

  test('settings of the reduced vector reach its compact form, and are shown where they were made', async () => {
    const change: JsonObject = {
      collectionName: 'plain',
      vectorsConfig: { params: { hnswConfig: { m: '20' }, onDisk: true } },
    };
    expect(await twoStage('Collections/Update', change)).toEqual({ result: true });
    expect(await served.direct('Collections/Update', change)).toEqual({ result: true });
    const info = async (ask: Ask, collectionName: string): Promise<JsonObject> =>
      ((await ask('Collections/Get', { collectionName })) as unknown as Info).result.config.params;
    expect(await info(twoStage, 'plain')).toEqual(await info(served.direct, 'plain'));
    const { vectorsConfig } = await info(served.direct, 'plain-two-stage');
    expect(vectorsConfig).toMatchObject({
      paramsMap: {
        map: { compact: { hnswConfig: { m: '20' }, onDisk: true }, '': { hnswConfig: { m: '0' } } },
      },
    });
  });

  test('targets are shown by their clients’ names, and answer to no other', async () => {
    const { collections } = (await twoStage('Collections/List', {})) as { collections: { name: string }[] };
    expect(collections.map(({ name }) => name).sort()).toEqual([
      'named',
      'named-compact',
      'other',
      'plain',
      'plain-compact',
    ]);
    const hidden = { collectionName: 'plain-two-stage' };
    const missing = await served.direct('Collections/Get', { collectionName: 'nothing' });
    expect(
      JSON.parse(
        JSON.stringify(await twoStage('Collections/Get', hidden)).replace(hidden.collectionName, 'nothing'),
      ),
    ).toEqual(missing);
    expect(await twoStage('Collections/CollectionExists', hidden)).toEqual({ result: {} });
    expect(await twoStage('Collections/CollectionExists', { collectionName: 'plain' })).toEqual({
      result: { exists: true },
    });
    expect(await twoStage('Points/Count', hidden)).toMatchObject({ code: 5 });
  });

  test('aliases of a target are those of its client’s name', async () => {
    await served.direct('Collections/UpdateAliases', {
      actions: [
        { createAlias: { collectionName: 'plain-two-stage', aliasName: 'first' } },
        { createAlias: { collectionName: 'plain-two-stage', aliasName: 'second' } },
      ],
    });
    const ask = served.through([served.served('plain', 'two-stage', { names: ['first', 'second'] })]);
    const aliases = [{ aliasName: 'second', collectionName: 'first' }];
    expect(await ask('Collections/ListAliases', {})).toEqual({ aliases });
    expect(await ask('Collections/ListCollectionAliases', { collectionName: 'first' })).toEqual({ aliases });
    const query = { query: { nearest: { dense: { data: vector(0) } } } };
    expect(await ask('Points/Query', { collectionName: 'second', ...query })).toEqual(
      await twoStage('Points/Query', { collectionName: 'plain', ...query }),
    );
    const change = { actions: [{ deleteAlias: { aliasName: 'second' } }] };
    expect(await ask('Collections/UpdateAliases', change)).toMatchObject({ code: 3 });
  });

  test('a collection whose encoder differs is looked up by its full vectors', async () => {
    const strange = { ...served.projector, fingerprint: 'another' };
    const ask = served.through([
      served.served('plain', 'two-stage', { projector: strange }),
      served.served('named', 'two-stage'),
    ]);
    const json = {
      collectionName: 'named',
      using: 'text',
      query: { nearest: { id: { num: '7' } } },
      lookupFrom: { collectionName: 'plain', vectorName: '' },
    };
    const expected = await served.direct('Points/Query', json);
    expect(expected).not.toHaveProperty('code');
    expect(await ask('Points/Query', json)).toEqual(expected);
    const other = { ...json, collectionName: 'other', using: '' };
    expect(await ask('Points/Query', other)).toEqual(await served.direct('Points/Query', other));
    const reduced = served.through([served.served('plain', 'compact'), served.served('named', 'two-stage')]);
    for (const request of [json, other])
      expect(await reduced('Points/Query', request)).toMatchObject({
        code: 3,
        text: expect.stringContaining('not stored'),
      });
  });

  test('a deleted collection is gone', async () => {
    // What it was made from would come to light, and be deleted next.
    expect(await twoStage('Collections/Delete', { collectionName: 'named' })).toMatchObject({
      code: 3,
      text: expect.stringContaining('`named` stands under its name') as unknown,
    });
    expect(await served.direct('Points/Count', { collectionName: 'named-two-stage' })).not.toHaveProperty(
      'code',
    );
    await served.direct('Collections/Delete', { collectionName: 'named' });
    expect(await twoStage('Collections/Delete', { collectionName: 'named' })).toEqual({ result: true });
    expect(
      await served.direct('Collections/CollectionExists', { collectionName: 'named-two-stage' }),
    ).toEqual({ result: {} });
    expect(await twoStage('Points/Count', { collectionName: 'named' })).toEqual({
      code: 5,
      text: "Not found: Collection `named` doesn't exist!",
    });
  });
});
