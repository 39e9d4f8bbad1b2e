#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { isTldrError, messageOf, type ErrorCode } from '../core/errors.js';
import { VERSION } from '../select/version.js';
import { growHeapAtEase } from './console/heap-growth.js';

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

/** Each in a module of its own, loaded when it is asked for: what serves must not load what trains. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo/command.js')).demoCommand(),
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  train: async () => (await import('./train/command.js')).trainCommand(),
  plan: async () => (await import('./plan/command.js')).planCommand(),
  migrate: async () => (await import('./migrate/command.js')).migrateCommand(),
  evaluate: async () => (await import('./evaluate/command.js')).evaluateCommand(),
  search: async () => (await import('./search.js')).searchCommand(),
  serve: async () => (await import('./serve/command.js')).serveCommand(),
  project: async () => (await import('./project.js')).projectCommand(),
  config: async () => (await import('./config-command.js')).configCommand(),
};

growHeapAtEase();
const program = new Command('qdrant-tldr')
  .description('Learn a smaller vector space from a Qdrant collection and move the collection into it.')
  .version(VERSION)
  .exitOverride()
  .showHelpAfterError('(add --help for the options and examples)');
for (const load of wantedCommands(process.argv[2])) {
  const command = await load();
  for (const one of [command, ...command.commands])
    one.exitOverride().showHelpAfterError('(add --help for the options and examples)');
  program.addCommand(command);
}

// A reader that has seen enough, as in "| head -1", is no failure; the work itself goes on or ends as it would.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  console.error(`error: cannot write to standard output: ${error.message}`);
  process.exitCode = EXIT.INVALID_ARGUMENT;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // The usage error itself was printed by the parser; help and version are none.
    if (error.exitCode !== 0) fail('INVALID_ARGUMENT', usageMessage(error));
  } else {
    const code = isTldrError(error) ? error.code : 'INTERNAL';
    console.error(`error: ${messageOf(error)}`);
    if (code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
    // A command that measured before it failed hands its result over with the error.
    const result = isTldrError(error) ? error.fields['result'] : undefined;
    fail(code, messageOf(error), typeof result === 'object' ? result : {});
  }
}

function fail(code: ErrorCode, message: string, measured: object | null = null): void {
  if (process.argv.includes('--json')) console.log(JSON.stringify({ ...measured, error: { code, message } }));
  process.exitCode = EXIT[code];
}

function usageMessage({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
}

/** The command that is named first, or all of them: for help, and to say which there are. */
function wantedCommands(name: string | undefined): readonly (() => Promise<Command>)[] {
  const named = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return named === undefined ? Object.values(COMMANDS) : [named];
}
