import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { runCli, type CliResult } from './run-cli.js';
import { tinyEncoder } from '../migrate/fixtures.js';
import { fetchAgain } from '../server/fetch-once.js';
import { startTestServer, type TestServer } from '../server/test-server.js';

/** A server, a store on it, and a folder with `enc.onnx` in which the command line runs against it. */
export interface CliPlace {
  readonly server: TestServer;
  readonly store: QdrantStore;
  readonly cwd: string;
  readonly cli: (...args: string[]) => Promise<CliResult>;
  /** A request past the product; a body that is text is sent as it is. @throws for an answer that is neither a success nor `fine` */
  readonly rest: (
    method: string,
    path: string,
    body: unknown,
    fine?: (response: Response) => boolean,
  ) => Promise<void>;
  /** What the server answers to a GET. */
  readonly text: (path: string) => Promise<string>;
  readonly end: () => Promise<void>;
}

/** @param env for the command line, beside the addresses of the server */
export async function openCliPlace(
  name: string,
  env: Readonly<Record<string, string>> = {},
): Promise<CliPlace> {
  const server = await startTestServer();
  const store = await openQdrant(server);
  const cwd = await mkdtemp(join(tmpdir(), `qdrant-tldr-${name}-`));
  await tinyEncoder().save(join(cwd, 'enc.onnx'));
  const addresses = { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl };
  return {
    server,
    store,
    cwd,
    cli: (...args) => runCli(args, { cwd, env: { ...addresses, ...env } }),
    rest: async (method, path, body, fine = () => false) => {
      const headers = { 'content-type': 'application/json' };
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const response = await fetchAgain(server.url + path, { method, headers, body: text });
      if (!response.ok && !fine(response)) throw new Error(`${method} ${path}: ${await response.text()}`);
    },
    text: async (path) => (await fetchAgain(server.url + path)).text(),
    end: async () => {
      await store.close();
      await server.stop();
      await rm(cwd, { recursive: true, force: true });
    },
  };
}
