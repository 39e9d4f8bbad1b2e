import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const READY_MS = 300_000;

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
    running = started,
  }: {
    readonly env?: Readonly<Record<string, string>>;
    /** Where the process is as long as it runs, for whoever ends it after a failure; else `endServing` does. */
    readonly running?: Set<ChildProcess>;
  } = {},
): Promise<Serving> {
  const child = spawn(
    process.execPath,
    [MAIN, 'serve', '--config', join(folder, 'serve.json'), '--json', ...args],
    {
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
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
      clearTimeout(timer);
      resolve(JSON.parse(stdout) as Addresses);
    });
    void ended.then((code) => reject(new Error(`serve ended with ${code}: ${stderr}`)));
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
