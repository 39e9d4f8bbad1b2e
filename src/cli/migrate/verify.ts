import type { Command } from 'commander';
import { withHookFlags } from './hooks.js';
import { stateCommand } from './state-flags.js';
import { wholeNumber } from '../console/options.js';
import type { VerifyFlags } from './run-verify.js';

const VERIFY_HELP = `Reads   the migration state, both collections and the encoder file
Writes  the result into the migration state; it changes neither collection

Examples:
  qdrant-tldr migrate verify docs docs_2s
  qdrant-tldr migrate verify docs docs_2s --sample 10000 --json

If something differs, the exit code is 10 and \`migrate resume\` repairs it. A sample finds frequent
differences, not one changed point in a million, and it does not make a copy count as verified.

After the cut-over, clients may have written to the target, which is then reported as a difference. If a proxy
brings over the writes, both sides stay equal: points that differ are read again for some seconds, until the
last writes are in both.

Documentation: docs/migrate.md, docs/migrate-proxy.md`;

/** `migrate verify`: compares source and target again. */
export function verifyCommand(): Command {
  const command = stateCommand('verify', {
    description: 'Compare source and target again: settings, payload indexes, counts, and every point.',
    examples: VERIFY_HELP,
  })
    .option('--encoder <file>', 'encoder file (default: the file that the migration state names)')
    .option('--sample <n>', 'compare n random points of each collection instead of all', wholeNumber);
  return withHookFlags(command).action(
    async (source: string, target: string | undefined, flags: VerifyFlags) =>
      (await import('./run-verify.js')).runVerify({ source, target }, flags),
  );
}
