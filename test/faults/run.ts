import type { ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { PACKAGED_VERSION } from '../../adapters/qdrant/local/packaged-version.js';
import { startFrailServer } from './frail-server.js';
import { runSeed, type Outcome } from './run-seed.js';
import { FAULTS, noFaults, type FaultCounts } from './fault-injection.js';

/**
 * The fault suite: per seed, a real Qdrant behind lines that can be cut or answer 429 and 503, writers of every kind
 * over REST and gRPC through `serve`, a copy by one or several workers, two cut-overs and one way back, and faults at
 * random moments of each phase. Afterwards both sides are compared by code that shares nothing with the product, and
 * whoever was told that a write was made must have read it.
 * Options: `--seeds=100`, `--first=1`, `--lanes=1`: seeds run at the same time. Every seed has a server of its own.
 * A seed gives the same writes and the same plan of faults again.
 */
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const option = (name: string, fallback: number): number =>
  Number(
    process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback,
  );
const [seeds, first, lanes] = [option('seeds', 100), option('first', 1), option('lanes', 1)];
// So that servers and proxies end with this, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const sum = { seeds: 0, writes: 0, wrong: 0, made: noFaults() };

function inWords(made: Readonly<FaultCounts>): string {
  const kinds = Object.keys(FAULTS) as (keyof FaultCounts)[];
  return kinds.map((kind) => `${made[kind]} ${FAULTS[kind]}`).join(', ');
}

/** What a seed came to; one that cannot be brought to its end counts as a difference. */
async function outcomeOf(seed: number): Promise<Outcome> {
  const running = new Set<ChildProcess>();
  const endAll = (): void => {
    for (const child of running) child.kill('SIGKILL');
  };
  process.once('exit', endAll);
  const server = await startFrailServer();
  try {
    return await runSeed(seed, server, running);
  } catch (error) {
    return { writes: 0, made: noFaults(), wrong: [error instanceof Error ? error.message : String(error)] };
  } finally {
    endAll();
    process.removeListener('exit', endAll);
    await server.stop();
  }
}

let next = first;
async function lane(): Promise<void> {
  for (let seed = next++; seed < first + seeds; seed = next++) {
    const { writes, made, wrong } = await outcomeOf(seed);
    sum.seeds++;
    sum.writes += writes;
    sum.wrong += wrong.length;
    for (const kind of Object.keys(FAULTS) as (keyof FaultCounts)[]) sum.made[kind] += made[kind];
    say(`seed ${seed}: ${writes} writes, ${inWords(made)}: ${wrong.length} differences`);
    for (const text of wrong.slice(0, 20)) say(`  ${text}`);
    if (wrong.length > 0) process.exitCode = 1;
  }
}

await Promise.all(Array.from({ length: lanes }, lane));
say(
  `${sum.seeds} seeds, ${sum.writes} writes of points, ${inWords(sum.made)}: ${sum.wrong} differences; Qdrant ${PACKAGED_VERSION}, Node ${process.version}, ${cpus()[0]?.model ?? ''}, ${cpus().length} cores`,
);
