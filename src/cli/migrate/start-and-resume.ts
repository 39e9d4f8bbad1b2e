import { COPY_CONCURRENCY, DEFAULT_LAYOUT, REQUEST_POINTS } from '../../store/defaults.js';
import { Command, Option } from 'commander';
import { QUANTIZATIONS, TARGET_DATATYPES } from '../../store/collection.js';
import { withCatchUpFlags } from './catch-up-flags.js';
import { withHookFlags } from './hooks.js';
import { stateCommand, withLockFlag, withStateFlags } from './state-flags.js';
import { withTuneFlags } from './tune.js';
import { wholeNumber, withGlobalFlags, withWriteFlags } from '../console/options.js';
import type { StartFlags, ResumeFlags } from './run-start-and-resume.js';
import { wrappedHelp } from '../console/help-groups.js';

const START_HELP = `
Reads   the source collection, which is never written to, and the encoder file
Writes  the target collection, and the migration state (--record or --state), which is saved before each step

Examples:
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --dry-run
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --yes
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --datatype float16 --quantization scalar
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --yes --on finished 'mail -s "$TLDR_TARGET ready" me'
  qdrant-tldr migrate start docs docs_c96 --encoder enc.onnx --layout compact --yes

The layout two-stage, the default, keeps the full vectors on disk: results are ordered by them, scores stay as they
were, and full-size queries are answered. Choose --layout compact only if the disk is too small for the full vectors.
It finds less, and clients must project their vectors or use the proxy. A migration that was begun keeps its layout.

After a crash or Ctrl-C, the same command continues.

Writes that clients make to the source during the copy are not brought over. Stop the writers until the
cut-over, let them write through the proxy (below), or give --catch-up here and at the cut-over.

Behind the proxy nobody stops. First run \`serve\` with this entry in "collections", and let clients use it:
  {"docs": {"target": "docs_2s", "encoder": "enc.onnx",
            "migrating": {"source": "docs", "journal": "journal/docs"}}}
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --journal journal/docs --yes
  qdrant-tldr migrate cutover docs docs_2s --by proxy --execute
The migration state keeps the folder for later commands. The start is refused if no such proxy is running.

A table of PostgreSQL has no target. Its compact vectors are written beside it, and triggers keep them up to date:
  qdrant-tldr migrate start docs --encoder enc.onnx --url postgres://app@localhost/app
With --layout index-only, nothing is copied: an index of the projected vectors is all that is added to the table.

Several workers, at once or one after another, share the migration state; the last one verifies:
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx --yes --record /shared/docs.json --worker 1/4

Hooks run by "sh -c". They get facts in TLDR_EVENT, TLDR_SOURCE, TLDR_TARGET and other variables, and no keys.
Write --on after the collections.

Documentation: docs/migrate.md, docs/migrate-proxy.md, docs/migrate-catch-up.md, docs/migrate-state.md (workers),
docs/pgvector-migrate.md (tables of PostgreSQL)`;

const RESUME_HELP = `Reads   the migration state, the source collection and the encoder file
Writes  the target collection and the migration state

Examples:
  qdrant-tldr migrate resume docs docs_2s
  qdrant-tldr migrate resume docs docs_2s --encoder enc.onnx --yes

If a verification found differences, this copies the differing points again and removes points that only the
target has.

Documentation: docs/migrate.md`;

/** `migrate start`: copies a collection into its compact form and verifies it. */
export function startCommand(): Command {
  const command = withStateFlags(new Command('start'))
    .description('Copy a collection into a smaller one, every point, payload and setting, and verify it.')
    .requiredOption('--encoder <file>', 'encoder file written by train')
    .addOption(
      new Option(
        '--layout <name>',
        `two-stage: also the full vectors, on disk, to rescore results; compact: compact vectors only (default: ${DEFAULT_LAYOUT}, or as the migration was begun); PostgreSQL: side, the default, or index-only`,
      ).choices(['two-stage', 'compact', 'side', 'index-only']),
    )
    .option('--vector <name>', 'vector to reduce, if the source has several')
    .option('--compact-name <name>', 'name of the compact vector in the two-stage layout (default: compact)')
    .addOption(
      new Option(
        '--datatype <name>',
        'datatype of the compact vector; turbo4: 4 bits a value, two-stage only, Qdrant 1.19 (default: as in the source)',
      ).choices([...TARGET_DATATYPES]),
    )
    .addOption(
      new Option(
        '--quantization <name>',
        'shorter codes in memory, and the compact vector on disk; none: the compact vector in memory (default: as in the source)',
      ).choices([...QUANTIZATIONS]),
    )
    .option(
      '--hnsw-m <n>',
      'links of each point in the HNSW graph of the compact vector (default: as in the source)',
      wholeNumber,
    )
    .option(
      '--journal <folder>',
      'clients write through `serve` with "migrating" and this journal folder: their writes are brought over',
    )
    .action(async (source: string, target: string | undefined, flags: StartFlags) =>
      (await import('./run-start-and-resume.js')).runStart({ source, target }, flags),
    );
  command.addHelpText('after', () => wrappedHelp(START_HELP));
  return withWriteFlags(withGlobalFlags(withLockFlag(withHookFlags(withCopyFlags(command)))));
}

/** `migrate resume`: continues a migration from its state. */
export function resumeCommand(): Command {
  const command = stateCommand('resume', {
    description:
      'Continue a migration that was paused or cut off, or repair the differences that a verification found.',
    examples: RESUME_HELP,
  }).option('--encoder <file>', 'encoder file (default: the file that the migration state names)');
  return withLockFlag(withHookFlags(withCopyFlags(command))).action(
    async (source: string, target: string | undefined, flags: ResumeFlags) =>
      (await import('./run-start-and-resume.js')).runResume({ source, target }, flags),
  );
}

/** Adds the flags that say how a copy runs. */
export function withCopyFlags(command: Command): Command {
  return withCatchUpFlags(withTuneFlags(command))
    .option('--concurrency <n>', `ranges copied at the same time (default: ${COPY_CONCURRENCY})`, wholeNumber)
    .addOption(
      new Option('--lanes <n>', 'the earlier name of --concurrency').argParser(wholeNumber).hideHelp(),
    )
    .option('--batch-size <n>', `points per request (default: ${REQUEST_POINTS})`, wholeNumber)
    .option(
      '--worker <i/n>',
      'copy share i of n, next to other workers with the same migration state; job/n in a Kubernetes Indexed Job',
    );
}
