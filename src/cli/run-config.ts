import { withConsole } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';
import { nextCommand } from './console/next-commands.js';
import { sayRows } from './console/show-results.js';

/** Runs `config`. */
export function runConfig(flags: GlobalFlags): Promise<void> {
  return withConsole(flags, (run, config) => {
    const rows = Object.entries(config.shown).map(([name, { value, from, doc }]) => [
      name,
      String(value),
      from,
      doc,
    ]);
    const layout = { align: 'words', ranks: [0, 0, 1, 2] } as const;
    sayRows(run, [['setting', 'value', 'from', 'meaning'], ...rows], layout);
    const served = Object.keys(config.collections);
    if (served.length > 0) run.next([nextCommand(flags, { command: ['serve'], flags: [] })]);
    run.result(config.shown);
    return Promise.resolve();
  });
}
