#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { isTldrError, messageOf, type ErrorCode } from '../core/errors.js';
import { VERSION } from '../select/version.js';
import { configCommand } from './config-command.js';
import { demoCommand } from './demo.js';
import { inspectCommand } from './inspect.js';
import { migrateCommand } from './migrate.js';
import { planCommand } from './plan.js';
import { projectCommand } from './project.js';
import { searchCommand } from './search.js';
import { trainCommand } from './train.js';

/** Exit status per error code; documented in docs/cli.md. */
const EXIT: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 2,
  INVALID_DATA: 3,
  NOT_FOUND: 4,
  ALREADY_EXISTS: 5,
  UNAUTHORIZED: 6,
  FORBIDDEN: 6,
  UNSUPPORTED: 7,
  UNAVAILABLE: 8,
  TIMEOUT: 8,
  MISMATCH: 9,
  VERIFY_FAILED: 10,
  ABORTED: 130,
  INTERNAL: 1,
};

const program = new Command('qdrant-tldr')
  .description('Learn a smaller vector space from a Qdrant collection and move the collection into it.')
  .version(VERSION)
  .exitOverride()
  .showHelpAfterError('(add --help for the options and examples)');
for (const command of [
  demoCommand(),
  inspectCommand(),
  trainCommand(),
  planCommand(),
  migrateCommand(),
  searchCommand(),
  projectCommand(),
  configCommand(),
]) {
  program.addCommand(command.exitOverride());
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.INVALID_ARGUMENT;
  } else {
    const code = isTldrError(error) ? error.code : 'INTERNAL';
    console.error(`error: ${messageOf(error)}`);
    if (code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
    if (process.argv.includes('--json'))
      console.log(JSON.stringify({ error: { code, message: messageOf(error) } }));
    process.exitCode = EXIT[code];
  }
}
