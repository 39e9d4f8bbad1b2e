import { Command } from 'commander';
import { withConsole, withGlobalFlags, type GlobalFlags } from './options.js';

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
        const all = [['setting', 'value', 'from', 'meaning'], ...rows];
        const widths = [0, 1, 2].map((j) => Math.max(...all.map((cells) => cells[j]?.length ?? 0)));
        for (const cells of all) run.say(cells.map((cell, j) => cell.padEnd(widths[j] ?? 0)).join('  '));
        run.result(config.shown);
        return Promise.resolve();
      }),
    );
  return withGlobalFlags(command);
}
