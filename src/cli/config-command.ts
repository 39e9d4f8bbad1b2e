import { Command } from 'commander';
import { table } from './console/command-output.js';
import { withConsole, withGlobalFlags, type GlobalFlags } from './console/options.js';

const HELP = `
Reads   flags, environment variables and the configuration file (--config, or qdrant-tldr.config.json here)
Writes  nothing

Flags override variables, variables override the file, and the file overrides the defaults.

Examples:
  qdrant-tldr config
  qdrant-tldr config --config serve.json --json

Documentation: docs/config.md`;

/** `config`: the settings in effect and where each comes from. */
export function configCommand(): Command {
  const command = new Command('config')
    .description('Print the settings in effect and where each comes from; secrets are masked.')
    .action((flags: GlobalFlags) =>
      withConsole(flags, (run, config) => {
        const rows = Object.entries(config.shown).map(([name, { value, from, doc }]) => [
          name,
          String(value),
          from,
          doc,
        ]);
        run.say(table([['setting', 'value', 'from', 'meaning'], ...rows], 'words'));
        run.result(config.shown);
        return Promise.resolve();
      }),
    );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
}
