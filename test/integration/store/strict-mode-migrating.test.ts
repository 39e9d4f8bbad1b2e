import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { done, refused } from '../../support/store/commands-under-strict-mode.js';
import { ALL_LIMITS } from '../../support/store/strict-mode-limits-list.js';
import { fillCollection, limit, vectorOf } from '../../support/store/strict-mode-collection.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** More than any limit lets through in one request. */
const POINTS = 120;
const START = ['--vector', '', '--encoder', 'enc.onnx', '--yes'];

let place: CliPlace;

const migrate = async (command: string, ...args: readonly string[]): Promise<Record<string, unknown>> =>
  (await done(place, 'migrate', command, ...args, '--json')).json();

beforeAll(async () => {
  place = await openCliPlace('strict-migrating');
  await writeFile(join(place.cwd, 'query.json'), JSON.stringify(vectorOf(3)));
});

afterAll(async () => {
  endServing();
  await place.end();
});

async function strictCollection(name: string, limits: object): Promise<void> {
  await fillCollection(place, name, POINTS);
  await limit(place, name, limits);
}

test('all limits: every step of a migration to the compact layout', async () => {
  await strictCollection('compact', ALL_LIMITS);
  const both = ['compact', 'compact_c'];
  await migrate('start', ...both, ...START, '--layout', 'compact', '--max-load', '2x');
  expect(await migrate('status', ...both)).toMatchObject({ phase: 'verified' });
  await migrate('tune', ...both, '--nice', '1');
  await migrate('verify', ...both);
  await done(place, 'search', 'compact_c', '--encoder', 'enc.onnx', '--query', 'query.json');
  await migrate('cutover', ...both, '--alias', 'used', '--clients-project', '--execute');
  await migrate('rollback', ...both, '--execute');
  await migrate('cutover', ...both, '--alias', 'used', '--clients-project', '--execute');
  await migrate('complete', ...both);
});

test('all limits: catch-up with the migration state in the server, and the migration given up', async () => {
  await strictCollection('caught', ALL_LIMITS);
  const state = ['caught', 'caught_2s', '--state', 'database'];
  await migrate('start', ...state, ...START, '--layout', 'two-stage', '--catch-up');
  await migrate('pause', ...state);
  await migrate('resume', ...state, '--catch-up', '--yes');
  await migrate('cutover', ...state, '--alias', 'caught_alias', '--catch-up', '--execute');
  await migrate('rollback', ...state, '--execute');
  await migrate('abort', ...state, '--execute');
  expect(await place.store.exists('caught_2s')).toBe(false);
});

test('all limits: writes that the proxy follows, and the end with the source deleted', async () => {
  const [source, target] = ['proxied', 'proxied_2s'];
  // A client may still write and delete.
  await strictCollection(source, { ...ALL_LIMITS, max_points_count: 2 * POINTS, filter_max_conditions: 2 });
  const serve = async (entry: object): Promise<Serving> => {
    const listen = { listenRest: '127.0.0.1:0', listenGrpc: '127.0.0.1:0', listenOperations: '127.0.0.1:0' };
    const { url, grpcUrl } = place.server;
    const collections = { [source]: { target, encoder: 'enc.onnx', ...entry } };
    await writeFile(join(place.cwd, 'serve.json'), JSON.stringify({ url, grpcUrl, ...listen, collections }));
    return startServe(place.cwd, []);
  };
  const guarding = await serve({ migrating: { source, journal: 'journal' } });
  const write = async (method: string, path: string, body: unknown): Promise<void> => {
    const headers = { 'content-type': 'application/json' };
    const url = `${guarding.rest}/collections/${source}/points${path}?wait=true`;
    const response = await fetchOnce(url, { method, headers, body: JSON.stringify(body) });
    expect({ path, status: response.status, body: await response.text() }).toMatchObject({
      path,
      status: 200,
    });
  };
  const both = [source, target];
  await migrate('start', ...both, ...START, '--layout', 'two-stage', '--journal', 'journal');
  const point = { id: 9_001, vector: { '': vectorOf(7) }, payload: { shelf: 'new' } };
  await write('PUT', '', { points: [point] });
  await write('POST', '/payload', { payload: { shelf: 'moved' }, points: [1, 2] });
  await write('POST', '/delete', { filter: { must: [{ key: 'shelf', match: { value: 'moved' } }] } });
  await migrate('cutover', ...both, '--by', 'proxy', '--execute');
  await write('PUT', '', { points: [{ ...point, id: 9_002 }] });
  await migrate('verify', ...both);
  await migrate('complete', ...both);
  guarding.child.kill('SIGTERM');
  expect(await guarding.ended).toBe(0);
  const served = await serve({});
  served.child.kill('SIGTERM');
  expect(await served.ended).toBe(0);
  await migrate('complete', ...both, '--delete-source', '--execute');
  expect(await place.store.exists(source)).toBe(false);
  expect(await place.store.count(target)).toBe(POINTS);
});

test('more results than max_query_limit are refused at once', async () => {
  await strictCollection('few', { max_query_limit: 17 });
  await migrate('start', 'few', 'few_2s', ...START, '--layout', 'two-stage');
  const search = ['search', 'few_2s', '--encoder', 'enc.onnx', '--query', 'query.json'];
  await done(place, ...search, '--limit', '17', '--rescore', '17');
  await refused(place, 'max_query_limit', ...search, '--limit', '18', '--rescore', '18');
  await refused(place, 'max_query_limit', ...search, '--limit', '5', '--rescore', '18');
});
