import { Command } from 'commander';
import { cutoverCommand, rollbackCommand } from './cutover-and-rollback.js';
import { abortCommand, completeCommand } from './complete-and-abort.js';
import { reencodeCommand } from './reencode.js';
import { resumeCommand, startCommand } from './start-and-resume.js';
import { pauseCommand, statusCommand } from './status-and-pause.js';
import { tuneCommand } from './tune.js';
import { verifyCommand } from './verify.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   the source, which is never changed before "complete --delete-source --execute", and the encoder file
Writes  the target, and the migration state: .qdrant-tldr/<source>--<target>.json, or in the server

In this order:
  qdrant-tldr migrate start docs docs_2s --encoder enc.onnx                 copies and verifies every point
  qdrant-tldr migrate status docs docs_2s                                   how far it is, and the next step
  qdrant-tldr serve --collection docs --target docs_2s --encoder enc.onnx   lets clients stay as they are
  qdrant-tldr migrate cutover docs docs_2s --alias search                   says what would happen
  qdrant-tldr migrate cutover docs docs_2s --alias search --execute         sends clients to the target
  qdrant-tldr migrate rollback docs docs_2s --execute                       sends them back, if need be
  qdrant-tldr migrate complete docs docs_2s                                 ends the migration

A plain migration does not bring over writes that clients make to the source during the copy. Choose one:
  - stop the writers before the copy, and start them again after the cut-over;
  - let clients write through the proxy: start with --journal <folder>, cutover with --by proxy;
  - let clients write to the source: --catch-up for start and for cutover.

A table of PostgreSQL is migrated in place, without a target ("migrate start docs --encoder enc.onnx").

Commands that switch or delete something only say what would happen, until you give --execute.
"migrate docs docs_2s ..." is short for "migrate start docs docs_2s ...".
Every command takes --json and --help.

Documentation: docs/migrate.md, docs/migrate-proxy.md, docs/migrate-catch-up.md, docs/migrate-state.md,
docs/pgvector.md`;

/** `migrate`: all commands of a migration; without a command it means `migrate start`. */
export function migrateCommand(): Command {
  const command = new Command('migrate')
    .description(
      'Copy a collection into a smaller one and send clients to it, in steps that you can stop, inspect and undo.',
    )
    .usage('[command] <source> [target] [options]')
    .helpCommand(false);
  command.addCommand(startCommand(), { isDefault: true });
  for (const one of [
    statusCommand(),
    pauseCommand(),
    resumeCommand(),
    reencodeCommand(),
    tuneCommand(),
    verifyCommand(),
    cutoverCommand(),
    rollbackCommand(),
    completeCommand(),
    abortCommand(),
  ])
    command.addCommand(one);
  return command.addHelpText('after', () => wrappedHelp(HELP));
}
