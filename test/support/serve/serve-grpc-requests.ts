import type { JsonObject } from '@bufbuild/protobuf';
import { SOURCES, type Source } from './serve-grpc-fixture.js';

/** Query i of the set, at full size. */
export type Queries = (i: number) => number[];

export interface NamedRequest {
  readonly name: string;
  readonly method: string;
  /** Everything but the collection's name. */
  readonly request: (vector: Queries) => JsonObject;
  /** Many points share a score, and the server orders those as it happens. */
  readonly ties?: true;
}

const dense = (data: number[]): JsonObject => ({ dense: { data } });
const nearest = (data: number[]): JsonObject => ({ nearest: dense(data) });
const id = (num: number): JsonObject => ({ id: { num: String(num) } });
const shelf = (i: number): JsonObject => ({
  must: [{ field: { key: 'shelf', match: { keyword: `shelf-${i}` } } }],
});
const below = (lt: number): JsonObject => ({ must: [{ field: { key: 'n', range: { lt } } }] });

/** Fusions name no vector. */
function withUsing(using: JsonObject, request: JsonObject): JsonObject {
  const query = JSON.stringify(request['query'] ?? null);
  return /^\{"(fusion|rrf)"/.test(query) ? request : { ...using, ...request };
}

/** Every way of searching, aimed at the reduced vector of a source. */
export function searches(source: Source): NamedRequest[] {
  const name = SOURCES[source].vector;
  const using: JsonObject = name === '' ? {} : { using: name };
  const vectorName: JsonObject = name === '' ? {} : { vectorName: name };
  const query = (label: string, request: NamedRequest['request']): NamedRequest => ({
    name: label,
    method: 'Points/Query',
    request: (v) => withUsing(using, request(v)),
    ...(/fusion|ranks|context|levels|prefetch/.test(label) ? { ties: true as const } : {}),
  });
  return [
    ...plainQueries(query),
    ...comparingQueries(query),
    ...nestedQueries(query, using),
    ...lookups(query, name),
    ...batchesAndGroups(source, using),
    ...legacySearches(source, vectorName),
    ...legacyRecommendations(source, using),
  ];
}

type MakeQuery = (label: string, request: NamedRequest['request']) => NamedRequest;

function plainQueries(query: MakeQuery): NamedRequest[] {
  return [
    query('nearest', (v) => ({ query: nearest(v(0)) })),
    query('by id', () => ({ query: { nearest: id(7) }, limit: '12' })),
    query('limit and offset', (v) => ({ query: nearest(v(1)), limit: '15', offset: '20' })),
    query('offset near the end', (v) => ({ query: nearest(v(1)), limit: '15', offset: '280' })),
    query('more than there is', (v) => ({ query: nearest(v(2)), limit: '1000' })),
    query('filter', (v) => ({ query: nearest(v(3)), filter: shelf(3), limit: '30' })),
    query('score threshold', (v) => ({ query: nearest(v(4)), scoreThreshold: 0.2, limit: '100' })),
    query('payload', (v) => ({ query: nearest(v(5)), withPayload: { enable: true }, limit: '3' })),
    query('all vectors', (v) => ({ query: nearest(v(5)), withVectors: { enable: true }, limit: '3' })),
    query('no vectors', (v) => ({ query: nearest(v(5)), withVectors: { enable: false }, limit: '3' })),
    query('empty selector', (v) => ({ query: nearest(v(5)), withVectors: {}, limit: '3' })),
    query('empty list of vectors', (v) => ({
      query: nearest(v(5)),
      withVectors: { include: {} },
      limit: '3',
    })),
    query('params', (v) => ({ query: nearest(v(6)), params: { hnswEf: '200' } })),
    query('exact', (v) => ({ query: nearest(v(6)), params: { exact: true } })),
    query('has vector', (v) => ({
      query: nearest(v(6)),
      filter: { must: [{ hasVector: { hasVector: '' } }] },
    })),
    query('no query', () => ({ limit: '20', filter: below(50) })),
    query('order', () => ({ query: { orderBy: { key: 'n', direction: 'Desc' } }, limit: '7' })),
  ];
}

function comparingQueries(query: MakeQuery): NamedRequest[] {
  const pairs = (v: Queries): JsonObject => ({
    pairs: [
      { positive: id(3), negative: dense(v(9)) },
      { positive: dense(v(10)), negative: id(4) },
    ],
  });
  return [
    query('recommend', (v) => ({
      query: { recommend: { positive: [id(3), dense(v(7))], negative: [id(9)] } },
    })),
    query('recommend by best score', (v) => ({
      query: { recommend: { positive: [id(3)], negative: [dense(v(7))], strategy: 'BestScore' } },
    })),
    query('recommend by sum of scores', (v) => ({
      query: { recommend: { negative: [dense(v(7)), id(2)], strategy: 'SumScores' } },
    })),
    query('discover', (v) => ({ query: { discover: { target: dense(v(8)), context: pairs(v) } } })),
    query('context', (v) => ({ query: { context: pairs(v) }, limit: '300' })),
    query('maximal marginal relevance', (v) => ({
      query: { nearestWithMmr: { nearest: dense(v(11)), mmr: { diversity: 0.6, candidatesLimit: 60 } } },
    })),
    query('marginal relevance by default', (v) => ({
      query: { nearestWithMmr: { nearest: dense(v(11)), mmr: {} } },
    })),
  ];
}

function nestedQueries(query: MakeQuery, using: JsonObject): NamedRequest[] {
  const leaf = (data: number[], more: JsonObject = {}): JsonObject => ({
    query: nearest(data),
    ...using,
    limit: '40',
    ...more,
  });
  return [
    query('fusion of prefetches', (v) => ({
      prefetch: [leaf(v(12)), leaf(v(13), { filter: shelf(2) })],
      query: { fusion: 'RRF' },
    })),
    // The server returns the nearest points of such prefetches: it does not diversify there.
    ...(['5', '30'] as const).flatMap((limit) => {
      const diverse = (v: Queries): JsonObject => ({
        query: { nearestWithMmr: { nearest: dense(v(12)), mmr: { diversity: 0.5, candidatesLimit: 20 } } },
        ...using,
        limit,
      });
      return [
        query(`diversity in a prefetch of a fusion, limit ${limit}`, (v) => ({
          prefetch: [diverse(v)],
          query: { fusion: 'RRF' },
          limit: '50',
        })),
        query(`diversity in a rescored prefetch, limit ${limit}`, (v) => ({
          prefetch: [diverse(v)],
          query: nearest(v(13)),
          limit: '50',
        })),
        query(`diversity two prefetches deep, limit ${limit}`, (v) => ({
          prefetch: [{ prefetch: [diverse(v)], query: nearest(v(13)), ...using, limit: '50' }],
          query: { fusion: 'DBSF' },
          limit: '50',
        })),
      ];
    }),
    query('weighted ranks', (v) => ({
      prefetch: [leaf(v(12)), leaf(v(13), { scoreThreshold: 0.1 })],
      query: { rrf: { k: 5 } },
      limit: '30',
    })),
    query('fusion by distribution', (v) => ({
      prefetch: [leaf(v(12)), leaf(v(13))],
      query: { fusion: 'DBSF' },
    })),
    query('formula', (v) => ({
      prefetch: [leaf(v(14)), leaf(v(15))],
      query: {
        formula: {
          expression: {
            sum: {
              sum: [
                { variable: '$score[0]' },
                { mult: { mult: [{ constant: 2 }, { variable: '$score[1]' }] } },
              ],
            },
          },
          defaults: { '$score[0]': { doubleValue: 0.1 }, '$score[1]': { doubleValue: 0.2 } },
        },
      },
    })),
    query('rescored prefetch', (v) => ({
      prefetch: [leaf(v(16), { filter: below(200) })],
      query: nearest(v(17)),
      filter: shelf(1),
    })),
    query('three levels, a filter on each', (v) => ({
      prefetch: [
        {
          prefetch: [leaf(v(18), { filter: below(250), limit: '100' })],
          query: nearest(v(19)),
          ...using,
          filter: shelf(4),
          limit: '20',
        },
        leaf(v(20), { params: { exact: true } }),
      ],
      query: { fusion: 'RRF' },
      filter: below(280),
    })),
    query('default limit of a prefetch', (v) => ({
      prefetch: [{ query: nearest(v(21)), ...using }],
      query: { fusion: 'RRF' },
      limit: '50',
    })),
  ];
}

function lookups(query: MakeQuery, name: string): NamedRequest[] {
  const lookupFrom = { collectionName: 'other', ...(name === '' ? {} : { vectorName: '' }) };
  return [
    query('by id of another collection', () => ({ query: { nearest: id(5) }, lookupFrom })),
    query('recommend by ids of another collection', (v) => ({
      query: { recommend: { positive: [id(1), id(2), dense(v(30))], negative: [id(3)] } },
      lookupFrom,
    })),
    query('prefetch by id of another collection', () => ({
      prefetch: [{ query: { nearest: id(5) }, using: name, lookupFrom, limit: '30' }],
      query: { fusion: 'RRF' },
    })),
    query('by id of another served collection', () => ({
      query: { nearest: id(5) },
      lookupFrom:
        name === ''
          ? { collectionName: 'named', vectorName: 'text' }
          : { collectionName: 'plain', vectorName: '' },
    })),
    query('by id of itself', () => ({
      query: { nearest: id(5) },
      lookupFrom: { collectionName: name === '' ? 'plain' : 'named' },
    })),
  ];
}

function batchesAndGroups(source: Source, using: JsonObject): NamedRequest[] {
  const one = (v: number[], more: JsonObject = {}): JsonObject => ({ query: nearest(v), ...using, ...more });
  return [
    {
      name: 'batch',
      method: 'Points/QueryBatch',
      request: (v) => ({
        queryPoints: [
          one(v(22)),
          one(v(23), { limit: '5', filter: shelf(0), withVectors: { enable: true } }),
          { limit: '4' },
        ].map((request) => ({ collectionName: source, ...request })),
      }),
    },
    {
      name: 'groups',
      method: 'Points/QueryGroups',
      request: (v) => ({ ...one(v(24)), groupBy: 'shelf', limit: '5', groupSize: '4' }),
    },
    {
      name: 'groups by default, with lookup',
      method: 'Points/QueryGroups',
      request: (v) => ({
        ...one(v(25)),
        groupBy: 'n',
        withLookup: { collection: 'plain', withVectors: { enable: true }, withPayload: { enable: true } },
      }),
    },
    {
      name: 'groups of a filtered fusion',
      ties: true,
      method: 'Points/QueryGroups',
      request: (v) => ({
        prefetch: [one(v(26), { limit: '60' }), one(v(27), { limit: '60' })],
        query: { fusion: 'RRF' },
        filter: below(150),
        groupBy: 'shelf',
        groupSize: '2',
      }),
    },
  ];
}

function legacySearches(source: Source, vectorName: JsonObject): NamedRequest[] {
  return [
    {
      name: 'search',
      method: 'Points/Search',
      request: (v) => ({
        vector: v(0),
        ...vectorName,
        limit: '9',
        offset: '2',
        filter: below(200),
        scoreThreshold: 0.05,
        withPayload: { include: { fields: ['n'] } },
        withVectors: { enable: true },
        params: { hnswEf: '99' },
      }),
    },
    {
      name: 'search batch',
      method: 'Points/SearchBatch',
      request: (v) => ({
        searchPoints: [
          { vector: v(1), ...vectorName, limit: '3' },
          { vector: v(2), ...vectorName, limit: '4', params: { exact: true } },
        ].map((request) => ({ collectionName: source, ...request })),
      }),
    },
    {
      name: 'search groups',
      method: 'Points/SearchGroups',
      request: (v) => ({
        vector: v(3),
        ...vectorName,
        limit: 3,
        groupSize: 2,
        groupBy: 'shelf',
        withPayload: { enable: true },
      }),
    },
  ];
}

function legacyRecommendations(source: Source, using: JsonObject): NamedRequest[] {
  const lookupFrom = { collectionName: 'other', vectorName: '' };
  const positive = [{ num: '3' }, { num: '8' }];
  const request = (v: Queries): JsonObject => ({
    positive,
    negative: [{ num: '5' }],
    positiveVectors: [{ data: v(4) }],
    negativeVectors: [{ dense: { data: v(5) } }],
    ...using,
    limit: '8',
  });
  const discover = (v: Queries): JsonObject => ({
    target: { single: { vector: { data: v(6) } } },
    context: [{ positive: { id: { num: '2' } }, negative: { vector: { dense: { data: v(7) } } } }],
    ...using,
    limit: '8',
  });
  return [
    { name: 'recommend, older form', method: 'Points/Recommend', request },
    {
      name: 'recommend by best score, older form',
      method: 'Points/Recommend',
      request: (v) => ({ ...request(v), strategy: 'BestScore', withVectors: { enable: true } }),
    },
    {
      name: 'recommend with lookup, older form',
      method: 'Points/Recommend',
      request: () => ({ positive, ...using, limit: '8', lookupFrom }),
    },
    {
      name: 'recommend batch',
      method: 'Points/RecommendBatch',
      request: (v) => ({
        recommendPoints: [request(v), { positive, ...using, limit: '2' }].map((one) => ({
          collectionName: source,
          ...one,
        })),
      }),
    },
    {
      name: 'recommend without a limit',
      method: 'Points/Recommend',
      request: () => ({ positive, ...using }),
    },
    {
      name: 'recommend groups',
      method: 'Points/RecommendGroups',
      request: (v) => ({ ...request(v), limit: 3, groupSize: 2, groupBy: 'shelf' }),
    },
    { name: 'discover, older form', method: 'Points/Discover', request: discover },
    {
      name: 'context, older form',
      ties: true,
      method: 'Points/Discover',
      request: (v) => ({ ...using, context: discover(v)['context'] ?? [], limit: '300' }),
    },
    {
      name: 'target alone, older form',
      method: 'Points/Discover',
      request: () => ({ target: { single: { id: { num: '2' } } }, ...using, limit: '8' }),
    },
    {
      name: 'discover batch',
      method: 'Points/DiscoverBatch',
      request: (v) => ({
        discoverPoints: [discover(v), discover((i) => v(i + 1))].map((one) => ({
          collectionName: source,
          ...one,
        })),
      }),
    },
  ];
}

/** What the server refuses, and what is said in its place. */
export function invalidRequests(source: Source): NamedRequest[] {
  const name = SOURCES[source].vector;
  const using: JsonObject = name === '' ? {} : { using: name };
  const vectorName: JsonObject = name === '' ? {} : { vectorName: name };
  const point = (num: number, value: JsonObject): JsonObject => ({
    wait: true,
    points: [
      {
        id: { num: String(num) },
        vectors: name === '' ? { vector: value } : { vectors: { vectors: { [name]: value } } },
      },
    ],
  });
  const query = (label: string, request: JsonObject): NamedRequest => ({
    name: label,
    method: 'Points/Query',
    request: () => withUsing(using, request),
  });
  const at = (label: string, method: string, request: JsonObject): NamedRequest => ({
    name: label,
    method,
    request: () => request,
  });
  return [
    query('dimension', { query: nearest([1, 2]) }),
    query('dimension, nested', {
      prefetch: [{ ...using, query: nearest([1, 2]) }],
      query: { fusion: 'RRF' },
    }),
    query('sparse', { query: { nearest: { sparse: { values: [1], indices: [1] } } } }),
    query('multivector', { query: { nearest: { multiDense: { vectors: [{ data: [1, 2] }] } } } }),
    query('vector without variant', { query: { nearest: {} } }),
    query('query without variant', { query: {} }),
    query('unknown vector', { query: nearest([1, 2]), using: 'zz' }),
    query('the hidden vector', { query: nearest([1, 2]), using: 'compact' }),
    query('unknown vector asked for', {
      query: { nearest: id(1) },
      withVectors: { include: { names: ['zz'] } },
    }),
    query('the hidden vector asked for', {
      query: { nearest: id(1) },
      withVectors: { include: { names: ['compact'] } },
    }),
    query('unknown id', { query: { nearest: id(123456) } }),
    query('id without options', { query: { nearest: { id: {} } } }),
    query('id without the vector', { query: { nearest: id(20) } }),
    query('id without the vector, nested', {
      prefetch: [{ ...using, query: { nearest: id(20) } }],
      query: { fusion: 'RRF' },
    }),
    query('limit 0', { query: { nearest: id(1) }, limit: '0' }),
    query('limit 0, nested', {
      prefetch: [{ ...using, query: { nearest: id(1) }, limit: '0' }],
      query: { fusion: 'RRF' },
    }),
    query('nothing to fuse', { query: { fusion: 'RRF' } }),
    query('no positive example', { query: { recommend: { negative: [id(1)] } } }),
    query('no target', { query: { discover: { context: {} } } }),
    query('no context', { query: { discover: { target: id(1) } } }),
    query('half a pair', { query: { context: { pairs: [{ positive: id(1) }] } } }),
    query('no mmr', { query: { nearestWithMmr: { nearest: id(1) } } }),
    query('too much diversity', { query: { nearestWithMmr: { nearest: id(1), mmr: { diversity: 2 } } } }),
    query('lookup in no collection', {
      query: { nearest: id(1) },
      lookupFrom: { collectionName: 'nothing' },
    }),
    query('lookup of no point', {
      query: { nearest: id(123456) },
      lookupFrom: { collectionName: 'other', vectorName: '' },
    }),
    query('lookup of no vector', {
      query: { nearest: id(1) },
      lookupFrom: { collectionName: 'other', vectorName: 'zz' },
    }),
    query('too deep', { prefetch: [nested(70, using)], query: { fusion: 'RRF' } }),
    at('search without limit', 'Points/Search', { vector: Array<number>(512).fill(1), ...vectorName }),
    at('search without vector', 'Points/Search', { ...vectorName, limit: '3' }),
    at('search of another dimension', 'Points/Search', { vector: [1, 2, 3], ...vectorName, limit: '3' }),
    at('search of an unknown vector', 'Points/Search', { vector: [1], vectorName: 'zz', limit: '3' }),
    at('sparse search', 'Points/Search', {
      vector: [1],
      sparseIndices: { data: [1] },
      ...vectorName,
      limit: '3',
    }),
    at('recommend nothing', 'Points/Recommend', { ...using, limit: '3' }),
    at('recommend without positive', 'Points/Recommend', { negative: [{ num: '1' }], ...using, limit: '3' }),
    at('discover nothing', 'Points/Discover', { ...using, limit: '3' }),
    at('discover half a pair', 'Points/Discover', {
      context: [{ positive: { id: { num: '1' } } }],
      ...using,
      limit: '3',
    }),
    at('discover without example', 'Points/Discover', { target: { single: {} }, ...using, limit: '3' }),
    at('groups without group_by', 'Points/QueryGroups', { query: { nearest: id(1) }, ...using }),
    at('upsert of another dimension', 'Points/Upsert', point(900, { data: [1, 2] })),
    at('upsert of nothing', 'Points/Upsert', point(900, {})),
    at('upsert of a sparse vector', 'Points/Upsert', point(900, { sparse: { values: [1], indices: [1] } })),
    at(
      'upsert of an older sparse vector',
      'Points/Upsert',
      point(900, { data: [1], indices: { data: [1] } }),
    ),
    at('upsert of a multivector', 'Points/Upsert', point(900, { multiDense: { vectors: [{ data: [1] }] } })),
    at('upsert of an older multivector', 'Points/Upsert', point(900, { data: [1], vectorsCount: 1 })),
    at('upsert without vectors', 'Points/Upsert', { wait: true, points: [{ id: { num: '900' } }] }),
    at('upsert with no vectors', 'Points/Upsert', {
      wait: true,
      points: [{ id: { num: '900' }, vectors: {} }],
    }),
    at('upsert of no points', 'Points/Upsert', { wait: true, points: [] }),
    at('upsert of an unknown vector', 'Points/Upsert', {
      wait: true,
      points: [{ id: { num: '900' }, vectors: { vectors: { vectors: { zz: { data: [1] } } } } }],
    }),
    at('upsert of the hidden vector', 'Points/Upsert', {
      wait: true,
      points: [{ id: { num: '900' }, vectors: { vectors: { vectors: { compact: { data: [1] } } } } }],
    }),
    at('update of no point', 'Points/UpdateVectors', {
      wait: true,
      points: [{ id: { num: '123456' }, vectors: { vectors: { vectors: {} } } }],
    }),
    at('deletion of an unknown vector', 'Points/DeleteVectors', {
      wait: true,
      vectors: { names: ['zz'] },
      pointsSelector: { points: { ids: [{ num: '1' }] } },
    }),
    at('deletion of the hidden vector', 'Points/DeleteVectors', {
      wait: true,
      vectors: { names: ['compact'] },
      pointsSelector: { points: { ids: [{ num: '1' }] } },
    }),
    at('an operation of nothing', 'Points/UpdateBatch', { operations: [{}] }),
    at('points with an unknown vector', 'Points/Get', {
      ids: [{ num: '1' }],
      withVectors: { include: { names: ['compact'] } },
    }),
    at('an existing collection', 'Collections/Create', {
      vectorsConfig: { params: { size: '4', distance: 'Dot' } },
    }),
    at('settings of an unknown vector', 'Collections/Update', {
      vectorsConfig: { paramsMap: { map: { compact: { onDisk: true } } } },
    }),
  ];
}

function nested(depth: number, using: JsonObject): JsonObject {
  const leaf = { query: { nearest: id(1) }, ...using };
  return depth === 1 ? leaf : { prefetch: [nested(depth - 1, using)], ...leaf };
}
