import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The program of the command line. */
export const CLI_PROGRAM = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output as JSON. */
  readonly json: () => Record<string, unknown>;
}

/** Runs the command line as a person's shell would, without a terminal. */
export function runCli(
  args: readonly string[],
  options: {
    cwd: string;
    env?: Readonly<Record<string, string>>;
    input?: string;
    interruptOn?: string;
    /** Waits this long after `interruptOn`, so that the signal arrives in the midst of what follows. */
    interruptDelayMs?: number;
    /** Standard input stays open, as from a producer that has not finished. */
    keepInputOpen?: boolean;
    /** The reader of standard output goes away after its first chunk, as `head` does. */
    closeOutputEarly?: boolean;
    /** Another program than the product's, such as one that adds an adapter first. */
    program?: string;
  },
): Promise<CliResult> {
  const {
    cwd,
    env = {},
    input = '',
    interruptOn,
    interruptDelayMs = 0,
    keepInputOpen,
    closeOutputEarly,
    program = CLI_PROGRAM,
  } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd,
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    let [stdout, stderr, interrupted] = ['', '', false];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (closeOutputEarly === true) child.stdout.destroy();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (interruptOn === undefined || interrupted || !stderr.includes(interruptOn)) return;
      interrupted = true;
      setTimeout(() => child.kill('SIGINT'), interruptDelayMs);
    });
    child.once('error', reject);
    child.stdin.on('error', () => undefined);
    if (keepInputOpen === true) child.stdin.write(input);
    else child.stdin.end(input);
    child.once('close', (code) => {
      const json = (): Record<string, unknown> =>
        JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;
      resolve({ code, stdout, stderr, json });
    });
  });
}
