import { afterAll, afterEach, beforeAll } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { ScenarioPlace } from './migrating-scenario.js';
import { startTestServer, type TestServer } from '../server/test-server.js';

/** Where a file's scenarios take place: a server that runs as long as its tests, which end what one of them left. */
export function scenarioPlace(): () => ScenarioPlace {
  let server: TestServer;
  let store: QdrantStore;
  const running = new Set<ChildProcess>();

  beforeAll(async () => {
    server = await startTestServer();
    store = await openQdrant(server);
  });

  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  afterAll(async () => {
    await store.close();
    await server.stop();
  });

  return () => ({ ...server, directUrl: server.url, store, running });
}
