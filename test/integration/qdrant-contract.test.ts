import { describe, expect, test } from '@jest/globals';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { describeVectorStore, type OpenedStore } from '../contract/vector-store-contract.js';
import { startTestContainer, startTestServer, whyNoDocker, type TestServer } from './test-server.js';

async function openOn(server: TestServer): Promise<OpenedStore> {
  const store = await openQdrant(server);
  return {
    store,
    cleanUp: async () => {
      await store.close();
      await server.stop();
    },
    createCollection: async (name, { name: vectorName, dim, distance }) => {
      const params = { size: dim, distance };
      const body = { vectors: vectorName === '' ? params : { [vectorName]: params } };
      const response = await fetch(`${server.url}/collections/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(200);
    },
  };
}

describeVectorStore('qdrant, packaged server', async () => openOn(await startTestServer()));

const skipped = await whyNoDocker();
if (skipped === null) {
  describeVectorStore('qdrant, container', async () => openOn(await startTestContainer()));
} else {
  describe('qdrant, container', () => {
    test(`left out: ${skipped}`, () => {
      process.stderr.write(`container tests left out: ${skipped}\n`);
      expect(skipped).not.toBe('');
    });
  });
}
