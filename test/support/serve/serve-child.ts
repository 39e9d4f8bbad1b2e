import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const READY_MS = 300_000;

/**
 * The words before a command that give it process ids of its own on the same host name, as a container has them. It
 * ends with the process that they start.
 */
export const OWN_PIDS = ['unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'] as const;

/** Returns whether this machine allows `OWN_PIDS`; says which tests are left out where it does not. */
export function ownPidsAllowed(leftOut: string): boolean {
  const [unshare, ...words] = OWN_PIDS;
  const allowed = spawnSync(unshare, [...words, 'true']).status === 0;
  if (!allowed) process.stderr.write(`${leftOut} left out: unshare is not allowed here\n`);
  return allowed;
}

interface Addresses {
  readonly rest: string;
  readonly grpc: string;
  readonly operations: string;
}

/** A `serve` process. */
export interface Serving extends Addresses {
  readonly child: ChildProcess;
  readonly log: () => string;
  readonly ended: Promise<number | null>;
}

const started = new Set<ChildProcess>();

/** Starts `serve` with the folder's serve.json and reads where it listens from its one JSON object. */
export async function startServe(
  folder: string,
  args: readonly string[],
  {
    env = {},
    before = [],
    running = started,
  }: {
    /** Words before the command that starts it, as `OWN_PIDS`. */
    readonly before?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    /** Where the process is as long as it runs, for whoever ends it after a failure; else `endServing` does. */
    readonly running?: Set<ChildProcess>;
  } = {},
): Promise<Serving> {
  const serve = [process.execPath, MAIN, 'serve', '--config', join(folder, 'serve.json'), '--json', ...args];
  const [command = '', ...words] = [...before, ...serve];
  const child = spawn(command, words, {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let [stdout, stderr] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  void ended.then(() => running.delete(child));
  const addresses = await new Promise<Addresses>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`serve is not ready: ${stderr}`)), READY_MS);
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (!stdout.includes('\n')) return;
      const said = JSON.parse(stdout) as Partial<Addresses>;
      // Else it said why it does not start, and ends.
      if (said.operations === undefined) return;
      clearTimeout(timer);
      resolve(said as Addresses);
    });
    void ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`serve ended with ${code}: ${stderr}`));
    });
  });
  const { rest, grpc, operations } = addresses;
  return { rest, grpc, operations, child, log: () => stderr, ended };
}

/** Processes that run, or are still starting. */
export function startedServing(): readonly ChildProcess[] {
  return [...started];
}

/** Ends what a failed test left running. */
export function endServing(): void {
  for (const child of started) child.kill('SIGKILL');
}
