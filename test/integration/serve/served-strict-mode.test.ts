import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { FULL, SMALL } from '../../support/collection-settings/compare-settings-through-proxy.js';
import {
  startSettingsPlace,
  targetOf,
  TRANSPORTS,
  type Answer,
  type Fields,
  type Side,
  type SettingsPlace,
  type Transport,
} from '../../support/collection-settings/migrate-and-serve.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const NO_EXACT = { strict_mode_config: { enabled: true, search_allow_exact: false } };
/** As many as there are points: first-stage results are complete then. */
const ALL = 40;

let place: SettingsPlace;

beforeAll(async () => {
  const vectors = { text: FULL, other: SMALL };
  place = await startSettingsPlace([
    { name: 'forbids', vector: 'text', body: { vectors, ...NO_EXACT } },
    { name: 'unnamed', vector: '', body: { vectors: FULL, ...NO_EXACT } },
    { name: 'compact', vector: 'text', layout: 'compact', body: { vectors, ...NO_EXACT } },
    {
      name: 'off',
      vector: 'text',
      body: { vectors, strict_mode_config: { enabled: false, search_allow_exact: false } },
    },
    {
      name: 'tenants',
      vector: 'text',
      body: { vectors: { text: { ...FULL, hnsw_config: { m: 0, payload_m: 16 } } }, ...NO_EXACT },
    },
    ...['later', 'limited'].map((name) => ({ name, vector: 'text', body: { vectors } })),
  ]);
  for (const name of ['forbids', 'later', targetOf('forbids'), targetOf('later')])
    await place.direct.rest('PUT', `${name}/index?wait=true`, {
      field_name: 'kind',
      field_schema: 'keyword',
    });
  for (const name of ['tenants', targetOf('tenants')])
    await place.direct.rest('PUT', `${name}/index?wait=true`, {
      field_name: 'kind',
      field_schema: { type: 'keyword', is_tenant: true },
    });
});

afterAll(() => place.stop());

/** The same request on either transport: a path below the collection with its body, and a method with its message. */
interface Asked {
  readonly what: string;
  readonly rest: readonly [string, object];
  readonly grpc: readonly [string, Fields];
}

const VECTOR = Array.from({ length: 32 }, (_, i) => Math.cos(i * i + 1));
const EXACT = { params: { exact: true } };
const nearest = { nearest: { dense: { data: VECTOR } } };
const group = { rest: { group_by: 'kind', group_size: 2 }, grpc: { groupBy: 'kind', groupSize: 2 } };

/** A nearest search of the reduced vector, as the query or one of its prefetches. */
const search = { rest: { query: VECTOR, using: 'text' }, grpc: { query: nearest, using: 'text' } };

function query(what: string, rest: object, grpc: Fields): Asked {
  return { what, rest: ['points/query', rest], grpc: ['Points/Query', grpc] };
}

function both(what: string, extra: { readonly rest: object; readonly grpc: Fields } | Fields): Asked {
  const parts = 'rest' in extra ? (extra as { rest: object; grpc: Fields }) : { rest: extra, grpc: extra };
  return query(what, { ...search.rest, ...parts.rest }, { ...search.grpc, ...parts.grpc });
}

const inner = (extra: object): { readonly rest: object; readonly grpc: Fields } => ({
  rest: { prefetch: { ...search.rest, limit: 4, ...extra } },
  grpc: { prefetch: [{ ...search.grpc, limit: 4, ...extra }] },
});

