import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { restRewriter } from '../../../adapters/qdrant/serve/rewriters/rest.js';
import { readNpy } from '../../../src/files/npy.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { gatherRows, row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { checkServed, type ServeOptions } from '../../../src/store/check-served.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { finished, type RestRewriter, type RestRewrite } from '../../../src/serve/protocol.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';

const test = await testsOn('any');

const ROWS = 400;
const COMPACT_DIM = 48;
const LAYOUTS = ['two-stage', 'compact'] as const;

let server: TestServer;
let folder: string;
let store: QdrantStore;
let base: Matrix;
let queries: Matrix;
let encoder: Encoder;
let twoStage: RestRewriter;
let compact: RestRewriter;

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function direct(method: string, url: string, body?: string | Uint8Array): Promise<Answer> {
  const response = await fetchOnce(server.url + url, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined || body.length === 0 ? {} : { body }),
  });
  return { status: response.status, text: await response.text() };
}

/** What a proxy does with a rewriter, in a few lines. */
async function through(rewriter: RestRewriter, method: string, url: string, text = ''): Promise<Answer> {
  const head = rewriter.read({ method, url, headers: {} });
  const body = Buffer.from(text);
  const route = rewriter.route(head);
  if (route.kind === 'answer') return { status: route.status, text: route.body };
  if (route.kind === 'pass') return direct(method, url, body);
  let made = route.kind === 'rewrite' ? finished<RestRewrite>(rewriter.begin(head, body)) : null;
  if (made?.kind === 'lookup') {
    const answers = await Promise.all(made.requests.map((one) => direct(one.method, one.url, one.body)));
    made = finished<RestRewrite>(
      rewriter.begin(
        head,
        body,
        answers.map(({ status, text: answered }) => ({
          status,
          body: Buffer.from(answered),
          contentType: 'application/json',
          retryAfter: undefined,
        })),
      ),
    );
  }
  if (made?.kind === 'answer') return { status: made.status, text: made.body };
  if (made?.kind === 'lookup') throw new Error('asked twice');
  const request = made?.request ?? { method, url: route.kind === 'forward' ? route.url : url, body };
  const form = made?.answer ?? (route.kind === 'forward' ? route.answer : null);
  const answer = await direct(request.method, request.url, request.body);
  if (form === null) return answer;
  const changed = rewriter.rewriteAnswer(form, answer.status, Buffer.from(answer.text));
  return { status: answer.status, text: Buffer.from(changed).toString() };
}

async function ok(answer: Promise<Answer>): Promise<unknown> {
  const { status, text } = await answer;
  if (status !== 200) throw new Error(`status ${status}: ${text}`);
  return (JSON.parse(text) as { result: unknown }).result;
}

/**
 * Answers without what differs between any two collections: versions, numbers beyond five digits, and the order of
 * points of one score, which the server leaves to chance.
 */
function comparable(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isInteger(value)) return Number(value.toPrecision(5));
  if (Array.isArray(value)) return value.map(comparable).sort(byScore);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'version')
      .map(([name, inner]) => [name, comparable(inner)]),
  );
}

/** Points of one score by id; everything else stays where it is. */
function byScore(a: unknown, b: unknown): number {
  if (!isScored(a) || !isScored(b) || a.score !== b.score) return 0;
  return a.id - b.id;
}

function isScored(value: unknown): value is { readonly score: number; readonly id: number } {
  return typeof value === 'object' && value !== null && 'score' in value && 'id' in value;
}

function vector(i: number): string {
  return `[${[...row(queries, i)].join()}]`;
}

async function create(name: string, vectors: object, more: object = {}): Promise<void> {
  await ok(direct('PUT', `/collections/${name}`, JSON.stringify({ vectors, ...more })));
}

async function fill(name: string, point: (i: number) => object): Promise<void> {
  const points = Array.from({ length: ROWS }, (_, i) => ({
    id: i,
    ...point(i),
    payload: { shelf: i % 7, rare: i % 50 === 0, n: i },
  }));
  await ok(direct('PUT', `/collections/${name}/points?wait=true`, JSON.stringify({ points })));
}

