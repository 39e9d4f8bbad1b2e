import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Config } from '../../config/load.js';
import { messageOf, TldrError } from '../../core/errors.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';
import { DEFAULT_ADAPTER } from '../adapters.js';
import type { OpenOptions } from '../../store/adapter.js';

const DOCKER_TIMEOUT_MS = 60_000;
const run = promisify(execFile);

/** A server for the demo, and how to release it. */
export interface ResolvedServer {
  readonly url: string;
  readonly settings: OpenOptions['settings'];
  readonly how: string;
  /** True if the user named the server: other collections on it are not the demo's. */
  readonly given: boolean;
  readonly release: () => Promise<void>;
}

/**
 * Finds a Qdrant server and says which. In this order: the given URL; a running Docker engine, through the
 * package's docker-compose.yml; the packaged linux-x64 server.
 * @throws UNSUPPORTED when there is none; the error says what to do
 */
export async function resolveServer(
  config: Config,
  { isGiven, say }: { readonly isGiven: boolean; readonly say: (line: string) => void },
): Promise<ResolvedServer> {
  if (isGiven) {
    const how = `Qdrant at ${maskAddress(config.url)} (given)`;
    say(how);
    return {
      url: config.url,
      settings: config.ofDatabase,
      how,
      given: true,
      release: () => Promise.resolve(),
    };
  }
  const docker = await startWithDocker(say);
  if (docker !== null) return docker;
  const { local: packaged } = DEFAULT_ADAPTER;
  if (packaged === undefined) throw new TldrError('INTERNAL', 'the default database cannot be started here');
  const local = await packaged.start();
  const how = `Qdrant ${packaged.version} from the packaged binary, at ${local.url}`;
  say(how);
  return { url: local.url, settings: local.settings, how, given: false, release: () => local.stop() };
}

async function startWithDocker(say: (line: string) => void): Promise<ResolvedServer | null> {
  const compose = fileURLToPath(new URL('../../../../docker-compose.yml', import.meta.url));
  if (!existsSync(compose)) return null;
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 });
  } catch {
    say('no Docker engine is running here');
    return null;
  }
  const args = ['compose', '-f', compose, '-p', 'qdrant-tldr-demo'];
  try {
    await run('docker', [...args, 'up', '-d', '--wait'], { timeout: DOCKER_TIMEOUT_MS });
  } catch (error) {
    // A half-started service would keep its port.
    await run('docker', [...args, 'down', '-v'], { timeout: DOCKER_TIMEOUT_MS }).catch(() => undefined);
    say(`Docker could not start Qdrant (${messageOf(error).split('\n', 1).join()})`);
    return null;
  }
  const how = 'Qdrant in Docker, at http://127.0.0.1:6333';
  say(how);
  const release = async (): Promise<void> => {
    await run('docker', [...args, 'down', '-v'], { timeout: DOCKER_TIMEOUT_MS });
  };
  return { url: 'http://127.0.0.1:6333', settings: {}, how, given: false, release };
}
