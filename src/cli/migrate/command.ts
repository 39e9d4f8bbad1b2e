import { Command } from 'commander';
import { cutoverCommand, rollbackCommand } from './cutover.js';
import { abortCommand, completeCommand } from './end.js';
import { resumeCommand, startCommand } from './start.js';
import { pauseCommand, statusCommand } from './status.js';
import { tuneCommand } from './tune.js';
import { verifyCommand } from './verify.js';

/** `migrate`: everything about a migration; without a command of its own it starts one. */
export function migrateCommand(): Command {
  const command = new Command('migrate')
    .description(
      'Move a collection into a compact one, in steps that can be stopped, looked at and taken back.',
    )
    .usage('[command] <source> <target> [options]')
    .helpCommand(false);
  command.addCommand(startCommand(), { isDefault: true });
  for (const one of [
    statusCommand(),
    pauseCommand(),
    resumeCommand(),
    tuneCommand(),
    verifyCommand(),
    cutoverCommand(),
    rollbackCommand(),
    completeCommand(),
    abortCommand(),
  ])
    command.addCommand(one);
  return command.addHelpText(
    'after',
    `
In this order:
  qdrant-tldr migrate start docs docs_c96 --encoder enc.onnx
  qdrant-tldr migrate status docs docs_c96
  qdrant-tldr migrate cutover docs docs_c96 --alias search
  qdrant-tldr migrate cutover docs docs_c96 --alias search --execute
  qdrant-tldr migrate rollback docs docs_c96 --execute      (the way back, as long as the source is there)
  qdrant-tldr migrate complete docs docs_c96

Behind the proxy, while clients write: start with --journal <folder>, cutover with --by proxy (docs/migrate.md).
"migrate docs docs_c96 --encoder enc.onnx" is "migrate start docs docs_c96 --encoder enc.onnx".
Every command takes --json. What switches or deletes only says what it would do until --execute is given.
Otherwise writes to the source during the copy are not followed: pause the writers before, until the cut-over, or give
--catch-up to start and cutover.`,
  );
}