async function rewriterFor(layout: Layout, options: ServeOptions = {}): Promise<RestRewriter> {
  const served = ['docs', 'named'].map((name) => servedAs(name, `${name}-${layout}`, options));
  return restRewriter(await Promise.all(served));
}

async function servedAs(name: string, target: string, options: ServeOptions = {}): Promise<ServedCollection> {
  return checkServed({
    name,
    aliases: new Map<string, string>(),
    projector: encoder,
    spec: await store.describe(target),
    candidatesMax: Number.POSITIVE_INFINITY,
    allowsExact: true,
    options: { oversampling: ROWS, ...options },
  });
}

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-serve-rest-'));
  base = rowRange(await readNpy('demo/data/base.npy'), 0, ROWS);
  queries = rowRange(await readNpy('demo/data/queries.npy'), 0, 8);
  encoder = await pcaEncoder(base, COMPACT_DIM);
  store = await openQdrant(server);
  const full = { size: base.cols, distance: 'Cosine' };
  const hnsw = { hnsw_config: { m: 24, ef_construct: 80 }, on_disk: false };
  await create('docs', { ...full, ...hnsw });
  await fill('docs', (i) => ({ vector: [...row(base, i)] }));
  await create('named', { v: full, other: { size: 3, distance: 'Dot' } }, { sparse_vectors: { words: {} } });
  await fill('named', (i) => {
    const words = { indices: [i % 11, 100 + (i % 3)], values: [1, 0.5 + i / ROWS] };
    return { vector: { v: [...row(base, i)], other: [i % 5, 1, i / ROWS], words } };
  });
  await create('elsewhere', { z: full });
  await fill('elsewhere', (i) => ({ vector: { z: [...row(base, (i * 7) % ROWS)] } }));
  for (const layout of LAYOUTS) {
    for (const [name, vectorName] of [
      ['docs', ''],
      ['named', 'v'],
    ] as const) {
      await migrateCollection({
        source: store,
        target: store,
        encoder,
        layout,
        vectorName,
        sourceCollection: name,
        targetCollection: `${name}-${layout}`,
        statePath: join(folder, `${name}-${layout}.json`),
      });
    }
  }
  for (const name of ['docs', 'docs-two-stage', 'docs-compact'])
    await ok(
      direct('PUT', `/collections/${name}/index?wait=true`, '{"field_name":"n","field_schema":"integer"}'),
    );
  twoStage = await rewriterFor('two-stage');
  compact = await rewriterFor('compact');
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

function having(name: string): string {
  return `"filter":{"must":[{"has_vector":"${name}"}]}`;
}

const RARE = '"filter":{"must":[{"key":"rare","match":{"value":true}}]}';

