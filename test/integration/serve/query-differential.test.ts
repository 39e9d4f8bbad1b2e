import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QueryCases } from '../../support/query/query-cases.js';
import { difference, type Ties } from '../../support/query/query-compare.js';
import type { QueryCase } from '../../support/query/query-to-json.js';
import {
  NAMES,
  startQueryPlace,
  type CaseAnswer,
  type Name,
  type QueryPlace,
  type Transport,
} from '../../support/query/query-fixture.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** More cases, or others: `QUERY_CASES=2000 QUERY_SEED=5 npm test -- query-differential`. */
const CASES = Number(process.env['QUERY_CASES'] ?? 40);
const SEED = Number(process.env['QUERY_SEED'] ?? 1);
const DEPTHS = [0, 1, 2] as const;
const TRANSPORTS = ['REST', 'gRPC'] as const;
const SHOWN = 3;
/** How often the original is asked again before a difference counts: it may answer otherwise once in 20 times. */
const REPEATS = 150;

/** What must be covered at each depth. Forms that need prefetches occur from depth 1 on. */
const SIMILAR = ['nearest', 'mmr', 'discover', 'context'];
const STRATEGIES = ['default', 'average_vector', 'best_score', 'sum_scores'].map(
  (one) => `recommend by ${one}`,
);
const FUSIONS = ['rrf', 'rrf of parameters', 'dbsf'];
const ABOVE = [...FUSIONS, 'formula'];
const EXPECTED = [
  ...DEPTHS.flatMap((depth) => [...SIMILAR, ...STRATEGIES, 'order by'].map((kind) => `${kind} ${depth}`)),
  ...[1, 2].flatMap((depth) => ABOVE.map((kind) => `${kind} ${depth}`)),
  ...FUSIONS.map((kind) => `${kind} with an offset`),
  ...FUSIONS.map((kind) => `cut nested ${kind} 2`),
  ...DEPTHS.map((depth) => `sample ${depth}`),
  'no query 0',
  'another vector 0',
  ...['search', 'recommend'].flatMap((call) =>
    ['one', 'batch', 'groups'].map((form) => `older ${call} ${form}`),
  ),
  ...['one', 'batch'].map((form) => `older discover ${form}`),
];

const BROKEN_OFF = '"code":"NaN"';

let place: QueryPlace;
/** What was answered with points at least once, by transport. */
const covered = new Set<string>();
let undetermined = 0;

beforeAll(async () => {
  place = await startQueryPlace();
});

afterAll(async () => {
  await place.stop();
});

/** The cases of which the proxy's answer differs from that of the original collection. */
async function differing(transport: Transport, name: Name, cases: readonly QueryCase[]): Promise<string[]> {
  const failures: string[] = [];
  for (const [i, one] of cases.entries()) {
    const { expected, actual } = await place.ask(transport, name, one);
    if (expected.ok && hasPoints(expected)) for (const kind of one.kinds) covered.add(`${transport} ${kind}`);
    const found = differenceOf(expected, actual, one);
    if (found !== null && (await isUndetermined(transport, name, one))) {
      undetermined++;
      continue;
    }
    if (found !== null) failures.push(`case ${i} of seed ${SEED}, ${transport}: ${found}\n${shown(one)}`);
  }
  return failures;
}

/** Where two answers differ; null if they say the same. */
function differenceOf(expected: CaseAnswer, actual: CaseAnswer, one: QueryCase): string | null {
  const text = JSON.stringify(expected.content);
  // A request with two faults is refused for either; a call that the server broke off has no words.
  const anyWords = !expected.ok && (text.includes('missing field') || text.includes(BROKEN_OFF));
  return difference(anyWords ? expected.ok : expected, anyWords ? actual.ok : actual, tiesOf(one));
}

function tiesOf({ ties, requests }: QueryCase): Ties {
  if (!ties) return 'none';
  return requests.some(({ offset = 0 }) => offset > 0) ? 'both' : 'last';
}

/** Whether the original collection itself answers now this and now that, as MMR over several shards or for groups does. */
async function isUndetermined(transport: Transport, name: Name, one: QueryCase): Promise<boolean> {
  const first = await place.ask(transport, name, one);
  for (let i = 0; i < REPEATS; i++) {
    const again = await place.ask(transport, name, one);
    if (difference(first.expected, again.expected, tiesOf(one)) !== null) return true;
  }
  return false;
}

/** A case without the numbers of its vectors: the seed gives them again. */
function shown(one: QueryCase): string {
  return JSON.stringify(one, (_, value: unknown) =>
    Array.isArray(value) && value.length > 9 && value.every((item) => typeof item === 'number')
      ? 'vector'
      : value,
  );
}

function hasPoints({ content }: CaseAnswer): boolean {
  return JSON.stringify(content).includes('"id":');
}

function expectNone(failures: readonly string[]): void {
  expect([failures.length, ...failures.slice(0, SHOWN)].join('\n')).toBe('0');
}

describe.each(NAMES)('%s', (name) => {
  test.each(TRANSPORTS.flatMap((transport) => DEPTHS.map((depth) => [transport, depth] as const)))(
    'queries over %s with prefetches %d deep are answered as by the original collection',
    async (transport, depth) => {
      const cases = new QueryCases(SEED * 1000 + depth, place.searched(name));
      expectNone(
        await differing(
          transport,
          name,
          Array.from({ length: CASES }, () => cases.query(depth)),
        ),
      );
    },
  );

  test.each(TRANSPORTS)(
    'older searches over %s are answered as by the original collection',
    async (transport) => {
      const cases = new QueryCases(SEED * 1000 + 10, place.searched(name));
      expectNone(
        await differing(
          transport,
          name,
          Array.from({ length: CASES }, () => cases.legacy()),
        ),
      );
    },
  );
});

describe.each(TRANSPORTS)('a limit of zero beside an id that no lookup finds, over %s', (transport) => {
  const failing = { using: 'text', lookup_from: { collection: 'elsewhere' } };
  const queries = { query: { query: { nearest: 1 } }, recommend: { positive: [1] }, discover: { target: 1 } };
  test.each([
    ['query', 'one'],
    ['recommend', 'one'],
    ['recommend', 'batch'],
    ['discover', 'one'],
    ['discover', 'batch'],
  ] as const)('%s, %s is refused as by the original collection', async (call, form) => {
    const empty = { ...queries[call], ...failing, limit: 0 };
    const requests = form === 'one' ? [empty] : [{ ...empty, limit: 5 }, empty];
    const one: QueryCase = { call, form, requests, ties: false, kinds: [] };
    expectNone(await differing(transport, 'named', [one]));
  });
});

test('most cases are determined, and every form of query found points over both transports', () => {
  const ran = CASES * NAMES.length * TRANSPORTS.length * (DEPTHS.length + 1);
  expect(undetermined / ran).toBeLessThan(0.15);
  const missing = TRANSPORTS.flatMap((transport) =>
    EXPECTED.map((kind) => `${transport} ${kind}`).filter((kind) => !covered.has(kind)),
  );
  expect(missing).toEqual([]);
});
