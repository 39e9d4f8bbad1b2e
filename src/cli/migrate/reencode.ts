import { Command, Option } from 'commander';
import { QUANTIZATIONS, TARGET_DATATYPES } from '../../store/collection.js';
import { wholeNumber, withGlobalFlags, withWriteFlags } from '../console/options.js';
import { withHookFlags } from './hooks.js';
import { withCopyFlags } from './start-and-resume.js';
import { withPlaceFlags } from './state-flags.js';
import type { ReencodeFlags } from './run-reencode.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   the two-stage collection, which is never written to, and the encoder file
Writes  a new two-stage collection, and the migration state (--record or --state), which is saved before each step

Examples:
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --dry-run
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --yes
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --into docs_v2 --catch-up --yes

The full vectors are read from the two-stage collection itself. The collection from which it was made is not
needed any more. The old collection serves with the old encoder until the switch, and afterwards it is the way
back. After a crash or Ctrl-C, the same command continues.

The new collection is called as the old one, with the beginning of the new encoder's fingerprint, unless you
give --into. Every other command of a migration works on the two: status, resume, verify, cutover, rollback,
complete, abort.

Documentation: docs/migrate-reencode.md`;

/** `migrate reencode`: gives a two-stage target a new encoder. */
export function reencodeCommand(): Command {
  const command = withPlaceFlags(new Command('reencode').argument('<target>', 'two-stage collection'))
    .description('Give a two-stage collection a new encoder, from the full vectors that it keeps.')
    .requiredOption('--encoder <file>', 'the new encoder, trained for the full vectors')
    .option('--into <name>', 'name of the new collection (default: <target>_<fingerprint of the encoder>)')
    .addOption(
      new Option(
        '--datatype <name>',
        'datatype of the compact vector (default: as the old migration chose it)',
      ).choices([...TARGET_DATATYPES]),
    )
    .addOption(
      new Option(
        '--quantization <name>',
        'shorter codes in memory, and the compact vector on disk (default: as the old compact vector has it)',
      ).choices([...QUANTIZATIONS]),
    )
    .option(
      '--hnsw-m <n>',
      'links of each point in the HNSW graph of the compact vector (default: as the old compact vector has it)',
      wholeNumber,
    )
    .action(async (target: string, flags: ReencodeFlags) =>
      (await import('./run-reencode.js')).runReencode(target, flags),
    );
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withWriteFlags(withGlobalFlags(withHookFlags(withCopyFlags(command))));
}