/** Path below a collection and body; vectors are written in when the test runs. */
const SEARCHES: readonly (readonly [string, string, () => string])[] = [
  ['nearest vector', 'docs/points/query', () => `{"query":${vector(0)},"limit":10,"with_payload":true}`],
  ['nearest point', 'docs/points/query', () => '{"query":17,"limit":7}'],
  ['filter', 'docs/points/query', () => `{"query":${vector(1)},"limit":5,${RARE}}`],
  ['threshold', 'docs/points/query', () => `{"query":${vector(1)},"limit":50,"score_threshold":0.5}`],
  ['offset', 'docs/points/query', () => `{"query":${vector(2)},"limit":10,"offset":15}`],
  ['exact', 'docs/points/query', () => `{"query":${vector(2)},"params":{"exact":true}}`],
  ['params', 'docs/points/query', () => `{"query":${vector(2)},"params":{"hnsw_ef":400}}`],
  ['vectors', 'docs/points/query', () => `{"query":${vector(3)},"limit":2,"with_vector":true}`],
  ['named vectors', 'named/points/query', () => `{"query":${vector(3)},"using":"v","with_vectors":true}`],
  ['one named vector', 'named/points/query', () => `{"query":${vector(3)},"using":"v","with_vector":["v"]}`],
  ['another vector', 'named/points/query', () => '{"query":[1,0.5,1],"using":"other","limit":4}'],
  [
    'recommend',
    'docs/points/query',
    () => `{"query":{"recommend":{"positive":[3,${vector(0)}],"negative":[${vector(1)},9]}},"limit":8}`,
  ],
  ...['best_score', 'sum_scores'].map(
    (strategy) =>
      [
        `recommend by ${strategy}`,
        'docs/points/query',
        () => `{"query":{"recommend":{"positive":[3,${vector(0)}],"negative":[9],"strategy":"${strategy}"}}}`,
      ] as const,
  ),
  ['recommend as an array', 'docs/points/query', () => `{"query":{"recommend":[[${vector(4)}],[4],null]}}`],
  [
    'discover',
    'docs/points/query',
    () => `{"query":{"discover":{"target":${vector(0)},"context":[{"positive":1,"negative":${vector(2)}}]}}}`,
  ],
  [
    'discover as arrays',
    'docs/points/query',
    () => `{"query":{"discover":[${vector(0)},[[5,${vector(2)}],[6,7]]]}}`,
  ],
  [
    'diversity',
    'docs/points/query',
    () => `{"query":{"nearest":${vector(0)},"mmr":{"diversity":0.7,"candidates_limit":30}},"limit":6}`,
  ],
  [
    'diversity as an array',
    'docs/points/query',
    () => `{"query":[${vector(0)},{"diversity":0.7,"candidates_limit":30}],"limit":6}`,
  ],
  // The server returns the nearest points of such prefetches: it does not diversify there.
  ...(['"limit":5', '"limit":5,"params":{"hnsw_ef":64}', '"limit":null'] as const).flatMap((limit) => {
    const leaf = (i: number): string =>
      `{"query":{"nearest":${vector(i)},"mmr":{"diversity":0.5,"candidates_limit":20}},${limit}}`;
    return [
      [
        `diversity in a fused prefetch, ${limit}`,
        'docs/points/query',
        () => `{"prefetch":[${leaf(0)}],"query":{"fusion":"rrf"},"limit":50}`,
      ],
      [
        `diversity in a rescored prefetch, ${limit}`,
        'docs/points/query',
        () => `{"prefetch":${leaf(0)},"query":${vector(1)},"limit":50}`,
      ],
      [
        `diversity two prefetches deep, ${limit}`,
        'docs/points/query',
        () =>
          `{"prefetch":{"prefetch":${leaf(0)},"query":{"fusion":"rrf"},"limit":50},"query":${vector(1)},"limit":50}`,
      ],
    ] as const;
  }),
  [
    'diversity in a prefetch without a limit',
    'docs/points/query',
    () =>
      `{"prefetch":{"query":{"nearest":${vector(0)},"mmr":{"candidates_limit":17}}},"query":${vector(1)},"limit":50}`,
  ],
  [
    'fusion of two vectors',
    'named/points/query',
    () =>
      `{"prefetch":[{"query":${vector(0)},"using":"v","limit":20,${RARE}},{"query":{"indices":[3,101],"values":[1,1]},"using":"words","limit":30}],"query":{"rrf":{"k":7}},"limit":60}`,
  ],
  [
    'fusion at two depths',
    'docs/points/query',
    () =>
      `{"prefetch":[{"prefetch":[{"query":${vector(0)},"limit":15},{"query":${vector(1)},"limit":15}],"query":{"fusion":"dbsf"},"limit":9},{"query":33,"limit":12}],"query":{"fusion":"rrf"},"limit":40}`,
  ],
  [
    'formula',
    'docs/points/query',
    () =>
      `{"prefetch":[{"query":${vector(5)},"limit":25,"score_threshold":0.1}],"query":{"formula":{"sum":["$score[0]",{"mult":[0.001,"n"]}]}},"limit":10}`,
  ],
  [
    'prefetch as an array',
    'docs/points/query',
    () => `{"prefetch":[[null,${vector(6)},null,null,{"hnsw_ef":64},null,9,null]],"query":{"fusion":"rrf"}}`,
  ],
  [
    'rescoring of another vector',
    'named/points/query',
    () => `{"prefetch":{"query":[1,0,1],"using":"other","limit":40},"query":${vector(5)},"using":"v"}`,
  ],
  [
    'batch',
    'docs/points/query/batch',
    () => `{"searches":[{"query":${vector(0)},"limit":3},{"query":5,"limit":2,"with_vector":true}]}`,
  ],
  [
    'groups',
    'docs/points/query/groups',
    () => `{"query":${vector(0)},"group_by":"shelf","group_size":4,"limit":5}`,
  ],
  [
    'groups with a lookup',
    'docs/points/query/groups',
    () =>
      `{"query":${vector(1)},"group_by":"shelf","with_lookup":{"collection":"docs","with_vectors":true,"with_payload":["n"]}}`,
  ],
  [
    'lookup in another collection',
    'docs/points/query',
    () =>
      `{"query":{"recommend":{"positive":[11,12],"negative":[13]}},"lookup_from":{"collection":"elsewhere","vector":"z"}}`,
  ],
  [
    'lookup in another served collection',
    'docs/points/query',
    () => `{"query":21,"lookup_from":{"collection":"named","vector":"v"},"limit":5}`,
  ],
  [
    'lookup of the vector searched',
    'named/points/query',
    () => `{"query":21,"using":"v","lookup_from":{"collection":"named"}}`,
  ],
  ['search', 'docs/points/search', () => `{"vector":${vector(0)},"top":9,"offset":2,"with_vectors":true}`],
  [
    'search by name',
    'named/points/search',
    () => `{"vector":{"name":"v","vector":${vector(0)}},"limit":9,${RARE}}`,
  ],
  ['search as an array', 'named/points/search', () => `{"vector":["v",${vector(0)}],"limit":9}`],
  [
    'search batch',
    'named/points/search/batch',
    () =>
      `{"searches":[{"vector":{"name":"v","vector":${vector(0)}},"limit":4},{"vector":{"name":"words","vector":{"indices":[3],"values":[1]}},"limit":4,"filter":{"must":[{"key":"n","match":{"value":3}}]}}]}`,
  ],
  [
    'search groups',
    'docs/points/search/groups',
    () => `{"vector":${vector(2)},"group_by":"shelf","group_size":2,"limit":3,"with_lookup":"docs"}`,
  ],
  [
    'older recommend',
    'docs/points/recommend',
    () => `{"positive":[1,${vector(1)}],"negative":[2],"limit":6}`,
  ],
  [
    'older recommend elsewhere',
    'docs/points/recommend',
    () => `{"positive":[1],"limit":6,"lookup_from":{"collection":"elsewhere","vector":"z"}}`,
  ],
  [
    'older recommend batch',
    'docs/points/recommend/batch',
    () =>
      `{"searches":[{"positive":[1],"limit":3},{"positive":[2],"negative":[${vector(3)}],"limit":3,"strategy":"best_score"}]}`,
  ],
  [
    'older recommend groups',
    'docs/points/recommend/groups',
    () => `{"positive":[1,2],"limit":3,"group_by":"shelf","group_size":2}`,
  ],
  [
    'older discover',
    'docs/points/discover',
    () => `{"target":${vector(0)},"context":[{"positive":8,"negative":${vector(6)}}],"limit":6}`,
  ],
  ['older discover without context', 'docs/points/discover', () => `{"target":44,"limit":6}`],
  [
    'older discover batch',
    'docs/points/discover/batch',
    () => `{"searches":[{"target":44,"context":[[1,2]],"limit":6}]}`,
  ],
  ['points', 'docs/points', () => '{"ids":[3,1,399],"with_vector":true}'],
  ['points of several vectors', 'named/points', () => '{"ids":[3],"with_vectors":true,"with_payload":false}'],
  ['points without vectors', 'named/points', () => '{"ids":[3,4000]}'],
  ['scroll', 'named/points/scroll', () => '{"limit":3,"offset":7,"with_vector":["v","words"]}'],
  ['scroll in order', 'docs/points/scroll', () => '{"limit":3,"order_by":"n","with_vector":true}'],
  ['points of a shard', 'docs/shards/0/points', () => '{"ids":[5],"with_vector":true}'],
  ['count', 'docs/points/count', () => `{${RARE},"exact":true}`],
  ['matrix', 'named/points/search/matrix/pairs', () => `{"sample":400,"limit":1,"using":"v",${RARE}}`],
  ['no query', 'docs/points/query', () => '{"limit":3,"with_vector":true}'],
  // To clients there is no such vector, so that no point has it.
  ['count by the hidden vector', 'docs/points/count', () => `{${having('compact')},"exact":true}`],
  [
    'count without the hidden vector',
    'docs/points/count',
    () => '{"filter":{"must_not":[["comp\\u0061ct"]]},"exact":true}',
  ],
  ['count by the vector', 'docs/points/count', () => `{${having('')},"exact":true}`],
  ['scroll by the hidden vector', 'named/points/scroll', () => `{${having('compact')},"limit":3}`],
  ['facet by the hidden vector', 'docs/facet', () => `{"key":"n","limit":3,${having('compact')}}`],
  ['query by the hidden vector', 'docs/points/query', () => `{"query":${vector(0)},${having('compact')}}`],
  [
    'search by the hidden vector',
    'docs/points/search',
    () => `{"vector":${vector(0)},"limit":3,${having('compact')}}`,
  ],
  [
    'formula of the hidden vector',
    'named/points/query',
    () =>
      `{"prefetch":{"query":${vector(5)},"using":"v","limit":9},"query":{"formula":{"sum":["$score",{"has_vector":"compact"},{"has_vector":"v"}]}}}`,
  ],
  [
    'matrix by the hidden vector',
    'named/points/search/matrix/pairs',
    () => `{"sample":9,"limit":1,"using":"v",${having('compact')}}`,
  ],
  ['points of a shard by the hidden vector', 'docs/shards/0/points/count', () => `{${having('compact')}}`],
];

