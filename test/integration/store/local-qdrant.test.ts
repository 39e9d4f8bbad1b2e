import { afterAll, beforeAll, expect } from '@jest/globals';
import { freePorts, onFreePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { startLocalQdrant, type LocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('a process');

/** Both of its ports are taken for everybody else. */
let first: LocalQdrant;

beforeAll(async () => {
  first = await startLocalQdrant();
});

afterAll(() => first.stop());

const portOf = (url: string): string => new URL(url).port;

test.each([
  ['REST', () => ({ QDRANT__SERVICE__HTTP_PORT: portOf(first.url) })],
  ['gRPC', () => ({ QDRANT__SERVICE__GRPC_PORT: portOf(first.grpcUrl) })],
  [
    'any',
    () => ({
      QDRANT__SERVICE__HTTP_PORT: portOf(first.url),
      QDRANT__SERVICE__GRPC_PORT: portOf(first.grpcUrl),
    }),
  ],
])(
  'a server whose port for %s somebody has does not pass for one that started, though that one answers there',
  async (_, env) => {
    await expect(startLocalQdrant({ env: env() })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      fields: { addressInUse: true },
    });
  },
);

test('a port that was taken between its choice and its use is replaced by another one', async () => {
  const tried: number[] = [];
  const server = await onFreePorts(1, ([free = 0]) => {
    const port = tried.length === 0 ? Number(portOf(first.grpcUrl)) : free;
    tried.push(port);
    const env = { QDRANT__CLUSTER__ENABLED: 'true', QDRANT__CLUSTER__P2P__PORT: String(port) };
    return startLocalQdrant({ env, args: ['--uri', `http://127.0.0.1:${port}`] });
  });
  expect((await fetchOnce(`${server.url}/readyz`)).ok).toBe(true);
  await server.stop();
  expect(tried).toHaveLength(2);
});

test('what fails for another reason is not tried again', async () => {
  let tried = 0;
  const start = (): Promise<never> => {
    tried++;
    return Promise.reject(new Error('no'));
  };
  await expect(onFreePorts(1, start)).rejects.toThrow('no');
  expect(tried).toBe(1);
  expect(new Set(await freePorts(20)).size).toBe(20);
});
