import type { MemoryEstimate } from '../../store/storage.js';
import { createInterface } from 'node:readline';
import type { Config } from '../../config/load.js';
import { TldrError } from '../../core/errors.js';
import { formatBytes } from '../../report/format.js';
import type { Log, Progress, RunOptions } from '../../core/run-options.js';
import { painted, type Tone } from './colours.js';
import { openLog } from './log.js';
import { goOnText } from './interruption.js';
import { openProgressDisplay } from './progress/display.js';
import type { CommandStages } from './progress/stages.js';
import { terminalColumns, wrapWords } from './wrap-words.js';

/** The text shown in place of a value that a store does not report. */
const UNKNOWN = 'not known';

/** A command's output: lines for people, progress, and the one JSON object of `--json`. */
export interface ConsoleRun extends RunOptions {
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly onProgress: (progress: Progress) => void;
  /** Says which stages the command goes through, for the line about how far all of it is. */
  expectStages(stages: CommandStages): void;
  /** Width of the terminal that `say` writes to; Infinity without one. */
  readonly columns: number;
  /**
   * A line for people, wrapped to the terminal: standard output, or standard error when `--json` owns standard output.
   */
  say(line?: string): void;
  /** The same for code, such as SQL: never wrapped, so that it can be copied. */
  sayCode(line: string): void;
  /** Returns the text in the colour of its tone, if `say` writes to a terminal that has colours. */
  paint(text: string, tone: Tone): string;
  /** The commands that make sense when this one is over; the last call counts. */
  next(commands: readonly string[]): void;
  /** Prints these commands, on standard error, so that they stay apart from results. */
  sayNext(): void;
  /** The command's result: printed as the last line of standard output with `--json`. */
  result(value: unknown): void;
  /**
   * Asks the user and returns if the answer is yes.
   * @param look flag or command that shows what would happen; the error names it
   * @throws INVALID_ARGUMENT when there is no terminal and `--yes` was not given, ABORTED when the answer is
   * no
   */
  confirm(question: string, look?: string): Promise<void>;
  close(): void;
}

export interface ConsoleFlags {
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly verbose?: boolean;
}

/** Sets up output, progress and Ctrl-C for one command. */
export async function openConsole(
  flags: ConsoleFlags,
  config: Pick<Config, 'logLevel'>,
): Promise<ConsoleRun> {
  const json = flags.json === true;
  const controller = new AbortController();
  const progress = await openProgressDisplay();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      progress.clear();
      console.error(goOnText());
      // The signal itself ends the process: exiting would tear down worker threads inside native calls.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
      return;
    }
    progress.hold('stopping; press Ctrl-C again to end at once');
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const log = await openLog(config.logLevel, progress.clear);
  const output = json ? process.stderr : process.stdout;
  const sayCode = (line: string): void => {
    progress.clear();
    // Pages keep a number and its unit together; a terminal's text can be copied with plain blanks.
    const text = line.replaceAll('\u00A0', ' ');
    if (json) console.error(text);
    else console.log(text);
  };
  let next: readonly string[] = [];
  return {
    signal: controller.signal,
    log,
    onProgress: progress.show,
    expectStages: progress.expect,
    get columns() {
      return terminalColumns(output);
    },
    say: (line = '') => sayCode(wrapWords(line, terminalColumns(output))),
    sayCode,
    paint: (text, tone) => painted(text, tone, output),
    next: (commands) => void (next = commands),
    sayNext: () => {
      progress.clear();
      if (next.length > 0) console.error(nextText(next));
    },
    result: (value) => {
      progress.clear();
      if (json) console.log(jsonText(value));
    },
    confirm: async (question, look = '--dry-run') => {
      if (flags.yes === true) return;
      if (!process.stdin.isTTY || !process.stderr.isTTY) {
        throw new TldrError(
          'INVALID_ARGUMENT',
          `${question} There is no terminal to ask at: add --yes to continue, or use ${look} to look first`,
        );
      }
      progress.clear();
      const answer = await ask(`${question.replaceAll('\u00A0', ' ')} [y/N] `, controller.signal);
      if (!/^y(es)?$/i.test(answer.trim())) throw new TldrError('ABORTED', 'nothing was changed');
    },
    close: () => {
      progress.clear();
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner));
}

function nextText(commands: readonly string[]): string {
  return ['next:', ...commands.map((command) => `  ${painted(command, 'command', process.stderr)}`)].join(
    '\n',
  );
}

/** Returns the user's answer; empty after Ctrl-C, Ctrl-D or when the signal fires. */
function ask(question: string, signal: AbortSignal): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const close = (): void => terminal.close();
  signal.addEventListener('abort', close, { once: true });
  return new Promise<string>((resolve) => {
    terminal.once('close', () => resolve(''));
    terminal.question(question, resolve);
  }).finally(() => {
    signal.removeEventListener('abort', close);
    terminal.close();
  });
}

/** Returns the expected memory of vectors and index as text. */
export function ramText(estimate: MemoryEstimate | null): string {
  return estimate === null ? UNKNOWN : formatBytes(estimate.vectorsRamBytes + estimate.indexRamBytes);
}

/** Returns the expected size of vectors on disk as text. */
export function diskText(estimate: MemoryEstimate | null): string {
  return estimate === null ? UNKNOWN : formatBytes(estimate.vectorsDiskBytes);
}

/** Returns a share as a percentage, such as 99.6 %. */
export function percentText(share: number, decimals = 1): string {
  return `${(share * 100).toFixed(decimals)} %`;
}
