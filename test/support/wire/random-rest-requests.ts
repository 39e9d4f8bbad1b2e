import fc from 'fast-check';
import type { Layout } from '../../../src/store/collection.js';
import { INPUT_DIM, OUTPUT_DIM } from './collections-fixture.js';
import { restCases } from './stored-cases.js';

/** Components of generated full vectors; nothing else in a body is that large. */
const COMPONENT = { min: 1_000, max: 2_000 };

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const vector = fc.array(fc.double({ ...COMPONENT, noNaN: true }), {
  minLength: INPUT_DIM,
  maxLength: INPUT_DIM,
});
const id = fc.oneof(fc.nat({ max: 900 }), fc.uuid());
const input: fc.Arbitrary<Json> = fc.oneof({ weight: 3, arbitrary: vector }, { weight: 2, arbitrary: id });

/** What clients send by mistake where a vector belongs. */
const odd: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(null, true, -1, 1.5, '', 'x', [], {}, [[]], [1, 'x'], { text: 'x', model: 'm' }),
  fc.constantFrom({ indices: [1], values: [2] }, [[1], [0.5]], { nearest: null }, ['x', 'm']),
  vector.map((one) => [one]),
  vector.map((one) => [...one, 1_500]),
  vector.map((one) => [one, { diversity: 0.5 }]),
  vector.map((one) => ({ nearest: one, fusion: 'rrf' })),
  vector.map((one) => ({ nearest_to: one })),
  vector.map((one) => ({ text: 'x', model: 'm', '': one })),
  vector.map((one) => ({ vector: one })),
);

function mostly(sane: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  return fc.oneof({ weight: 40, arbitrary: sane }, { weight: 1, arbitrary: odd });
}

/** One of the first, and seldom one of the others, which are refused. */
function seldom(sane: readonly Json[], refused: readonly Json[]): fc.Arbitrary<Json> {
  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...sane) },
    { weight: 1, arbitrary: fc.constantFrom(...refused) },
  );
}

function list(one: fc.Arbitrary<Json>, maxLength = 3): fc.Arbitrary<Json> {
  return fc.array(one, { maxLength });
}

/** Objects of most of these fields, in any order. */
function most(fields: Readonly<Record<string, fc.Arbitrary<Json>>>): fc.Arbitrary<Json> {
  const made = Object.entries(fields).map(([name, value]) => fc.tuple(fc.constant(name), value, fc.nat(3)));
  return fc
    .tuple(...made)
    .map((all) => all.filter(([, , kept]) => kept > 0).map(([name, value]): [string, Json] => [name, value]))
    .chain((entries) => fc.shuffledSubarray(entries, { minLength: entries.length }))
    .map((entries): Json => Object.fromEntries(entries));
}

