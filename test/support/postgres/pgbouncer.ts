import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from '@jest/globals';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { giveToServer, SERVER_USER } from './install.js';

/** The tests if the program PgBouncer is installed, else `test.skip`, with the reason said aloud. */
export function testsOnPgbouncer(postgresTest: typeof test.skip): typeof test.skip {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' });
    return postgresTest;
  } catch {
    process.stderr.write('tests of PgBouncer are left out: it is not installed\n');
    return test.skip;
  }
}

/** Starts PgBouncer before a server without passwords. Returns its address. */
export async function startPgbouncer(
  serverUrl: string,
  mode: 'session' | 'transaction' | 'statement',
): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  const { hostname, port, username } = new URL(serverUrl);
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-pgbouncer-'));
  const [own = 0] = await freePorts(1);
  const users = join(folder, 'users.txt');
  await writeFile(users, `"${username}" ""\n`);
  const settings = [
    '[databases]',
    `* = host=${hostname} port=${port}`,
    '[pgbouncer]',
    `listen_addr = ${hostname}`,
    `listen_port = ${own}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${users}`,
    `pool_mode = ${mode}`,
  ];
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(file, `${settings.join('\n')}\n`);
  await giveToServer(folder);
  const child = spawn('pgbouncer', [file], { ...SERVER_USER, stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = new Promise((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (piece: Buffer) => {
      if (piece.toString().includes('process up')) resolve();
    });
    child.once('close', () => {
      reject(new Error('PgBouncer ended at once'));
    });
  });
  const url = new URL(serverUrl);
  url.port = String(own);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await closed;
    await rm(folder, { recursive: true, force: true });
  };
  return { url: url.href, stop };
}
