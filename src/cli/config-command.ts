import { Command } from 'commander';
import { table } from './console/run.js';
import { withConsole, withGlobalFlags, type GlobalFlags } from './console/options.js';

/** `config`: the effective settings and where each comes from. */
export function configCommand(): Command {
  const command = new Command('config')
    .description('Print the effective configuration; secrets are masked.')
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
  return withGlobalFlags(command);
}
