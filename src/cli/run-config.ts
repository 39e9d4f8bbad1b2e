import { withConsole } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';
import { table } from './console/command-output.js';

/** Runs `config`. */
export function runConfig(flags: GlobalFlags): Promise<void> {
  return withConsole(flags, (run, config) => {
    const rows = Object.entries(config.shown).map(([name, { value, from, doc }]) => [
      name,
      String(value),
      from,
      doc,
    ]);
    run.say(table([['setting', 'value', 'from', 'meaning'], ...rows], 'words'));
    run.result(config.shown);
    return Promise.resolve();
  });
}
