import { TldrError } from '../../core/errors.js';
import { checkWritable, destinationOf, isTaken } from '../../core/write-file.js';
import { shellWord } from './shell-command.js';

/**
 * Whether a result can be written there, found out before the work and not after it.
 * @throws ALREADY_EXISTS without `force`, INVALID_ARGUMENT when it cannot be written
 */
export async function checkOutput(
  path: string,
  { force, dryRun }: { readonly force: boolean; readonly dryRun: boolean },
): Promise<void> {
  if ((await isTaken(path)) && !force) {
    throw new TldrError('ALREADY_EXISTS', `${path} exists: choose another file, or --force to replace it`);
  }
  // Found out now, not after the training.
  if (!dryRun) await checkWritable(path);
}

/** Whether each of the paths leads to another file. @throws INVALID_ARGUMENT where nothing can be written to one */
export async function areDifferent(paths: readonly string[]): Promise<boolean> {
  const reached = await Promise.all(paths.map((path) => destinationOf(path)));
  return new Set(reached.map(({ path }) => path)).size === paths.length;
}

/** The command as it was given, to be run again. */
export function commandLine(): string {
  return ['qdrant-tldr', ...process.argv.slice(2)].map(shellWord).join(' ');
}
