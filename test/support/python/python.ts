import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../src/core/errors.js';
import { fetchPackages, requireTool, runTool, ToolMissing, unlessMissing } from '../clients/tools.js';

const CACHE = join(process.cwd(), 'node_modules', '.cache', 'qdrant-tldr');

/** Where virtual environments are kept, and the variables of the processes that make them. */
interface PythonPlace {
  readonly cache?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Returns the path of a Python that has the packages of a file of requirements, in a virtual environment that is made
 * once. Returns null where there is no Python or no registry can be reached, and prints the reason.
 * @param module a module that the caller imports
 * @throws when the module cannot be imported, or a package is not in the registry
 */
export function findPython(module: string, requirements = 'test/requirements.txt'): Promise<string | null> {
  return unlessMissing(`tests with ${requirements}`, () => pythonWith(module, requirements));
}

/** Does the same. @throws ToolMissing where there is no Python, or no registry can be reached */
export async function pythonWith(
  module: string,
  requirements: string,
  { cache = CACHE, env = process.env }: PythonPlace = {},
): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const environment = join(cache, `python-${hash}`);
  const python = join(environment, 'bin', 'python');
  if (!existsSync(python)) await install(environment, requirements, env);
  await runTool(python, ['-c', `import ${module}`], { env });
  return python;
}

/** Makes the environment under another name first, so that a half-made one is never used. */
async function install(environment: string, requirements: string, env: NodeJS.ProcessEnv): Promise<void> {
  await requireTool(['python3', '--version'], [3, 11], { env });
  const draft = `${environment}-${process.pid}`;
  await mkdir(draft, { recursive: true });
  try {
    await runTool('python3', ['-m', 'venv', draft], { env }).catch((error: unknown) => {
      throw new ToolMissing(`python3 makes no virtual environment: ${messageOf(error)}`, { cause: error });
    });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
    await fetchPackages(join(draft, 'bin', 'python'), [...pip, '-r', requirements], { env });
    await rename(draft, environment);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(environment)) throw error;
  }
}
