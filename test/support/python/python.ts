import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/core/errors.js';

const run = promisify(execFile);
const CACHE = join('node_modules', '.cache', 'qdrant-tldr');

/**
 * Returns the path of a Python that has the packages of a file of requirements, in a virtual environment that is made
 * once. Returns null where there is no Python or the packages cannot be had, and prints the reason.
 * @param module a module that the caller imports
 */
export async function findPython(
  module: string,
  requirements = 'test/requirements.txt',
): Promise<string | null> {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const environment = join(process.cwd(), CACHE, `python-${hash}`);
  const python = join(environment, 'bin', 'python');
  try {
    if (!existsSync(python)) await install(environment, requirements);
    await run(python, ['-c', `import ${module}`]);
    return python;
  } catch (error) {
    process.stderr.write(
      `tests with ${requirements} are skipped: ${messageOf(error).split('\n').slice(0, 3).join(' ')}\n`,
    );
    return null;
  }
}

/** Makes the environment under another name first, so that a half-made one is never used. */
async function install(environment: string, requirements: string): Promise<void> {
  await mkdir(join(process.cwd(), CACHE), { recursive: true });
  const draft = `${environment}-${process.pid}`;
  try {
    await run('python3', ['-m', 'venv', draft]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
    await run(join(draft, 'bin', 'python'), [...pip, '-r', requirements]);
    await rename(draft, environment);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(environment)) throw error;
  }
}
