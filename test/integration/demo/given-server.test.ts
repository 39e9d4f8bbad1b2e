import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { startTestServer, type TestServer } from '../../support/server/test-server.js';

let server: TestServer;
let cwd: string;
const demo = (...args: string[]): Promise<CliResult> =>
  runCli(['demo', ...args], { cwd, env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl } });

async function collections(): Promise<string[]> {
  const store = await openQdrant(server);
  try {
    return [...(await store.listCollections())].sort();
  } finally {
    await store.close();
  }
}

async function create(name: string, metadata: Record<string, unknown>): Promise<void> {
  const store = await openQdrant(server);
  const native = JSON.stringify({ params: { vectors: { size: 4, distance: 'Cosine' } }, metadata });
  await store.create({ name, vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  await store.close();
}

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-demo-test-'));
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

test('on a given server the demo asks first and only ever deletes what carries its mark', async () => {
  await create('tldr-demo-full', {});
  await create('tldr-demo-mine', { owner: 'someone' });
  await create('tldr-demo-earlier', { tldr_demo: true });
  const all = ['tldr-demo-earlier', 'tldr-demo-full', 'tldr-demo-mine'];

  const dry = await demo('--dry-run', '--json');
  expect(dry.json()).toMatchObject({ dryRun: true, server: server.url });
  expect(await collections()).toEqual(all);

  expect(await demo()).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  expect(await collections()).toEqual(all);

  // Its own left-overs go; a collection of the same name that is somebody else's stops it.
  const refused = await demo('--yes', '--json');
  expect(refused).toMatchObject({ code: 5 });
  expect(refused.json()).toMatchObject({ error: { code: 'ALREADY_EXISTS' } });
  expect(await collections()).toEqual(['tldr-demo-full', 'tldr-demo-mine']);
});
