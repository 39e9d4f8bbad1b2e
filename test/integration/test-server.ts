import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { QdrantContainer } from '@testcontainers/qdrant';
import { startLocalQdrant } from '../../src/cli/local-qdrant.js';

const run = promisify(execFile);
const IMAGE = `qdrant/qdrant:${process.env['QDRANT_VERSION'] ?? 'v1.16.3'}`;

export interface TestServer {
  readonly url: string;
  readonly grpcUrl: string;
  readonly stop: () => Promise<void>;
}

/** The packaged server, whatever else is installed: what every integration test but the container's uses. */
export async function startTestServer(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await startLocalQdrant({ env });
  return { url: server.url, grpcUrl: server.grpcUrl, stop: () => server.stop() };
}

/** Why no container can be started here, or null where one can. */
export async function whyNoDocker(): Promise<string | null> {
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 });
  } catch {
    return 'no Docker engine is running';
  }
  try {
    await run('docker', ['image', 'inspect', IMAGE], { timeout: 10_000 });
    return null;
  } catch {
    return await run('docker', ['pull', IMAGE], { timeout: 60_000 }).then(
      () => null,
      () => `the image ${IMAGE} can neither be found nor pulled`,
    );
  }
}

/** A server in a container of the pinned image. */
export async function startTestContainer(): Promise<TestServer> {
  const container = await new QdrantContainer(IMAGE).start();
  const host = container.getHost();
  return {
    url: `http://${host}:${container.getMappedPort(6333)}`,
    grpcUrl: `http://${host}:${container.getMappedPort(6334)}`,
    stop: async () => {
      await container.stop();
    },
  };
}
