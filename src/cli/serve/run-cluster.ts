import { DriftReport } from '../../serve/drift-report.js';
import { countedTogether, Reloads } from '../../serve/metrics.js';
import { startOperations } from '../../serve/run/health-and-metrics.js';
import { DEFAULT_LIMITS } from '../../serve/proxy-options.js';
import { RestUpstream } from '../../serve/rest/upstream.js';
import { describeServed, loadCollections } from './load-collections.js';
import { RecordedQueries } from './recorded-queries.js';
import { queriesIn } from './searched-batches.js';
import { WorkerProcesses } from './worker-processes.js';
import { announceAddresses, startReloading, untilAborted, type ServeRun } from './reload-and-announce.js';
import { upstreamOf } from './proxy-process.js';

const READY_TIMEOUT_MS = 2_000;

/**
 * Serves in several processes until it is asked to stop. This process itself only answers health and metrics.
 */
export async function runCluster({ config, run, reread, reloadSignals }: ServeRun): Promise<void> {
  const { log } = run;
  let loaded = await loadCollections(config, log);
  const reloads = new Reloads();
  const recorded = await RecordedQueries.open(config, { log });
  const drift = new DriftReport({ log, alert: config.driftAlert });
  const members = new WorkerProcesses(config, log, {
    onSearched: (batch) => recorded.merge(batch.collection, queriesIn(batch)),
    onDrift: (count) => drift.add(count),
  });
  const upstream = new RestUpstream(upstreamOf(config), { ...DEFAULT_LIMITS, upstreamConnections: 1 });
  const operations = await startOperations({
    address: config.listenOperations,
    ready: async () => members.ready && (await upstream.ready(READY_TIMEOUT_MS)),
    metrics: async () =>
      countedTogether([...(await members.counts()), await reloads.registry.getMetricsAsJSON()]),
    served: () => ({ collections: loaded.map(describeServed) }),
  });
  const stop = async (): Promise<boolean> => {
    const inTime = await members.drain(config.drainMs);
    await recorded.close();
    drift.close();
    await Promise.all([operations.close(), upstream.close()]);
    return inTime;
  };
  try {
    const ports = await members.start();
    announceAddresses(run, { ...ports, operations: operations.address, config, loaded });
  } catch (error) {
    await stop();
    throw error;
  }
  startReloading({ config, reread, reloadSignals, log, reloads }, async (next) => {
    loaded = await loadCollections(next, log);
    members.configure(next);
    drift.alert = next.driftAlert;
  });
  await untilAborted(run.signal);
  reloadSignals.stop();
  if (!(await stop()))
    log('warn', `requests were still under way after ${config.drainMs} ms and were cut off`);
  log('info', 'stopped');
}
