import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { messageOf, TldrError } from '../../../src/core/errors.js';
import type { LocalDatabase } from '../../../src/store/adapter.js';

const PACKAGES = { '@electric-sql/pglite': '0.5.14', '@electric-sql/pglite-pgvector': '0.0.15' } as const;
/** Where libpq and its relatives look for a socket in a folder. */
const SOCKET = '.s.PGSQL.5432';

/**
 * Starts PostgreSQL with pgvector inside this process, in a thread of its own. Its data is in memory. All connections
 * share one session, and a transaction keeps the others waiting.
 * @throws UNSUPPORTED without its packages; UNAVAILABLE when it does not start
 */
export async function startEmbeddedPostgres(): Promise<LocalDatabase> {
  checkPackages();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-postgres-'));
  // A socket in a folder of this user, since the database asks nobody for a password. Windows has no such sockets.
  const socket = process.platform === 'win32' ? null : join(folder, SOCKET);
  const worker = new Worker(new URL('./server-worker.js', import.meta.url), { workerData: socket });
  const stop = async (): Promise<void> => {
    worker.removeAllListeners();
    await worker.terminate();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const address = await new Promise<unknown>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('its thread ended')));
    });
    // Connections break when the thread ends, which says it soon enough.
    worker.removeAllListeners().on('error', () => undefined);
    return { url: urlOf(address, folder), settings: {}, stop };
  } catch (error) {
    await stop();
    throw new TldrError('UNAVAILABLE', `the embedded PostgreSQL did not start: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function urlOf(address: unknown, folder: string): string {
  const port =
    typeof address === 'object' && address !== null && 'port' in address ? Number(address.port) : null;
  return port === null
    ? `postgres:///postgres?host=${encodeURIComponent(folder)}&user=postgres&sslmode=disable`
    : `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=disable`;
}

/** @throws UNSUPPORTED with the line that installs them */
function checkPackages(): void {
  const { resolve } = createRequire(import.meta.url);
  try {
    Object.keys(PACKAGES).forEach((name) => resolve(name));
  } catch (cause) {
    const all = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`);
    throw new TldrError(
      'UNSUPPORTED',
      `no PostgreSQL can be started here: add one to this installation with "npm install ${all.join(' ')}" (with -g if qdrant-tldr was installed so)`,
      { cause, hint: 'give-server' },
    );
  }
}
