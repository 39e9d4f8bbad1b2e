/**
 * `qdrant-tldr` as the snippets of pages call it in tests: says yes, keeps trainings and measurements small where the
 * snippet says nothing of their size, and stops a proxy as soon as it is ready.
 *
 * Usage: node snippet-command-child.js ARGUMENTS-OF-QDRANT-TLDR
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const BUDGET = ['--budget', '0.2s'];
const SMALL: Readonly<Record<string, readonly (readonly string[])[]>> = {
  shrink: [BUDGET],
  train: [BUDGET],
  plan: [
    BUDGET,
    ['--dims', '96'],
    ['--datatypes', 'float16'],
    ['--oversampling', '4'],
    ['--queries-count', '20'],
  ],
};
/** What `serve` prints once it listens. */
const LISTENS = 'REST on ';

async function run(args: readonly string[]): Promise<number> {
  const small = (SMALL[args[0] ?? ''] ?? []).filter(([flag = '']) => !args.includes(flag)).flat();
  const child = spawn(process.execPath, ['--no-warnings', MAIN, ...args, ...small, '--yes'], {
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  const stops = args[0] === 'serve' && !args.includes('--check');
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk);
    if (stops && chunk.toString().includes(LISTENS)) child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return code ?? 1;
}

process.exitCode = await run(process.argv.slice(2));