describe('two-stage answers where candidates cover the collection', () => {
  test.each(SEARCHES)('%s: those of the original', async (_, path, body) => {
    const wanted = await ok(direct('POST', `/collections/${path}`, body()));
    const got = await ok(through(twoStage, 'POST', `/collections/${path}`, body()));
    expect(comparable(got)).toEqual(comparable(wanted));
  });

  test('a context alone scores most points alike: the scores are those of the original', async () => {
    const body = `{"query":{"context":{"positive":1,"negative":${vector(2)}}},"limit":30}`;
    const scores = async (answer: Promise<Answer>): Promise<unknown> =>
      ((await ok(answer)) as { points: { score: number }[] }).points.map(({ score }) => comparable(score));
    expect(await scores(through(twoStage, 'POST', '/collections/docs/points/query', body))).toEqual(
      await scores(direct('POST', '/collections/docs/points/query', body)),
    );
  });

  test('one point, with its vectors', async () => {
    for (const path of ['docs/points/7', 'docs/points/%37', 'named/points/7', '/docs//points/7/']) {
      const got = await ok(through(twoStage, 'GET', `/collections/${path}`));
      expect(comparable(got)).toEqual(comparable(await ok(direct('GET', `/collections/${path}`))));
    }
  });

  test('a filter that hardly anything passes reaches candidates at any depth', async () => {
    const narrow = await rewriterFor('two-stage', { oversampling: 1 });
    const bodies = [
      `{"query":${vector(0)},"limit":8,${RARE}}`,
      `{"prefetch":{"query":${vector(0)},"limit":8,${RARE}},"query":{"fusion":"rrf"}}`,
      `{"prefetch":{"prefetch":{"query":${vector(0)},"limit":8},"query":${vector(0)},"limit":8,${RARE}},"query":{"fusion":"rrf"}}`,
    ];
    for (const body of bodies) {
      const wanted = await ok(direct('POST', '/collections/docs/points/query', body));
      const got = await ok(through(narrow, 'POST', '/collections/docs/points/query', body));
      expect(comparable(got)).toEqual(comparable(wanted));
    }
  });

  test('a search of a collection that is not served looks points up in one that is', async () => {
    const body =
      '{"query":21,"using":"z","lookup_from":{"collection":"named","vector":"v"},"limit":5,"with_payload":true}';
    const wanted = await ok(direct('POST', '/collections/elsewhere/points/query', body));
    const others = restRewriter([await servedAs('renamed', 'named-two-stage')]);
    const renamed = body.replace('named', 'renamed');
    const got = await ok(through(others, 'POST', '/collections/elsewhere/points/query', renamed));
    expect(comparable(got)).toEqual(comparable(wanted));
  });

  test('ids of results are those of the original', async () => {
    const body = `{"vector":${vector(0)},"limit":5}`;
    const ids = async (answer: Promise<Answer>): Promise<unknown> =>
      twoStage.resultIds(Buffer.from((await answer).text));
    const wanted = await ids(direct('POST', '/collections/docs/points/search', body));
    expect(await ids(through(twoStage, 'POST', '/collections/docs/points/search', body))).toEqual(wanted);
    expect(wanted).toHaveLength(1);
  });
});

