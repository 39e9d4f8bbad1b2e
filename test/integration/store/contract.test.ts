import { expect, test as jestTest } from '@jest/globals';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { describeVectorStore, type OpenedStore } from '../../contract/vector-store-contract.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import {
  startTestContainer,
  startTestServer,
  testsOn,
  whyNoDocker,
  type TestServer,
} from '../../support/server/test-server.js';

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
      const response = await fetchAgain(`${server.url}/collections/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(200);
    },
  };
}

const test = await testsOn('any');
const noDocker = await whyNoDocker();
if (test === jestTest) describeVectorStore('qdrant', async () => openOn(await startTestServer()));
else test('qdrant: the store contract', () => undefined);

if (noDocker === null) {
  describeVectorStore('qdrant, container', async () => openOn(await startTestContainer()));
} else {
  process.stderr.write(`container tests left out: ${noDocker}\n`);
  jestTest.skip(`qdrant, container: left out, ${noDocker}`, () => undefined);
}
