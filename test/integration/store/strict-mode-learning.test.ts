import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCli } from '../../support/cli/run-cli.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { done, uselessRetries } from '../../support/store/commands-under-strict-mode.js';
import { ALL_LIMITS } from '../../support/store/strict-mode-limits-list.js';
import { fillCollection, limit, vectorOf } from '../../support/store/strict-mode-collection.js';
import { startTestServer, testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const onConfigured = await testsOn('configured');

/** More than any limit lets through in one request. */
const POINTS = 240;
const QUERIES = 120;
const LABELS = ['--objective', 'relevance', '--labels-field', 'shelf'];

/** The limits that concern how these commands read, and those that leave only one way of reading. */
const READ_LIMITS: readonly (readonly [string, object])[] = [
  ['max_query_limit', { max_query_limit: 17 }],
  ['search_allow_exact', { search_allow_exact: false }],
  ['read_rate_limit', { read_rate_limit: 200 }],
  ['read_rate_limit and filter_max_conditions', { read_rate_limit: 200, filter_max_conditions: 0 }],
  ['read_rate_limit and condition_max_size', { read_rate_limit: 200, condition_max_size: 7 }],
  ['unindexed_filtering_retrieve', { unindexed_filtering_retrieve: false }],
];

let place: CliPlace;

beforeAll(async () => {
  place = await openCliPlace('strict-learning');
  for (const [name, settings] of [...READ_LIMITS, ['all limits', ALL_LIMITS] as const]) {
    await fillCollection(place, name, POINTS);
    await limit(place, name, settings);
  }
  const rows = Array.from({ length: QUERIES }, (_, i) => i);
  const lines = (line: (i: number) => string): string => rows.map(line).join('\n');
  await writeFile(
    join(place.cwd, 'queries.jsonl'),
    lines((i) => JSON.stringify(vectorOf(i))),
  );
  await writeFile(
    join(place.cwd, 'qrels.tsv'),
    lines((i) => `${i}\t${(i % 20) + 1}\t1`),
  );
});

afterAll(async () => {
  await place.end();
});

describe.each(READ_LIMITS)('%s', (collection) => {
  const train = ['train', collection, '--vector', '', '--dim', '4', '--out', 'dry.onnx', '--dry-run'];

  test('inspect counts the points', async () => {
    const { json } = await done(place, 'inspect', collection, '--dim', '4', '--json');
    expect(json()).toMatchObject({ points: POINTS });
  });

  test('train reads a sample and its labels', async () => {
    const { json } = await done(place, ...train, '--sample', '150', ...LABELS, '--json');
    expect(json()).toMatchObject({ rows: 150 });
  });

  test('plan counts the points, and train reads those that judgements name', async () => {
    await done(place, 'plan', collection, '--vector', '', '--dims', '4', '--dry-run');
    const judged = ['--objective', 'relevance', '--queries', 'queries.jsonl', '--qrels', 'qrels.tsv'];
    await done(place, ...train, '--sample', '130', ...judged);
  });
});

describe('all limits together', () => {
  test('train, and train again from its checkpoint', async () => {
    const flags = ['--vector', '', '--dim', '4', '--sample', '100', '--encoder', 'linear', '--epochs', '1'];
    const train = ['train', 'all limits', ...flags, '--out', 'all.onnx', '--checkpoint', 'state'];
    await done(place, ...train);
    await done(place, ...train, '--force');
  });

  test('plan measures in a collection of its own, which has no limits', async () => {
    const sizes = ['--dims', '4', '--datatypes', 'float32', '--oversampling', '1,4'];
    const flags = [...sizes, '--queries-count', '20', '--budget', '1s', '--deterministic', '--yes'];
    await done(place, 'plan', 'all limits', '--vector', '', ...flags);
    expect(await place.store.listCollections()).not.toContainEqual(expect.stringContaining('tldr-plan-'));
  });
});

onConfigured('the demo has no limits, also where the server sets some for every new collection', async () => {
  const STRICT = 'QDRANT__STORAGE__COLLECTION__STRICT_MODE__';
  const server = await startTestServer({
    [`${STRICT}ENABLED`]: 'true',
    [`${STRICT}UPSERT_MAX_BATCHSIZE`]: '5',
    [`${STRICT}MAX_QUERY_LIMIT`]: '5',
    [`${STRICT}READ_RATE_LIMIT`]: '1',
    [`${STRICT}WRITE_RATE_LIMIT`]: '10',
    [`${STRICT}SEARCH_ALLOW_EXACT`]: 'false',
  });
  try {
    const env = { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl };
    // By then it has written its collection, and read all of it.
    const options = { cwd: place.cwd, env, interruptOn: 'training' };
    const result = await runCli(['demo', '--yes', '--log-level', 'info'], options);
    expect(result).toMatchObject({ code: 130, stdout: expect.stringContaining('loaded 10,000') });
    expect(uselessRetries(result)).toEqual([]);
    const listed = await fetchOnce(`${server.url}/collections`);
    expect(await listed.json()).toMatchObject({ result: { collections: [] } });
  } finally {
    await server.stop();
  }
});