describe('compact answers', () => {
  const projected = (i: number): string => `[${[...encoder.project(gatherRows(queries, [i])).data].join()}]`;

  test.each([
    ['nearest', 'docs/points/query', (v: string) => `{"query":${v},"limit":10}`],
    ['named', 'named/points/query', (v: string) => `{"query":{"nearest":${v}},"using":"v","limit":3}`],
    ['search', 'docs/points/search', (v: string) => `{"vector":${v},"limit":10}`],
    [
      'groups',
      'docs/points/search/groups',
      (v: string) => `{"vector":${v},"limit":3,"group_by":"shelf","group_size":2}`,
    ],
    ['recommend', 'docs/points/recommend', (v: string) => `{"positive":[${v},3],"limit":10}`],
    [
      'fusion',
      'named/points/query',
      (v: string) =>
        `{"prefetch":[{"query":${v},"using":"v"},{"query":[1,2,3],"using":"other"}],"query":{"fusion":"rrf"},"limit":30}`,
    ],
  ] as const)('%s: those to the projected vectors', async (_, path, body) => {
    const got = await ok(through(compact, 'POST', `/collections/${path}`, body(vector(0))));
    const target = path.replace(/^\w+/, '$&-compact');
    expect(comparable(got)).toEqual(
      comparable(await ok(direct('POST', `/collections/${target}`, body(projected(0))))),
    );
  });

  test('vectors of another collection are fetched and projected', async () => {
    const body = '{"query":11,"lookup_from":{"collection":"elsewhere","vector":"z"},"limit":5}';
    const got = (await ok(through(compact, 'POST', '/collections/docs/points/query', body))) as {
      points: { id: number }[];
    };
    expect(got.points[0]?.id).toBe((11 * 7) % ROWS);
  });

  test('full vectors are refused, others given', async () => {
    for (const [method, path, body] of [
      ['POST', 'docs/points/scroll', '{"with_vector":true}'],
      ['POST', 'named/points', '{"ids":[1],"with_vector":["v"]}'],
      ['GET', 'docs/points/1', ''],
    ] as const) {
      const { status, text } = await through(compact, method, `/collections/${path}`, body);
      expect(status).toBe(400);
      expect(text).toContain('are not stored');
    }
    const body = '{"ids":[1],"with_vector":["other"]}';
    const got = await ok(through(compact, 'POST', '/collections/named/points', body));
    expect(comparable(got)).toEqual(comparable(await ok(direct('POST', '/collections/named/points', body))));
  });
});

