import { Command } from 'commander';
import { withGlobalFlags, type GlobalFlags } from './console/options.js';
import { wrappedHelp } from './console/help-groups.js';

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
    .action(async (flags: GlobalFlags) => (await import('./run-config.js')).runConfig(flags));
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command);
}
