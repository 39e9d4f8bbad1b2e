import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { DIM, fill } from '../../support/migrate/fixtures.js';
import { endServing, startServe } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const PROJECT = '--clients-project';

let place: CliPlace;

beforeAll(async () => {
  // No proxy listens at this address for operators.
  place = await openCliPlace('cutover-to-compact', { QDRANT_TLDR_LISTEN_OPERATIONS: '127.0.0.1:1' });
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(place.store, 'docs', 100);
  await place.store.names.switch('search', 'docs');
  for (const [target, layout] of [
    ['docs_c', 'compact'],
    ['docs_2s', 'two-stage'],
  ] as const) {
    const start = ['migrate', 'start', 'docs', target, '--encoder', 'enc.onnx', '--layout', layout, '--yes'];
    expect(await place.cli(...start)).toMatchObject({ code: 0 });
  }
});

afterAll(async () => {
  endServing();
  await place.end();
});

const cutover = (target: string, ...flags: string[]): Promise<CliResult> =>
  place.cli('migrate', 'cutover', 'docs', target, '--alias', 'search', ...flags);
const leadsTo = async (): Promise<string | undefined> => (await place.store.names.all()).get('search');

async function back(target: string): Promise<void> {
  expect(await place.cli('migrate', 'rollback', 'docs', target, '--execute')).toMatchObject({ code: 0 });
  expect(await leadsTo()).toBe('docs');
}

test('an alias is switched to a compact target only if clients are said to project', async () => {
  const dry = await cutover('docs_c');
  expect(dry.code).toBe(0);
  // As the server says it to a client.
  expect(dry.stdout).toMatch(new RegExp(`a query of ${DIM} dimensions was tried and failed: .*expected dim`));
  expect(dry.stdout).toContain('the switch is refused');
  const refused = await cutover('docs_c', '--execute');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('clients that send full vectors to "search" would get errors');
  expect(refused.stderr).toContain(PROJECT);
  expect(await leadsTo()).toBe('docs');
  const bare = ['migrate', 'cutover', 'docs', 'docs_c', '--bare-name', '--execute'];
  expect((await place.cli(...bare)).stderr).toContain(PROJECT);
  expect((await cutover('docs_c', PROJECT)).stdout).toContain('you say that clients project');
  expect((await cutover('docs_c', PROJECT, '--execute')).code).toBe(0);
  expect(await leadsTo()).toBe('docs_c');
  await back('docs_c');
});

test('a two-stage target needs no word, because full vectors are answered', async () => {
  expect((await cutover('docs_2s')).stdout).not.toContain('refused');
  expect((await cutover('docs_2s', '--execute')).code).toBe(0);
  expect(await leadsTo()).toBe('docs_2s');
  await back('docs_2s');
});

test('a running proxy that serves the target is found, and no other one', async () => {
  const at = '127.0.0.1:0';
  const { url, grpcUrl } = place.server;
  for (const [target, isFound] of [
    ['docs_2s', false],
    ['docs_c', true],
  ] as const) {
    const collections = { docs: { target, encoder: 'enc.onnx' } };
    const settings = { url, grpcUrl, listenRest: at, listenGrpc: at, listenOperations: at, collections };
    await writeFile(join(place.cwd, 'serve.json'), JSON.stringify(settings));
    const { operations } = await startServe(place.cwd, []);
    const env = {
      QDRANT_URL: url,
      QDRANT_TLDR_GRPC_URL: grpcUrl,
      QDRANT_TLDR_LISTEN_OPERATIONS: new URL(operations).host,
    };
    const words = ['migrate', 'cutover', 'docs', 'docs_c', '--alias', 'search', '--execute'];
    const executed = await runCli(words, { cwd: place.cwd, env });
    expect(executed.code).toBe(isFound ? 0 : 2);
    if (isFound) expect(executed.stdout).toContain('clients of the proxy');
    expect(await leadsTo()).toBe(isFound ? 'docs_c' : 'docs');
  }
  await back('docs_c');
});
