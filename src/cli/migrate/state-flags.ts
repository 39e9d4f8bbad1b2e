import { Command, Option } from 'commander';
import { STATE_COLLECTION } from '../adapters.js';
import { seconds, withGlobalFlags, type GlobalFlags } from '../console/options.js';
import { wrappedHelp } from '../console/help-groups.js';

export interface StateFlags extends GlobalFlags {
  readonly record?: string;
  /** `qdrant` is the earlier name of `database`. */
  readonly state?: 'file' | 'database' | 'qdrant';
}

/** Adds the flag for changes of a table that clients use. */
export function withLockFlag(command: Command): Command {
  return command.option(
    '--lock-timeout <time>',
    'PostgreSQL: longest wait for a lock of the table, behind which clients wait too (default: 2s)',
    seconds,
  );
}

/** Adds the arguments and flags that name a migration. */
export function withStateFlags(command: Command): Command {
  return withPlaceFlags(
    command
      .argument('<source>', 'collection to migrate; it is only read')
      .argument('[target]', 'collection that the migration makes; none for a table of PostgreSQL'),
  );
}

/** Adds the flags that say where the state of a migration is kept. */
export function withPlaceFlags(command: Command): Command {
  return command
    .option(
      '--record <file>',
      'file of the migration state (default: .qdrant-tldr/<source>--<target>.json, with a hash if names need one)',
    )
    .addOption(
      new Option(
        '--state <where>',
        `where the migration state is; file: in a file; database: in a small collection of the server (${STATE_COLLECTION}), for every machine that reaches it; qdrant: the earlier name of database`,
      )
        .choices(['file', 'database', 'qdrant'])
        .default('file'),
    );
}

/** Returns a command of a migration, with its arguments, the global flags and its help text. */
export function stateCommand(
  name: string,
  { description, examples }: { readonly description: string; readonly examples: string },
): Command {
  const command = withStateFlags(new Command(name).description(description)).option(
    '--vector <name>',
    'PostgreSQL: the column, if several of the table are migrated',
  );
  command.addHelpText('after', () => wrappedHelp(`\n${examples}`));
  return withGlobalFlags(command);
}