describe('conditions on vectors', () => {
  test('change nothing where they name the hidden one', async () => {
    const none = having('compact');
    for (const [path, body] of [
      ['points/delete?wait=true', `{${none}}`],
      ['points/payload?wait=true', `{"payload":{"seen":true},${none}}`],
      ['points/payload/clear?wait=true', `{${none}}`],
      ['points/vectors/delete?wait=true', `{"vector":[""],${none}}`],
      ['points/batch?wait=true', `{"operations":[{"delete":{${none}}}]}`],
    ] as const)
      expect(await ok(through(twoStage, 'POST', `/collections/docs/${path}`, body))).toBeDefined();
    const all = `{${having('')},"limit":${ROWS},"with_payload":true,"with_vector":true}`;
    const scroll = '/collections/docs/points/scroll';
    const got = await ok(through(twoStage, 'POST', scroll, all));
    expect(comparable(got)).toEqual(comparable(await ok(direct('POST', scroll, all))));
  });

  test.each([
    ['docs', ''],
    ['named', 'v'],
  ])('mean the compact vector in the compact layout, %s', async (name, vectorName) => {
    const url = `/collections/${name}/points/count`;
    for (const asked of [vectorName, 'compact', 'nope']) {
      const body = `{${having(asked)},"exact":true}`;
      expect(await ok(through(compact, 'POST', url, body))).toEqual(await ok(direct('POST', url, body)));
    }
  });
});

