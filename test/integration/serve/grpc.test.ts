import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { row } from '../../../src/core/matrix.js';
import { invalidRequests, searches } from '../../support/serve/serve-grpc-requests.js';
import {
  ROWS,
  SOURCES,
  startServed,
  type Answer,
  type Ask,
  type ServedTest,
  type Source,
} from '../../support/serve/serve-grpc-fixture.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

let served: ServedTest;
/** Both sources, each served from its target of one layout. */
let twoStage: Ask;
let compact: Ask;

beforeAll(async () => {
  served = await startServed();
  twoStage = served.through([served.served('plain', 'two-stage'), served.served('named', 'two-stage')]);
  compact = served.through([served.served('plain', 'compact'), served.served('named', 'compact')]);
});

afterAll(async () => {
  await served.stop();
});

/** Every 20th point lacks the vector. */
const ROWS_WITH_VECTOR = (ROWS / 20) * 19;

const vector = (i: number): number[] => [...row(served.queries, i)];

interface Hit {
  readonly id: unknown;
  readonly score?: number;
}

/** Points of one score, which come in any order, by id; of the last score any may be left out, so they only count. */
function untied(answer: Answer): unknown {
  return JSON.parse(JSON.stringify(answer), (key, value: unknown) => {
    if (key !== 'result' && key !== 'hits') return value;
    const hits = value as Hit[];
    if (!Array.isArray(hits) || hits.some(({ id }) => id === undefined)) return value;
    const last = hits.at(-1)?.score;
    const tiedAtEnd = hits.filter(({ score }) => score === last).length > 1 && hits.length < ROWS_WITH_VECTOR;
    return hits
      .map((hit) => (tiedAtEnd && hit.score === last ? { score: hit.score } : hit))
      .sort((a, b) => (b.score ?? 0) - (a.score ?? 0) || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  });
}

/** Requests with a condition, by the vector searched. */
const CONDITIONED: readonly (readonly [string, (condition: JsonObject, using: string) => JsonObject])[] = [
  ['Points/Count', (condition) => ({ filter: { must: [condition] }, exact: true })],
  ['Points/Count', (condition) => ({ filter: { mustNot: [{ filter: { should: [condition] } }] } })],
  ['Points/Scroll', (condition) => ({ filter: { must: [condition] }, limit: 3 })],
  ['Points/Facet', (condition) => ({ key: 'shelf', filter: { must: [condition] } })],
  [
    'Points/Query',
    (condition, using) => ({
      query: { nearest: { id: { num: '7' } } },
      using,
      filter: { must: [condition] },
    }),
  ],
  [
    'Points/Query',
    (condition, using) => ({
      prefetch: [{ query: { nearest: { id: { num: '7' } } }, using, limit: '9' }],
      query: { formula: { expression: { sum: { sum: [{ variable: '$score' }, { condition }] } } } },
    }),
  ],
];

describe.each(Object.keys(SOURCES) as Source[])('%s', (source) => {
  test.each(searches(source).map(({ name }) => name))(
    'two-stage answers equal direct ones: %s',
    async (name) => {
      const { method, request, ties } = searches(source).find((one) => one.name === name)!;
      const json = { collectionName: source, ...request(vector) };
      const expected = await served.direct(method, json);
      expect(expected).not.toHaveProperty('code');
      const answer = await twoStage(method, json);
      if (ties === true) expect(untied(answer)).toEqual(untied(expected));
      else expect(answer).toEqual(expected);
    },
  );

  test.each(CONDITIONED)('to clients no point has the hidden vector: %s', async (method, request) => {
    const using = SOURCES[source].vector;
    for (const name of ['compact', using, 'nope']) {
      const json = { collectionName: source, ...request({ hasVector: { hasVector: name } }, using) };
      const expected = await served.direct(method, json);
      expect(expected).not.toHaveProperty('code');
      expect(await twoStage(method, json)).toEqual(expected);
      if (method === 'Points/Count') expect(await compact(method, json)).toEqual(expected);
    }
  });

  test.each(invalidRequests(source).map(({ name }) => name))(
    'errors equal the server’s: %s',
    async (name) => {
      const { method, request } = invalidRequests(source).find((one) => one.name === name)!;
      const json = { collectionName: source, ...request(vector) };
      const expected = await served.direct(method, json);
      expect(expected).toHaveProperty('code');
      expect(await twoStage(method, json)).toEqual(expected);
      expect(await compact(method, json)).toEqual(expected);
    },
  );
});
