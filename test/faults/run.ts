import type { ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { PACKAGED_VERSION, startLocalQdrant } from '../../src/cli/local-qdrant.js';
import { Rng } from '../../src/core/rng.js';
import { writePlan } from '../../src/migrate/journal-state.js';
import { forAWhile, Scenario, type ScenarioPlace } from '../integration/migrating-scenario.js';
import { startRelay } from '../integration/relay.js';

/**
 * The fault suite: per seed, a real Qdrant behind a line that can be cut, writers of every kind over REST and gRPC
 * through `serve`, a copy, two cut-overs and one way back, and faults at random moments of each phase: the proxy is
 * killed (-9) and started again, stands still, or loses its connections in both directions. Afterwards both sides are
 * compared by code that shares nothing with the product, and whoever was told that a write was made must have read it.
 * Options: `--seeds=100`, `--from=1`. A seed gives the same writes and the same plan of faults again.
 */
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const option = (name: string, fallback: number): number =>
  Number(
    process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback,
  );
const SEEDS = option('seeds', 100);
const FROM = option('from', 1);
const FAULTS = ['kill', 'pause', 'cut'] as const;
type Fault = (typeof FAULTS)[number];

interface Line {
  cut: boolean;
}

class Trouble {
  readonly made: Record<Fault, number> = { kill: 0, pause: 0, cut: 0 };
  readonly #rng: Rng;
  readonly #scenario: Scenario;
  readonly #line: Line;

  constructor(seed: number, scenario: Scenario, line: Line) {
    this.#rng = new Rng(seed);
    this.#scenario = scenario;
    this.#line = line;
  }

  /** Up to `most` faults, with time between them. */
  async some(most: number): Promise<void> {
    for (let left = this.#rng.int(most + 1); left > 0; left--) {
      await forAWhile(30 + this.#rng.int(300));
      await this.#one(FAULTS[this.#rng.int(FAULTS.length)] ?? 'kill');
    }
    await forAWhile(30 + this.#rng.int(200));
  }

  async #one(fault: Fault): Promise<void> {
    this.made[fault]++;
    const ms = 20 + this.#rng.int(400);
    if (fault === 'kill') await this.#scenario.killAndServe();
    else if (fault === 'pause') await this.#scenario.pause(ms);
    else {
      this.#line.cut = true;
      await forAWhile(ms);
      this.#line.cut = false;
    }
  }
}

interface Outcome {
  readonly writes: number;
  readonly made: Readonly<Record<Fault, number>>;
  readonly wrong: readonly string[];
}

async function runSeed(seed: number, place: ScenarioPlace, line: Line): Promise<Outcome> {
  const scenario = await Scenario.make(place, `faults_${seed}`, true);
  const trouble = new Trouble(seed, scenario, line);
  await scenario.serve();
  scenario.begin(seed);
  await trouble.some(2);
  await scenario.want({ state: 'copying', side: 'source' }, () => true);
  const copied = scenario.copy();
  await trouble.some(3);
  await copied;
  await writePlan(scenario.journal, { state: 'copied', side: 'source' });
  await trouble.some(2);
  await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
  for (const side of ['target', 'source', 'target'] as const) {
    await writePlan(scenario.journal, { state: 'copied', side });
    await trouble.some(2);
    await scenario.want({ state: 'copied', side }, () => true);
    await trouble.some(2);
  }
  await scenario.stop();
  await scenario.reported(({ open }) => open === 0);
  const wrong = [...scenario.failures, ...(await scenario.differences())];
  const ended = await scenario.end();
  if (ended !== 0) wrong.push(`serve ended with ${ended}`);
  await rm(scenario.folder, { recursive: true });
  for (const name of [scenario.source, scenario.target]) await place.store.deleteCollection(name);
  return { writes: scenario.writes, made: trouble.made, wrong };
}

const server = await startLocalQdrant();
const store = await openQdrant(server);
const line: Line = { cut: false };
const rest = await startRelay(
  () => server.url,
  () => (line.cut ? 'cut' : 'pass'),
);
const grpc = await startRelay(
  () => server.grpcUrl,
  () => (line.cut ? 'cut' : 'pass'),
);
const running = new Set<ChildProcess>();
const place = { url: rest.url, grpcUrl: grpc.url, directUrl: server.url, store, running };
const sum = { seeds: 0, writes: 0, kill: 0, pause: 0, cut: 0, wrong: 0 };
try {
  for (let seed = FROM; seed < FROM + SEEDS; seed++) {
    const { writes, made, wrong } = await runSeed(seed, place, line);
    sum.seeds++;
    sum.writes += writes;
    for (const fault of FAULTS) sum[fault] += made[fault];
    sum.wrong += wrong.length;
    const faults = FAULTS.map((fault) => `${made[fault]} x ${fault}`).join(', ');
    say(`seed ${seed}: ${writes} writes, ${faults}: ${wrong.length} differences`);
    for (const text of wrong.slice(0, 20)) say(`  ${text}`);
    if (wrong.length > 0) process.exitCode = 1;
  }
} finally {
  for (const child of running) child.kill('SIGKILL');
  await rest.close();
  await grpc.close();
  await store.close();
  await server.stop();
}
say(
  `${sum.seeds} seeds, ${sum.writes} writes of points, ${sum.kill} kills, ${sum.pause} pauses, ${sum.cut} cuts of the line: ${sum.wrong} differences; Qdrant ${PACKAGED_VERSION}, Node ${process.version}, ${cpus()[0]?.model ?? ''}, ${cpus().length} cores`,
);