describe('writes', () => {
  /** The compact vector of a point and what it should be; null where there is none. */
  async function stored(collection: string, name: string, id: number): Promise<number[] | null> {
    const body = `{"ids":[${id}],"with_vector":["${name}"]}`;
    const [point] = (await ok(direct('POST', `/collections/${collection}/points`, body))) as {
      vector: number[] | Record<string, number[]>;
    }[];
    const found = Array.isArray(point?.vector) ? point.vector : point?.vector[name];
    return found ?? null;
  }

  function wanted(i: number): number[] {
    const values = [...encoder.project(gatherRows(queries, [i])).data];
    const norm = Math.hypot(...values);
    return values.map((value) => value / norm);
  }

  test.each([
    ['two-stage', 'docs', '', 'compact'],
    ['two-stage', 'named', 'v', 'compact'],
    ['compact', 'docs', '', ''],
    ['compact', 'named', 'v', 'v'],
  ] as const)(
    '%s, %s: every form keeps both vectors of a point together',
    async (layout, name, full, hidden) => {
      const rewriter = layout === 'compact' ? compact : twoStage;
      const target = `${name}-${layout}`;
      const send = (method: string, path: string, body: string): Promise<unknown> =>
        ok(through(rewriter, method, `/collections/${name}/points${path}?wait=true`, body));
      const one = (i: number): string => (full === '' ? vector(i) : `{"${full}":${vector(i)}}`);
      const check = async (id: number, i: number | null): Promise<void> => {
        const compactVector = await stored(target, hidden, id);
        if (i === null) expect(compactVector).toBeNull();
        else wanted(i).forEach((value, at) => expect(compactVector?.[at]).toBeCloseTo(value, 5));
        if (layout === 'two-stage') expect((await stored(target, full, id)) === null).toBe(i === null);
      };
      await send(
        'PUT',
        '',
        `{"points":[{"id":1000,"vector":${one(0)}},[1001,{"${full}":${vector(1)}},{"a":1}]]}`,
      );
      await check(1000, 0);
      await check(1001, 1);
      const list = `[${vector(2)},${vector(3)}]`;
      const vectors = full === '' ? list : `{"${full}":${list}}`;
      await send('PUT', '', `{"batch":{"ids":[1002,1003],"vectors":${vectors}}}`);
      await check(1002, 2);
      await check(1003, 3);
      await send('PUT', '/vectors', `{"points":[{"id":1000,"vectors":${one(4)}},[1001,${one(5)}]]}`);
      await check(1000, 4);
      await check(1001, 5);
      await send('POST', '/vectors/delete', `{"points":[1000],"vector":["${full}"]}`);
      await check(1000, null);
      await send(
        'POST',
        '/batch',
        `{"operations":[{"upsert":{"points":[{"id":1004,"vector":${one(6)}}]}},{"update_vectors":{"points":[{"id":1000,"vector":${one(7)}}]}},{"delete_vectors":{"points":[1001],"vector":["${full}"]}}]}`,
      );
      await check(1004, 6);
      await check(1000, 7);
      await check(1001, null);
      await send('PUT', '', '{"points":[{"id":1005,"vector":{}}]}');
      await check(1005, null);
      await send('POST', '/delete', '{"points":[1000,1001,1002,1003,1004,1005]}');
    },
  );
});

