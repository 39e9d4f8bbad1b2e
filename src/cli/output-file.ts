import { access } from 'node:fs/promises';
import { checkWritable } from '../core/encoder-file.js';
import { TldrError } from '../core/errors.js';
import { shellWord } from './shell-command.js';

/**
 * Whether a result can be written there, found out before the work and not after it.
 * @throws ALREADY_EXISTS without `force`, INVALID_ARGUMENT when it cannot be written
 */
export async function checkOutput(
  path: string,
  { force, dryRun }: { readonly force: boolean; readonly dryRun: boolean },
): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists && !force) {
    throw new TldrError('ALREADY_EXISTS', `${path} exists: choose another file, or --force to replace it`);
  }
  // Found out now, not after the training.
  if (!dryRun) await checkWritable(path);
}

/** The command as it was given, to be run again. */
export function commandLine(): string {
  return ['qdrant-tldr', ...process.argv.slice(2)].map(shellWord).join(' ');
}
