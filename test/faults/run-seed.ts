import type { ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { Rng } from '../../src/core/rng.js';
import { writeDesiredState } from '../../src/migrate/dual-write/proxy-state-files.js';
import { Scenario } from '../support/migrate/migrating-scenario.js';
import { Copying } from './copy-workers.js';
import type { FrailServer } from './frail-server.js';
import { Trouble, type FaultCounts } from './fault-injection.js';
import { fetchAgain } from '../support/server/fetch-once.js';

/** So many points that the copy is split into ranges, for several workers. */
const MANY_POINTS = 5_200;
const FEW_POINTS = 600;

/** What became of one seed. */
export interface Outcome {
  readonly writes: number;
  readonly made: Readonly<FaultCounts>;
  readonly wrong: readonly string[];
}

/**
 * One migration of a collection that is written to and searched through the proxy all the time: copy, cut-over, way
 * back and cut-over again, with faults in every phase; then both sides are compared.
 */
export async function runSeed(
  seed: number,
  server: FrailServer,
  running: Set<ChildProcess>,
): Promise<Outcome> {
  const rng = new Rng(seed + 500_000);
  const points = rng.uniform() < 0.7 ? MANY_POINTS : FEW_POINTS;
  const workers = points === MANY_POINTS ? 1 + rng.int(3) : 1;
  const store = await server.store();
  const place = {
    url: server.url,
    grpcUrl: server.grpcUrl,
    store,
    running,
    get directUrl() {
      return server.directUrl();
    },
  };
  const scenario = await Scenario.make(place, `faults_${seed}`, { faults: true, points });
  await store.close();
  const trouble = new Trouble(seed, scenario, server);
  const copying = new Copying(place, scenario);
  let wrong: string[];
  try {
    await migrate(scenario, { seed, workers, trouble, copying });
    wrong = [...scenario.failures, ...(await scenario.differences())];
  } finally {
    copying.stop();
    scenario.stop().catch(() => undefined);
  }
  const ended = await scenario.end();
  if (ended !== 0) wrong.push(`serve ended with ${ended}`);
  await rm(scenario.folder, { recursive: true });
  for (const name of [scenario.source, scenario.target])
    await fetchAgain(`${server.directUrl()}/collections/${name}`, { method: 'DELETE' });
  return { writes: scenario.writes, made: trouble.made, wrong };
}

/** The whole way, up to the moment when nobody writes any more and everything written was brought over. */
async function migrate(
  scenario: Scenario,
  how: {
    readonly seed: number;
    readonly workers: number;
    readonly trouble: Trouble;
    readonly copying: Copying;
  },
): Promise<void> {
  const { seed, workers, trouble, copying } = how;
  await scenario.serve();
  scenario.begin(seed);
  await trouble.some(2);
  await scenario.want({ state: 'copying', side: 'source' }, () => true);
  copying.begin(workers);
  await Promise.race([copying.begun, copying.ended()]);
  await trouble.some(5, copying);
  await copying.ended();
  await writeDesiredState(scenario.journal, { state: 'copied', side: 'source' });
  await trouble.some(2);
  await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
  for (const side of ['target', 'source', 'target'] as const) {
    await writeDesiredState(scenario.journal, { state: 'copied', side });
    await trouble.some(2);
    await scenario.want({ state: 'copied', side }, () => true);
    await trouble.some(2);
  }
  await scenario.moreWrites(21);
  await scenario.stop();
  await scenario.reported(({ open }) => open === 0);
}