const EXACTLY: readonly Asked[] = [
  both('a search', { ...EXACT, limit: 3 }),
  both('a prefetch', inner(EXACT)),
  both('a prefetch of a prefetch', {
    rest: { prefetch: [{ ...search.rest, limit: 4, ...inner(EXACT).rest }] },
    grpc: { prefetch: [{ ...search.grpc, limit: 4, ...inner(EXACT).grpc }] },
  }),
  query(
    'a fusion',
    { ...inner({}).rest, ...EXACT, query: { fusion: 'rrf' } },
    { ...inner({}).grpc, ...EXACT, query: { fusion: 'RRF' } },
  ),
  query('points in order', { ...EXACT }, { ...EXACT }),
  query(
    'another vector',
    { query: VECTOR.slice(0, 4), using: 'other', ...EXACT },
    {
      query: { nearest: { dense: { data: VECTOR.slice(0, 4) } } },
      using: 'other',
      ...EXACT,
    },
  ),
  {
    what: 'one of a batch',
    rest: ['points/query/batch', { searches: [search.rest, { ...search.rest, ...EXACT }] }],
    grpc: ['Points/QueryBatch', { queryPoints: [search.grpc, { ...search.grpc, ...EXACT }] }],
  },
  {
    what: 'groups',
    rest: ['points/query/groups', { ...search.rest, ...group.rest, ...EXACT }],
    grpc: ['Points/QueryGroups', { ...search.grpc, ...group.grpc, ...EXACT }],
  },
  {
    what: 'an older search',
    rest: ['points/search', { vector: { name: 'text', vector: VECTOR }, limit: 3, ...EXACT }],
    grpc: ['Points/Search', { vector: VECTOR, vectorName: 'text', limit: 3, ...EXACT }],
  },
  {
    what: 'an older search for groups',
    rest: [
      'points/search/groups',
      { vector: { name: 'text', vector: VECTOR }, limit: 3, ...group.rest, ...EXACT },
    ],
    grpc: ['Points/SearchGroups', { vector: VECTOR, vectorName: 'text', limit: 3, ...group.grpc, ...EXACT }],
  },
  {
    what: 'an older recommendation',
    rest: ['points/recommend', { positive: [1], using: 'text', limit: 3, ...EXACT }],
    grpc: ['Points/Recommend', { positive: [{ num: 1 }], using: 'text', limit: 3, ...EXACT }],
  },
  {
    what: 'an older recommendation of groups',
    rest: ['points/recommend/groups', { positive: [1], using: 'text', limit: 3, ...group.rest, ...EXACT }],
    grpc: [
      'Points/RecommendGroups',
      { positive: [{ num: 1 }], using: 'text', limit: 3, ...group.grpc, ...EXACT },
    ],
  },
  {
    what: 'an older discovery',
    rest: ['points/discover', { target: 1, using: 'text', limit: 3, ...EXACT }],
    grpc: ['Points/Discover', { target: { single: { id: { num: 1 } } }, using: 'text', limit: 3, ...EXACT }],
  },
  { what: 'a count', rest: ['points/count', {}], grpc: ['Points/Count', {}] },
  {
    what: 'an exact count',
    rest: ['points/count', { exact: true }],
    grpc: ['Points/Count', { exact: true }],
  },
];

const fused = {
  rest: {
    prefetch: [inner({ limit: 5 }).rest, inner({ limit: 3 }).rest].map((one) => ({
      ...search.rest,
      limit: 4,
      ...one,
    })),
  },
  grpc: {
    prefetch: [inner({ limit: 5 }).grpc, inner({ limit: 3 }).grpc].map((one) => ({
      ...search.grpc,
      limit: 4,
      ...one,
    })),
  },
};

const ANSWERED: readonly Asked[] = [
  both('a search', { limit: 4 }),
  both('a search that is not to be exact', { limit: 4, params: { exact: false } }),
  both('a prefetch', { ...inner({}) }),
  query(
    'a fusion',
    { ...inner({}).rest, query: { fusion: 'rrf' } },
    { ...inner({}).grpc, query: { fusion: 'RRF' } },
  ),
  query(
    'a fusion of nested prefetches',
    { ...fused.rest, query: { fusion: 'rrf' } },
    {
      ...fused.grpc,
      query: { fusion: 'RRF' },
    },
  ),
  both('a page', { limit: 4, offset: 4 }),
  {
    // The server does not look at the prefetches of a request for groups.
    what: 'groups of an exact prefetch',
    rest: ['points/query/groups', { ...search.rest, ...group.rest, ...inner(EXACT).rest }],
    grpc: ['Points/QueryGroups', { ...search.grpc, ...group.grpc, ...inner(EXACT).grpc }],
  },
  {
    what: 'an older search',
    rest: ['points/search', { vector: { name: 'text', vector: VECTOR }, limit: 4 }],
    grpc: ['Points/Search', { vector: VECTOR, vectorName: 'text', limit: 4 }],
  },
  {
    what: 'a rough count',
    rest: ['points/count', { exact: false }],
    grpc: ['Points/Count', { exact: false }],
  },
  { what: 'a facet', rest: ['facet', { key: 'kind' }], grpc: ['Points/Facet', { key: 'kind' }] },
];

/** Over gRPC the server does not look whether a facet is exact. */
const FACET: Asked = {
  what: 'an exact facet',
  rest: ['facet', { key: 'kind', exact: true }],
  grpc: ['Points/Facet', { key: 'kind', exact: true }],
};

async function ask(
  side: Side,
  transport: Transport,
  { name, asked }: { readonly name: string; readonly asked: Asked },
): Promise<Answer> {
  const [path, body] = asked.rest;
  if (transport === 'REST') return side.rest('POST', `${name}/${path}`, body);
  const [method, message] = asked.grpc;
  const batch = Array.isArray(message['queryPoints'])
    ? { queryPoints: message['queryPoints'].map((one: Fields) => ({ ...one, collectionName: name })) }
    : {};
  const { ok, content } = await side.call(method, { ...message, ...batch, collectionName: name });
  return { ok, content: ok ? (content as Fields)['result'] : content };
}

