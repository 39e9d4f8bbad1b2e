import type { Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import { verifyAgain } from '../../migrate/verify/from-state.js';
import { hooksOf, withHookFlags, type HookFlags } from './hooks.js';
import {
  encoderOf,
  stateCommand,
  withMigration,
  type MigrationWork,
  type StateFlags,
} from './state-flags.js';
import { wholeNumber } from '../console/options.js';

const VERIFY_HELP = `Reads   the migration state, both collections and the encoder file
Writes  the result into the migration state; it changes neither collection

Examples:
  qdrant-tldr migrate verify docs docs_c96
  qdrant-tldr migrate verify docs docs_c96 --sample 10000 --json

If something differs, the exit code is 10 and \`migrate resume\` repairs it. A sample finds frequent
differences, not one changed point in a million, and it does not make a copy count as verified.

After the cut-over, clients may have written to the target, which is then reported as a difference. If a proxy
brings over the writes, both sides stay equal: points that differ are read again for some seconds, until the
last writes are in both.

Documentation: docs/migrate.md, docs/migrate-proxy.md`;

interface VerifyFlags extends StateFlags, HookFlags {
  readonly encoder?: string;
  readonly sample?: number;
}

/** `migrate verify`: compares source and target again. */
export function verifyCommand(): Command {
  const command = stateCommand('verify', {
    description: 'Compare source and target again: settings, payload indexes, counts, and every point.',
    examples: VERIFY_HELP,
  })
    .option('--encoder <file>', 'encoder file (default: the file that the migration state names)')
    .option('--sample <n>', 'compare n random points of each collection instead of all', wholeNumber);
  return withHookFlags(command).action((source: string, target: string, flags: VerifyFlags) =>
    withMigration({ source, target }, flags, (work) => verify(work, flags)),
  );
}

async function verify(work: MigrationWork, flags: VerifyFlags): Promise<void> {
  const { run, config } = work;
  if (flags.sample === 0) throw new TldrError('INVALID_ARGUMENT', '--sample 0 compares nothing');
  const { encoder } = await encoderOf(flags.encoder, await readMigrationState(work));
  const { signal, log, onProgress } = run;
  const { batchSize } = config;
  const hook = hooksOf(flags, config, signal);
  const { sample } = flags;
  const found = await verifyAgain({ ...work, encoder, sample, batchSize, hook, signal, log, onProgress });
  const what = sample === undefined ? 'all' : 'a sample of';
  const points = found.points.toLocaleString('en-US');
  if (found.ok) {
    const agreed = found.countsCompared ? 'vectors, settings and counts' : 'vectors and settings';
    run.say(`verified ${what} ${points} points: ids, payloads, ${agreed} agree`);
    run.result(found);
    return;
  }
  for (const line of found.differences) run.say(`  ${line}`);
  throw new TldrError(
    'VERIFY_FAILED',
    `${found.differenceCount} ${found.differenceCount === 1 ? 'difference' : 'differences'} in ${what} ${points} points; \`migrate resume\` repairs them, unless an alias leads to the target`,
    { result: found },
  );
}
