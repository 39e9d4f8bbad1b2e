import { TldrError } from '../../core/errors.js';
import { checkWritable, destinationOf, isTaken } from '../../core/write-file.js';
import { shellWord } from './shell-command.js';

/**
 * Checks, before the work begins, that a result can be written to the path.
 * @throws ALREADY_EXISTS when the file exists and `force` is false, INVALID_ARGUMENT when it cannot be
 * written
 */
export async function checkOutput(
  path: string,
  { force, dryRun }: { readonly force: boolean; readonly dryRun: boolean },
): Promise<void> {
  if ((await isTaken(path)) && !force) {
    throw new TldrError('ALREADY_EXISTS', `${path} exists: choose another file, or --force to replace it`);
  }
  if (!dryRun) await checkWritable(path);
}

/** Whether all paths lead to different files. @throws INVALID_ARGUMENT when one of them cannot be written */
export async function areDifferent(paths: readonly string[]): Promise<boolean> {
  const reached = await Promise.all(paths.map((path) => destinationOf(path)));
  return new Set(reached.map(({ path }) => path)).size === paths.length;
}

/** The command line of this process, or of these words, quoted so that it can be pasted into a shell. */
export function commandLine(words: readonly string[] = process.argv.slice(2)): string {
  return ['qdrant-tldr', ...words].map(shellWord).join(' ');
}
