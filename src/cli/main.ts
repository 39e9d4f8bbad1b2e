#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { isTldrError, nativeLibraryError, type ErrorCode } from '../core/errors.js';
import { VERSION } from '../encoder/package-version.js';
import { errorText } from './console/advice.js';
import { painted } from './console/colours.js';
import { terminalColumns, wrapWords } from './console/wrap-words.js';
import { fitHelp, groupOptions, wrappedHelp } from './console/help-groups.js';
import { goOnText } from './console/interruption.js';
import { collectGarbageLessOften } from './collect-garbage-less-often.js';

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

/**
 * A command's module holds its flags and its help, and loads what does the work when the command runs. So `--help` starts
 * quickly, and `serve` does not load the training code.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo/command.js')).demoCommand(),
  shrink: async () => (await import('./shrink/command.js')).shrinkCommand(),
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  train: async () => (await import('./train/command.js')).trainCommand(),
  plan: async () => (await import('./plan/command.js')).planCommand(),
  migrate: async () => (await import('./migrate/command.js')).migrateCommand(),
  evaluate: async () => (await import('./evaluate/command.js')).evaluateCommand(),
  search: async () => (await import('./search.js')).searchCommand(),
  serve: async () => (await import('./serve/command.js')).serveCommand(),
  project: async () => (await import('./project.js')).projectCommand(),
  sql: async () => (await import('./sql.js')).sqlCommand(),
  config: async () => (await import('./config-command.js')).configCommand(),
  completion: async () => (await import('./completion/command.js')).completionCommand(),
};

const HELP = `
All in one guided run:
  qdrant-tldr shrink docs
      sizes, trains, migrates, evaluates

Step by step, in this order:
  qdrant-tldr inspect docs
      dimensions, points and memory
  qdrant-tldr plan docs --target "recall@10>=0.97"
      which size and storage is enough
  qdrant-tldr train docs --dim 96 --out enc.onnx
      learn the encoder
  qdrant-tldr migrate docs docs_2s --encoder enc.onnx
      copy and verify every point
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx
      recall and latency of both
  qdrant-tldr serve --collection docs --target docs_2s --encoder enc.onnx
      the proxy for unchanged clients

"qdrant-tldr demo" shows all of this on its own data. "qdrant-tldr <command> --help" explains a command.
The server's address comes from QDRANT_URL or --url, its API key from QDRANT_API_KEY.

Documentation: docs/cli.md (commands, output, exit codes), docs/config.md (settings)`;

collectGarbageLessOften();
const program = new Command('qdrant-tldr')
  .description('Learn a smaller vector space from a Qdrant collection and move the collection into it.')
  .version(VERSION)
  .exitOverride()
  .showHelpAfterError('(add --help for the options and examples)')
  .addHelpText('after', () => wrappedHelp(HELP));
fitHelp(program);
for (const load of wantedCommands(process.argv[2])) {
  const command = await load();
  for (const one of [command, ...command.commands]) {
    one.exitOverride().showHelpAfterError('(add --help for the options and examples)');
    groupOptions(one);
  }
  program.addCommand(command);
}
if (process.argv[2] === 'complete') {
  const { suggestWordsCommand } = await import('./completion/command.js');
  program.addCommand(
    suggestWordsCommand(() => program),
    { hidden: true },
  );
}

// A closed pipe, as in "| head -1", is not a failure: the command's own work continues or ends as usual.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  console.error(`error: cannot write to standard output: ${error.message}`);
  process.exitCode = EXIT.INVALID_ARGUMENT;
});

try {
  await program.parseAsync();
} catch (thrown) {
  const error = nativeLibraryError(thrown) ?? thrown;
  if (error instanceof CommanderError) {
    // The parser has printed the usage error itself. Help and version have exit code 0.
    if (error.exitCode !== 0) fail('INVALID_ARGUMENT', usageMessage(error));
  } else {
    const code = isTldrError(error) ? error.code : 'INTERNAL';
    const line = `${painted('error:', 'bad', process.stderr)} ${errorText(error)}`;
    console.error(wrapWords(line, terminalColumns(process.stderr)));
    if (code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
    // If a command measured something before it failed, its error carries the result.
    const result = isTldrError(error) ? error.fields['result'] : undefined;
    fail(code, errorText(error), typeof result === 'object' ? result : {});
    const goOn = isTldrError(error) ? error.fields['goOn'] : undefined;
    if (typeof goOn === 'string') console.error(goOnText(goOn));
  }
}

function fail(code: ErrorCode, message: string, measured: object | null = null): void {
  if (process.argv.includes('--json')) console.log(JSON.stringify({ ...measured, error: { code, message } }));
  process.exitCode = EXIT[code];
}

function usageMessage({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
}

/**
 * Returns how to load the named command. Without a known name it returns all, so that help can list them; the version needs
 * none.
 */
function wantedCommands(name: string | undefined): readonly (() => Promise<Command>)[] {
  if (name === '--version' || name === '-V') return [];
  const named = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return named === undefined ? Object.values(COMMANDS) : [named];
}