/** An answer without the points' versions, which count requests to the collection. */
function comparable(answer: Answer): unknown {
  return JSON.parse(JSON.stringify(answer, (key, value: unknown) => (key === 'version' ? undefined : value)));
}

/** Asks the original and the served collection: equal answers, of this kind. */
async function same(transport: Transport, name: string, asked: Asked, ok: boolean): Promise<void> {
  const [original, served] = [
    await ask(place.direct, transport, { name, asked }),
    await ask(place.served, transport, { name, asked }),
  ];
  expect(original.ok).toBe(ok);
  expect(comparable(served)).toEqual(comparable(original));
}

describe.each(TRANSPORTS)(
  'a two-stage target of a collection without exact searches, over %s',
  (transport) => {
    test.each(EXACTLY.map((asked) => [asked.what, asked] as const))('%s is refused', (_, asked) =>
      same(transport, 'forbids', asked, false),
    );

    test('an exact facet is refused over REST alone', () =>
      same(transport, 'forbids', FACET, transport === 'gRPC'));

    test.each(ANSWERED.map((asked) => [asked.what, asked] as const))('%s is answered', (_, asked) =>
      same(transport, 'forbids', asked, true),
    );

    test('a search by tenants alone is answered where the vector has no graph', () => {
      const others = { match: { value: 'another' }, key: 'kind' };
      const filters = {
        rest: { filter: { must_not: [others] }, limit: 4 },
        grpc: { filter: { mustNot: [{ field: { ...others, match: { keyword: 'another' } } }] }, limit: 4 },
      };
      return same(transport, 'tenants', both('a search', filters), true);
    });

    test.each(['forbids', 'unnamed', 'compact', 'off'])(
      'the description of %s is that of the original',
      async (name) => {
        const [original, served] = [
          await place.direct.describe(transport, name),
          await place.served.describe(transport, name),
        ];
        expect(served).toEqual(original);
      },
    );
  },
);

const count: Asked = { what: 'a count', rest: ['points/count', {}], grpc: ['Points/Count', {}] };

test('strict mode that is off refuses nothing, until it is switched on', async () => {
  await same('REST', 'off', count, true);
  for (const side of [place.direct, place.served])
    expect(await side.update('REST', 'off', { strict_mode_config: { enabled: true } })).toMatchObject({
      ok: true,
    });
  for (const transport of TRANSPORTS) {
    await same(transport, 'off', count, false);
    await same(transport, 'off', both('a prefetch', inner({})), true);
  }
});

test('limits are known that are off only for a write of the migration', async () => {
  const target = targetOf('forbids');
  const lift = { strict_mode_config: { enabled: false }, metadata: { 'tldr-lifted': true } };
  await place.direct.rest('PATCH', target, lift);
  expect(await place.served.rest('PATCH', 'forbids', { metadata: { mine: 1 } })).toMatchObject({ ok: true });
  const restore = { strict_mode_config: { enabled: true }, metadata: { 'tldr-lifted': null } };
  await place.direct.rest('PATCH', target, restore);
  await same('REST', 'forbids', count, false);
});

describe.each(TRANSPORTS)(
  'settings that a client changes over %s take effect with the answer',
  (transport) => {
    const update = async (name: string, limits: Fields): Promise<void> => {
      const snake = { strict_mode_config: { enabled: true, ...limits } };
      const camel = Object.entries(limits).map(([key, value]) => [
        key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
        value,
      ]);
      const message = { strictModeConfig: { enabled: true, ...(Object.fromEntries(camel) as Fields) } };
      for (const side of [place.direct, place.served])
        expect(await side.update(transport, name, transport === 'REST' ? snake : message)).toEqual({
          ok: true,
          content: true,
        });
      for (const shownOver of TRANSPORTS)
        expect(await place.served.describe(shownOver, name)).toEqual(
          await place.direct.describe(shownOver, name),
        );
    };

    test('exact searches are forbidden, and allowed again', async () => {
      for (const isAllowed of [false, true, false]) {
        await update('later', { search_allow_exact: isAllowed });
        for (const over of TRANSPORTS) {
          await same(over, 'later', count, isAllowed);
          await same(over, 'later', both('a search', { ...EXACT, limit: 3 }), isAllowed);
          await same(over, 'later', both('a prefetch', inner({})), true);
        }
      }
    });

    test('a search may have fewer results', async () => {
      for (const limit of [5, ALL, 7]) {
        await update('limited', { max_query_limit: limit });
        for (const over of TRANSPORTS) {
          await same(over, 'limited', both('a search', { limit: limit + 1 }), false);
          const { ok } = await ask(place.served, over, {
            name: 'limited',
            asked: both('a search', { limit }),
          });
          expect(ok).toBe(true);
        }
      }
    });
  },
);
