import type { Command } from 'commander';
import type { CompleteTableFlags } from './in-place/run-change.js';
import { stateCommand, withLockFlag } from './state-flags.js';
import type { CompleteFlags, AbortFlags } from './run-complete-and-abort.js';

const COMPLETE_HELP = `Reads   the migration state and both collections
Writes  the migration state, which is marked complete; it deletes the source if you ask for it

Examples:
  qdrant-tldr migrate complete docs docs_2s
  qdrant-tldr migrate complete docs docs_2s --delete-source
  qdrant-tldr migrate complete docs docs_2s --delete-source --execute

Nothing is deleted unless you give both --delete-source and --execute. Take a snapshot of the source first.

A table of PostgreSQL keeps its full vectors and their indexes unless you drop them:
  qdrant-tldr migrate complete docs --drop-full-index --execute
  qdrant-tldr migrate complete docs --drop-full-column           what that would do, and the phrase that it needs

After a cut-over by the proxy, the proxy still serves the target and writes to both sides. To end that,
replace its entry in "collections" by the plain entry that this command prints, and restart the proxy. Only
then can the source be deleted.

Documentation: docs/migrate.md, docs/migrate-proxy.md`;

const ABORT_HELP = `Reads   the migration state and the target
Writes  with --execute: it stops the run, and deletes the target and the migration state, never the source

Examples:
  qdrant-tldr migrate abort docs docs_2s
  qdrant-tldr migrate abort docs docs_2s --execute

A target that an alias or the proxy sends clients to is never removed, and neither is a target of another
migration. A proxy that brings over writes stops doing so first. If none is running, it stops when it is
started again.

Documentation: docs/migrate.md`;

/** `migrate complete`: marks the migration as over. */
export function completeCommand(): Command {
  const command = stateCommand('complete', {
    description: 'End a migration and say what you may delete.',
    examples: COMPLETE_HELP,
  });
  return withLockFlag(command)
    .option('--delete-source', 'delete the source collection, with --execute')
    .option('--without-cutover', 'clients reach the target without a cut-over, through the proxy for example')
    .option('--drop-full-index', 'PostgreSQL: drop the indexes of the full vectors, with --execute')
    .option(
      '--drop-full-column [words]',
      'PostgreSQL: delete the full vectors for good, with --execute and the phrase that the dry run prints',
    )
    .option('--execute', 'delete or drop; without this, only say what would happen')
    .action(async (source: string, target: string | undefined, flags: CompleteFlags & CompleteTableFlags) =>
      (await import('./run-complete-and-abort.js')).runComplete({ source, target }, flags),
    );
}

/** `migrate abort`: gives the migration up. */
export function abortCommand(): Command {
  return stateCommand('abort', {
    description:
      'Give a migration up: stop it, remove its target and its migration state. A dry run unless you give --execute.',
    examples: ABORT_HELP,
  })
    .option('--execute', 'do it; without this, only say what would happen')
    .action(async (source: string, target: string | undefined, flags: AbortFlags) =>
      (await import('./run-complete-and-abort.js')).runAbort({ source, target }, flags),
    );
}
