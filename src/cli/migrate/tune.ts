import type { Command } from 'commander';
import { stateCommand, type StateFlags } from './state-flags.js';
import { decimal } from '../console/options.js';
import type { TuneFlags } from './run-tune.js';

/** Adds the flags that throttle a migration. */
export function withTuneFlags(command: Command): Command {
  return command
    .option(
      '--max-load <latency>',
      'let the copy wait while a search of the source takes longer than this: 2x (its latency at rest) or 50ms; off: never wait',
    )
    .option(
      '--nice <times>',
      'rest after each batch for this many times as long as the batch took; 0: never rest',
      decimal,
    );
}

/** `migrate tune`: throttles a migration, also while it runs. */
export function tuneCommand(): Command {
  const command = stateCommand('tune', {
    description: 'Change how much of the server a migration may use, while it runs or before it continues.',
    examples: `Reads   the migration state
Writes  the throttle settings beside the migration state, for the current run and for later ones

Examples:
  qdrant-tldr migrate tune docs docs_2s --max-load 2x
  qdrant-tldr migrate tune docs docs_2s --max-load 50ms --nice 1
  qdrant-tldr migrate tune docs docs_2s --max-load off --nice 0
  qdrant-tldr migrate tune docs --nice 2 --url postgres://app@localhost/app

A run applies the settings within a second. "migrate status" shows them, and why the copy waits, if it does.

For a table of PostgreSQL, they slow down the filling of compact vectors. They do not slow down the building of
the index.

Documentation: docs/migrate.md, docs/pgvector-migrate.md`,
  });
  return withTuneFlags(command).action(
    async (source: string, target: string | undefined, flags: StateFlags & TuneFlags) =>
      (await import('./run-tune.js')).runTune({ source, target }, flags),
  );
}
