import { DriftReport } from '../../serve/drift-report.js';
import { Reloads } from '../../serve/metrics.js';
import { startOperations } from '../../serve/run/health-and-metrics.js';
import { announceAddresses, startReloading, untilAborted, type ServeRun } from './reload-and-announce.js';
import { describeServed } from './load-collections.js';
import { RecordedQueries } from './recorded-queries.js';
import { startProxyProcess } from './proxy-process.js';

/** Serves in this process until it is asked to stop; requests under way are then ended. */
export async function runSingle({ config, run, reread, reloadSignals }: ServeRun): Promise<void> {
  const { log } = run;
  const recorded = await RecordedQueries.open(config, { log });
  const drift = new DriftReport({ log, alert: config.driftAlert });
  const serving = await startProxyProcess(config, {
    log,
    seed: 1,
    onSearched: (searched) => recorded.add(searched),
    onDrift: (count) => drift.add(count),
  });
  const { proxy } = serving;
  const reloads = new Reloads();
  const registries = [proxy.metrics.registry, reloads.registry];
  const operations = await startOperations({
    address: config.listenOperations,
    ready: () => proxy.ready(),
    metrics: async () => (await Promise.all(registries.map((one) => one.metrics()))).join(''),
    served: () => ({ collections: serving.loaded().map(describeServed) }),
  }).catch(async (error: unknown) => {
    await proxy.close();
    await serving.close();
    throw error;
  });
  startReloading({ config, reread, reloadSignals, log, reloads }, async (next) => {
    await serving.reload(next);
    drift.alert = next.driftAlert;
  });
  announceAddresses(run, {
    rest: proxy.rest,
    grpc: proxy.grpc,
    operations: operations.address,
    config,
    loaded: serving.loaded(),
  });
  await untilAborted(run.signal);
  reloadSignals.stop();
  const inTime = await proxy.drain(config.drainMs);
  if (!inTime) log('warn', `requests were still under way after ${config.drainMs} ms and were cut off`);
  await serving.close();
  await recorded.close();
  drift.close();
  await operations.close();
  log('info', 'stopped');
}