const pair = fc.oneof(
  most({ positive: mostly(input), negative: mostly(input) }),
  fc.tuple(mostly(input), mostly(input)) as fc.Arbitrary<Json>,
);
const context = fc.oneof(pair, list(pair));
const examples = { positive: list(mostly(input)), negative: list(mostly(input)) };
const strategy = fc.constantFrom<Json>('average_vector', 'best_score', null);
const query: fc.Arbitrary<Json> = fc.oneof(
  mostly(input),
  mostly(input).map((nearest) => ({ nearest })),
  mostly(input).map((nearest) => ({ nearest, mmr: { diversity: 0.5, candidates_limit: 7 } })),
  most({ ...examples, strategy }).map((recommend) => ({ recommend })),
  most({ target: mostly(input), context }).map((discover) => ({ discover })),
  context.map((one) => ({ context: one })),
  fc.constantFrom<Json>({ fusion: 'rrf' }, { sample: 'random' }, { order_by: 'n' }, { formula: 1 }, null),
);
const count = fc.oneof(fc.nat(200), fc.constantFrom<Json>(2 ** 53, 1e30, -3, 0.5, '7', null));
const filter = vector.map((one): Json => ({ must: [{ key: 'query', match: { any: one } }] }));
const stage = {
  query,
  using: seldom(['', null], ['compact', 5]),
  filter,
  params: seldom([{ hnsw_ef: 9 }, { exact: true }, [9, true], null], ['x']),
  score_threshold: fc.constantFrom<Json>(0.5, null),
  limit: count,
  lookup_from: seldom(
    [null, { collection: 'docs' }, { collection: 'twin', vector: '' }, ['twin', null, null]],
    [{ collection: 'docs_t' }, 3],
  ),
};
const prefetch = fc.letrec<{ readonly prefetch: Json }>((tie) => ({
  prefetch: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    most(stage),
    most({ ...stage, prefetch: fc.oneof(tie('prefetch'), list(tie('prefetch'))) }),
    fc
      .tuple(mostly(input), fc.constantFrom<Json>('', null), count)
      .map(([one, using, limit]): Json => [null, one, using, null, null, null, limit, null]),
  ),
})).prefetch;
const selection = seldom([false, []], [true, [''], ['compact'], 'x', 5]);
const results = {
  offset: count,
  with_payload: fc.boolean(),
  with_vector: selection,
  with_lookup: seldom(['twin', { collection: 'twin', with_vectors: false }, 'elsewhere'], [5]),
  unknown: fc.constantFrom<Json>({ a: [1] }, 1e300),
  group_by: fc.constantFrom<Json>('g', 5),
  group_size: count,
};
const fullQuery = most({ ...stage, ...results, prefetch: fc.oneof(prefetch, list(prefetch)) });
const named = mostly(vector).map((one): Json => ({ '': one }));
const legacy = {
  filter,
  params: stage.params,
  limit: count,
  using: stage.using,
  lookup_from: stage.lookup_from,
};
const search = most({
  ...legacy,
  ...results,
  vector: fc.oneof(
    mostly(vector),
    mostly(vector).map((one): Json => ({ name: '', vector: one })),
    named,
  ),
});
const recommend = most({ ...legacy, ...results, ...examples, strategy });
const discover = most({ ...legacy, ...results, target: mostly(input), context });
const payload = vector.map((one): Json => ({ vector: one, a: { points: [one] } }));
const pointVector = fc.oneof(mostly(vector), named, fc.constant<Json>({}));
const point = fc.oneof(
  most({ id, vector: pointVector, payload }),
  most({ id, vectors: pointVector, payload }),
  fc.tuple(id, pointVector, payload) as fc.Arbitrary<Json>,
);
const vectors = fc.oneof(
  list(mostly(vector)),
  list(mostly(vector)).map((one): Json => ({ '': one })),
);
const upsert = fc.oneof(
  most({ points: list(point) }),
  most({ batch: most({ ids: list(id), vectors, payloads: list(payload) }), points: fc.constant([]) }),
);
const update = most({ points: list(most({ id, vector: pointVector })) });
const operations = list(
  fc.oneof(
    upsert.map((one): Json => ({ upsert: one })),
    update.map((one): Json => ({ update_vectors: one })),
    payload.map((one): Json => ({ set_payload: { payload: one, points: [1] } })),
    upsert.map((one): Json => ({ upsert: one, delete: { points: [1] } })),
    upsert.map((one): Json => [one]),
  ),
);

function searches(one: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  return list(one).map((all): Json => ({ searches: all }));
}

const ENDPOINTS: readonly (readonly [string, string, fc.Arbitrary<Json>])[] = [
  ['POST', 'points/query', fullQuery],
  ['POST', 'points/query/groups', fullQuery],
  ['POST', 'points/query/batch', searches(fullQuery)],
  ['POST', 'points/search', search],
  ['POST', 'points/search/groups', search],
  ['POST', 'points/search/batch', searches(search)],
  ['POST', 'points/recommend', recommend],
  ['POST', 'points/recommend/batch', searches(recommend)],
  ['POST', 'points/discover', discover],
  ['POST', 'points/discover/batch', searches(discover)],
  ['PUT', 'points', upsert],
  ['PUT', 'points/vectors', update],
  ['POST', 'points/batch', operations.map((one): Json => ({ operations: one }))],
];

/** Requests below a served collection, mostly sane, odd where a vector belongs. */
export const anyRestRequest = fc
  .constantFrom(...ENDPOINTS)
  .chain(([method, path, body]) => body.map((made) => ({ method, path, text: JSON.stringify(made) })));

