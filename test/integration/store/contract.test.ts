import { afterAll, expect, test as jestTest } from '@jest/globals';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { CONDITION_FORM } from '../../../adapters/qdrant/points/condition-form.js';
import { DISTANCES } from '../../../src/core/distance.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { Contract, ContractStore } from '../../../src/store/testing/index.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import {
  startTestContainer,
  startTestServer,
  testsOn,
  whyNoDocker,
  type TestServer,
} from '../../support/server/test-server.js';
import { runContract } from '../../support/store/run-contract.js';

const UUIDS = ['00000000-0000-4000-8000-000000000001', 'ffffffff-ffff-4fff-bfff-fffffffffffe'];
const UNUSUAL: readonly PointId[] = [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n, ...UUIDS];
/** Files are written in blocks of 4 kB. */
const OVERHEAD_BYTES_MAX = 8191;
const PRODUCT_BYTES: Readonly<Record<string, number>> = {
  'product-x8': 2,
  'product-x16': 4,
  'product-x32': 8,
};
const BINARY_BITS: Readonly<Record<string, number>> = {
  binary: 1,
  'binary-1bit': 1,
  'binary-1.5bit': 1.5,
  'binary-2bit': 2,
};

const DISTANCE_NAMES = { cosine: 'Cosine', dot: 'Dot', euclid: 'Euclid', manhattan: 'Manhattan' };

async function openOn(server: TestServer): Promise<ContractStore> {
  const store = await openQdrant(server);
  return {
    store,
    distances: DISTANCES,
    ids: (count) =>
      [...UNUSUAL, ...Array.from({ length: count }, (_, i) => BigInt(1000 + i))].slice(0, count),
    makeCollection: async ({ name, vectorName, dim, distance }) => {
      const params = { size: dim, distance: DISTANCE_NAMES[distance] };
      const body = { vectors: vectorName === '' ? params : { [vectorName]: params } };
      const response = await fetchAgain(`${server.url}/collections/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(200);
    },
    conditionFor: (ids) => ({
      form: CONDITION_FORM.json,
      bytes: Buffer.from(`{"must":[{"has_id":[${ids.map(idJson).join(',')}]}]}`),
    }),
    measured: {
      codeBytes: (quantization, dim) => {
        if (quantization === 'none') return 0;
        if (quantization === 'scalar') return dim + 4;
        if (quantization in BINARY_BITS)
          return Math.ceil((dim * (BINARY_BITS[quantization] ?? 0)) / 128) * 16;
        return dim / (PRODUCT_BYTES[quantization] ?? 0);
      },
      overheadBytesMax: OVERHEAD_BYTES_MAX,
    },
    cleanUp: () => store.close(),
  };
}

function idJson(id: PointId): string {
  return typeof id === 'bigint' ? String(id) : JSON.stringify(id);
}

/** Starts one server for all cases. */
function onServer(start: () => Promise<TestServer>): Contract {
  let server: Promise<TestServer> | null = null;
  afterAll(async () => (await server)?.stop());
  return {
    facets: [
      'keys.split',
      'storage',
      'changes.versions',
      'changes.waitForApplied',
      'changes.matching',
      'load',
      'target',
      'names',
      'names.over',
      'state',
    ],
    open: async () => openOn(await (server ??= start())),
  };
}

const test = await testsOn('any');
const noDocker = await whyNoDocker();
if (test === jestTest)
  runContract(
    'qdrant',
    onServer(() => startTestServer()),
  );
else test('qdrant: the store contract', () => undefined);

if (noDocker === null) {
  runContract(
    'qdrant, container',
    onServer(() => startTestContainer()),
  );
} else {
  process.stderr.write(`container tests left out: ${noDocker}\n`);
  jestTest.skip(`qdrant, container: left out, ${noDocker}`, () => undefined);
}