describe('refusals', () => {
  const plain = ({ status, text }: Answer): string => `${status} ${text.replace(/"time":[^}]*/, '"time":0')}`;

  test('of the target under its own name are those of a collection that does not exist', async () => {
    const wanted = plain(await direct('GET', '/collections/nope')).replace('nope', 'docs-two-stage');
    expect(plain(await through(twoStage, 'GET', '/collections/docs-two-stage'))).toBe(wanted);
  });
});

describe('the collection', () => {
  interface Info {
    readonly config: { readonly params: { readonly vectors: unknown }; readonly [part: string]: unknown };
    readonly indexed_vectors_count: number;
  }

  test.each([
    ['two-stage', 'docs'],
    ['two-stage', 'named'],
    ['compact', 'docs'],
    ['compact', 'named'],
  ] as const)('%s, %s: is described as the original', async (layout, name) => {
    const rewriter = layout === 'compact' ? compact : twoStage;
    const got = (await ok(through(rewriter, 'GET', `/collections/${name}`))) as Info;
    const wanted = (await ok(direct('GET', `/collections/${name}`))) as Info;
    expect({ ...got.config, metadata: null }).toEqual({ ...wanted.config, metadata: null });
    expect(JSON.stringify(got.config.params.vectors)).toBe(JSON.stringify(wanted.config.params.vectors));
    expect(got.config['metadata']).toMatchObject({ tldr: { layout, outputDim: COMPACT_DIM } });
    expect(got.indexed_vectors_count).toBe(wanted.indexed_vectors_count);
  });

  test('is listed once, under the name clients know', async () => {
    const got = (await ok(through(twoStage, 'GET', '/collections'))) as { collections: { name: string }[] };
    const names = got.collections.map(({ name }) => name).sort();
    expect(names).toEqual(['docs', 'docs-compact', 'elsewhere', 'named', 'named-compact']);
  });

  test('takes settings of its vector for what is searched', async () => {
    await ok(through(twoStage, 'PATCH', '/collections/named', '{"vectors":{"v":{"hnsw_config":{"m":31}}}}'));
    const { config } = (await ok(direct('GET', '/collections/named-two-stage'))) as Info;
    expect(config.params.vectors).toMatchObject({
      v: { hnsw_config: { m: 0 } },
      compact: { hnsw_config: { m: 31 } },
    });
  });

  test('is deleted under its target', async () => {
    await ok(direct('PUT', '/collections/doomed-target', '{"vectors":{"size":2,"distance":"Dot"}}'));
    const rewriter = restRewriter([
      {
        names: ['doomed'],
        target: 'doomed-target',
        layout: 'compact',
        vector: '',
        compact: '',
        distance: 'dot',
        inputDim: 1,
        outputDim: 2,
        componentBytes: 4,
        visibleVectors: [''],
        oversampling: 1,
        candidatesMax: 1,
        allowsExact: true,
        scoreThreshold: 'pass',
        vectorAnswers: 'refuse',
        projector: {
          inputDim: 1,
          outputDim: 2,
          fingerprint: 'x',
          project: (x: Matrix) => x,
          projectQueries: (x: Matrix) => x,
        },
      },
    ]);
    // What it was made from would come to light, and be deleted next.
    await ok(direct('PUT', '/collections/doomed', '{"vectors":{"size":1,"distance":"Dot"}}'));
    const refused = await through(rewriter, 'DELETE', '/collections/doomed');
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('`doomed` stands under its name');
    await ok(direct('DELETE', '/collections/doomed'));
    await ok(direct('PUT', '/collections/doomed-original', '{"vectors":{"size":1,"distance":"Dot"}}'));
    const alias = (collection: string): string =>
      `{"actions":[{"create_alias":{"alias_name":"doomed","collection_name":"${collection}"}}]}`;
    await ok(direct('POST', '/collections/aliases', alias('doomed-original')));
    expect((await through(rewriter, 'DELETE', '/collections/doomed')).status).toBe(400);
    await ok(direct('POST', '/collections/aliases', alias('doomed-target')));
    expect((await direct('GET', '/collections/doomed-target')).status).toBe(200);
    expect(await ok(through(rewriter, 'DELETE', '/collections/doomed'))).toBe(true);
    expect((await direct('GET', '/collections/doomed-target')).status).toBe(404);
  });
});
