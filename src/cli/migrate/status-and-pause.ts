import type { Command } from 'commander';
import type { StatusFlags } from './run-status-and-pause.js';
import { stateCommand, type StateFlags } from './state-flags.js';

/** `migrate status`: shows the migration state and what the server says now. */
export function statusCommand(): Command {
  return stateCommand('status', {
    description: 'Show how far a migration is and what the next step is. It changes nothing.',
    examples: `Reads   the migration state, both collections, and the reports of the proxy if there is one
Writes  nothing

Examples:
  qdrant-tldr migrate status docs docs_2s
  qdrant-tldr migrate status docs docs_2s --watch
  qdrant-tldr migrate status docs docs_2s --json

Documentation: docs/migrate.md`,
  })
    .option('--watch', 'show how far it is until no run works on it any more; Ctrl-C ends only the watching')
    .action(async (source: string, target: string | undefined, flags: StatusFlags) =>
      (await import('./run-status-and-pause.js')).runStatus({ source, target }, flags),
    );
}

/** `migrate pause`: stops a running migration after its current batch, from any process. */
export function pauseCommand(): Command {
  return stateCommand('pause', {
    description: 'Stop a running migration at its next batch, from any process, until `migrate resume`.',
    examples: `Reads   the migration state
Writes  a request beside the migration state; the run reads it and stops

Examples:
  qdrant-tldr migrate pause docs docs_2s
  qdrant-tldr migrate pause docs docs_2s --state database

Documentation: docs/migrate.md`,
  }).action(async (source: string, target: string | undefined, flags: StateFlags) =>
    (await import('./run-status-and-pause.js')).runPause({ source, target }, flags),
  );
}