/** Endpoints whose bodies hold conditions at most: what is no JSON there is the server's to refuse. */
export const WITHOUT_VECTORS = /\/(points\/(count|delete|payload(\/\w+)?)|facet|cluster)(\?|$)/;

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number');
}

function isFull(value: unknown): boolean {
  return isNumbers(value) && value.length >= INPUT_DIM && value.every((item) => item >= COMPONENT.min);
}

/** Every value of a body with the way to it, payloads and filters left out: they are the client's own. */
function* walk(
  value: unknown,
  way: readonly string[] = [],
): Generator<readonly [unknown, readonly string[]]> {
  yield [value, way];
  if (isNumbers(value) || typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value))
    if (key !== 'payload' && key !== 'payloads' && key !== 'filter') yield* walk(inner, [...way, key]);
}

/** Of a point written: its payload, where an array holds it without a name, or a vector of another name. */
function isNotReduced(way: readonly string[]): boolean {
  const point = way.indexOf('points');
  if (point < 0) return false;
  const name = way[point + 3];
  return way[point + 2] === '2' || (name !== undefined && name !== '' && !/^\d+$/.test(name));
}

/**
 * Where a vector of full size stands in the compact space of what was sent, or one that was not projected, and where
 * one of the two vectors of a point is missing: written independently of the rewriter, to check it.
 */
export function misplacedIn(layout: Layout, text: string): readonly string[] {
  return layout === 'compact' ? fullIn(text) : mixedIn(text);
}

function fullIn(text: string): readonly string[] {
  // A search of a vector that does not exist there is the server's to refuse.
  if (text.includes('"using":"compact"')) return [];
  return [...walk(JSON.parse(text))]
    .filter(([value, way]) => isFull(value) && !isNotReduced(way))
    .map(([, way]) => way.join('.'));
}

function mixedIn(text: string): readonly string[] {
  const found: string[] = [];
  for (const [value, way] of walk(JSON.parse(text))) {
    if (typeof value !== 'object' || value === null || isNotReduced(way)) continue;
    const fields = new Map<string, unknown>(Object.entries(value));
    if (fields.get('using') === 'compact')
      for (const [inner, below] of walk(fields.get('query'), [...way, 'query']))
        if (isFull(inner)) found.push(below.join('.'));
    if (!way.includes('points') && !way.includes('batch')) continue;
    const [full, compact] = [fields.get(''), fields.get('compact')];
    if ((compact === undefined) !== (full === undefined || isEmpty(full))) found.push(way.join('.'));
    for (const [inner, below] of walk(compact, [...way, 'compact']))
      if (isNumbers(inner) && inner.length !== OUTPUT_DIM) found.push(below.join('.'));
  }
  return found;
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

interface Seed {
  readonly request: string;
  readonly body?: string;
}

/** Bodies that are nearly right: stored cases with bytes left out, doubled, changed or put in. */
export const brokenRestRequest = fc
  .record({
    seed: fc.constantFrom(...seeds()),
    from: fc.nat(),
    length: fc.nat(30),
    to: fc.nat(),
    put: fc.oneof(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '\\',
        '\\u00',
        'null',
        '1e999',
        '-',
        '[1,2,5,3]',
        '"query":',
      ),
      fc.constantFrom('['.repeat(500), '{"a":'.repeat(200), `${'9'.repeat(400)},`),
    ),
    kind: fc.constantFrom('cut', 'double', 'put', 'end', 'byte'),
  })
  .map(({ seed, from, length, to, put, kind }) => {
    const body = Buffer.from(seed.body ?? '');
    const at = from % (body.length + 1);
    const part = body.subarray(at, at + length);
    const other = to % (body.length + 1);
    const pieces = {
      cut: [body.subarray(0, at), body.subarray(at + length)],
      double: [body.subarray(0, other), part, body.subarray(other)],
      put: [body.subarray(0, at), Buffer.from(put), body.subarray(at)],
      end: [body.subarray(0, at)],
      byte: [body.subarray(0, at), Buffer.of(to % 256), body.subarray(at + 1)],
    }[kind];
    return { request: seed.request, body: Buffer.concat(pieces) };
  });

function seeds(): readonly Seed[] {
  return restCases().filter(({ body }) => body !== undefined);
}
