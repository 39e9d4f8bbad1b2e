import { afterAll, beforeAll, expect } from '@jest/globals';
import { QdrantClient } from '@qdrant/js-client-rest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { row } from '../../../src/core/matrix.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 400;

let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-client-'));
});

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

test('the official client reads and searches what a migration wrote', async () => {
  const client = new QdrantClient({ url: server.url, checkCompatibility: false });
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  try {
    const encoder = tinyEncoder();
    await client.createCollection('docs', { vectors: { size: encoder.inputDim, distance: 'Cosine' } });
    await fill(store, 'docs', POINTS);
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'docs',
      targetCollection: 'docs_two_stage',
      encoder,
      layout: 'two-stage',
      statePath: join(folder, 'state.json'),
    });
    expect(await client.count('docs_two_stage', { exact: true })).toEqual({ count: POINTS });
    const { vectors } = await store.sample('docs', { vectorName: '', size: 1 });
    const full = Array.from(row(vectors, 0));
    const direct = await client.query('docs', {
      query: full,
      limit: 10,
      params: { exact: true },
      with_payload: true,
    });
    // The prefetch covers the collection: the answer must be the full collection's, scores and payloads included.
    const rescored = await client.query('docs_two_stage', {
      prefetch: { query: Array.from(row(encoder.project(vectors), 0)), using: 'compact', limit: POINTS },
      query: full,
      limit: 10,
      with_payload: true,
    });
    const shown = ({ points }: typeof direct): unknown =>
      points.map(({ id, score, payload }) => ({ id, score: score.toFixed(5), payload }));
    expect(shown(rescored)).toEqual(shown(direct));
  } finally {
    await store.close();
  }
});
