import type { Config } from '../../config/load.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run-options.js';
import type { ConsoleRun } from '../console/command-output.js';
import { adapterFor } from '../adapters.js';
import type { GlobalFlags } from '../console/options.js';
import { configOf, openStore, withConsole } from '../console/command-body.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { allNames } from '../../store/facets.js';
import { targetDescription } from '../../store/target-description.js';
import { runSingle } from './run-single.js';
import { describeServed, loadCollections, servedLine } from './load-collections.js';
import { ReloadSignals, sayMigrating } from './reload-and-announce.js';
import { runCluster } from './run-cluster.js';
import { readTls } from './proxy-process.js';
import { RecordedQueries } from './recorded-queries.js';
import { parseServedSettings } from '../../config/served-collection-settings.js';

const WAIT_INTERVAL_MS = 500;
/** Default log level of `serve`: operators expect logs of a server. */
const LOG_LEVEL = 'info';

export interface ServeFlags extends GlobalFlags {
  readonly collection?: string;
  readonly as?: string;
  readonly target?: string;
  readonly encoder?: string;
  readonly layout?: string;
  readonly oversampling?: number;
  readonly full?: string;
  readonly recordQueries?: string;
  readonly listen?: string;
  readonly listenGrpc?: string;
  readonly listenOperations?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly workers?: number;
  readonly shadow?: string;
  readonly driftAlert?: string;
  readonly drainMs?: number;
  readonly wait?: number;
  readonly check?: boolean;
}

/** Runs `serve`. */
export function runServe(flags: ServeFlags): Promise<void> {
  return withConsole(flags, (run) => serve(flags, run), {
    logLevel: LOG_LEVEL,
    settings: settingsOf(flags),
  });
}

async function serve(flags: ServeFlags, run: ConsoleRun): Promise<void> {
  const reread = (): Config => withFlags(withLogs(configOf(flags, settingsOf(flags))), flags);
  refuseInPlace(configOf(flags, settingsOf(flags)));
  const config = reread();
  const moved = Object.entries(config.collections).find(([, { migrating }]) => migrating !== undefined);
  if (moved !== undefined && config.workers > 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${moved[0]} is being migrated, which needs a single process, because that process keeps the order of writes: give --workers 1`,
    );
  checkShadow(config);
  const reloadSignals = new ReloadSignals();
  try {
    await waitForServer(config, (flags.wait ?? 0) * 1000, run);
    await checkSource(flags, config, run);
    if (flags.check === true) await check(config, run);
    else await (config.workers > 1 ? runCluster : runSingle)({ config, run, reread, reloadSignals });
  } finally {
    reloadSignals.close();
  }
  // A reload that still runs has no proxy to change any more: do not wait for it.
  if (reloadSignals.busy) process.exit();
}

/** @throws UNSUPPORTED for a database that searches compact vectors without a proxy, saying how */
function refuseInPlace({ url }: Config): void {
  if (adapterFor(url).migratesInPlace !== true) return;
  throw new TldrError(
    'UNSUPPORTED',
    'tables of PostgreSQL need no proxy: the database itself projects queries, and triggers keep compact vectors up to date in the transaction of each client. `migrate start` writes them, and `migrate cutover --form function` lets a search function use them (docs/pgvector-migrate.md)',
  );
}

async function check(config: Config, run: ConsoleRun): Promise<void> {
  await readTls(config);
  await RecordedQueries.check(config);
  const loaded = await loadCollections(config, run.log);
  for (const one of loaded) run.say(servedLine(one));
  sayMigrating(config, run);
  run.say('all checks passed');
  run.result({ checked: true, collections: loaded.map(describeServed) });
}

/** @throws INVALID_ARGUMENT when --shadow is given and no collection names its full collection */
function checkShadow({ shadow, collections }: Config): void {
  const settings = Object.values(collections);
  if (shadow > 0 && settings.length > 0 && settings.every(({ full }) => full === undefined))
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--shadow repeats searches on the full collection: name it with --full, or "full" in the file',
    );
}

function settingsOf(flags: ServeFlags): Readonly<Record<string, unknown>> {
  const { listen: listenRest, listenGrpc, listenOperations, tlsCert, tlsKey } = flags;
  const { workers, shadow, driftAlert, drainMs } = flags;
  return {
    listenRest,
    listenGrpc,
    listenOperations,
    tlsCert,
    tlsKey,
    workers,
    shadow,
    driftAlert,
    drainMs,
  };
}

function withLogs(config: Config): Config {
  return config.shown['logLevel']?.from === 'default' ? { ...config, logLevel: LOG_LEVEL } : config;
}

/** Adds the collection that the flags describe to those of the file. */
function withFlags(config: Config, flags: ServeFlags): Config {
  const { collection, as, target, encoder, layout, oversampling, full, recordQueries } = flags;
  const given = Object.entries({ target, encoder, layout, oversampling, full, recordQueries }).filter(
    ([, value]) => value !== undefined,
  );
  const name = as ?? collection;
  if (name === undefined) {
    const [first] = given;
    if (first === undefined) return config;
    const flag = first[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new TldrError('INVALID_ARGUMENT', `--${flag} needs --collection`);
  }
  const added = parseServedSettings({ [name]: Object.fromEntries(given) }, '.');
  return { ...config, collections: { ...config.collections, ...added } };
}

/**
 * Checks that --collection names the collection that the target was made from: under any other name, clients would find
 * nothing, or another collection.
 * @throws MISMATCH when the target was made from another collection
 */
async function checkSource({ collection, as }: ServeFlags, config: Config, run: ConsoleRun): Promise<void> {
  const target = config.collections[as ?? collection ?? '']?.target;
  if (collection === undefined || target === undefined) return;
  const store = await openStore(config, run.log);
  try {
    const aliases = await allNames(store);
    const sources = await sourcesOf(store, target);
    const [source] = sources;
    const named = aliases.get(collection) ?? collection;
    if (source === undefined || sources.includes(named) || named === (aliases.get(target) ?? target)) return;
    const meant = as === undefined ? `, or --as ${collection} if clients use that name` : '';
    throw new TldrError(
      'MISMATCH',
      `${target} was made from ${source}, not from ${collection}: give --collection ${source}${meant}`,
    );
  } finally {
    await store.close();
  }
}

/** Returns the collection that a target was made from; if that was a target too, also the one before it, and so on. */
async function sourcesOf(store: CopyTarget, target: string): Promise<readonly string[]> {
  const sources: string[] = [];
  for (let name = target; ;) {
    const spec = await store.describe(name).catch((error: unknown) => {
      if (isTldrError(error, 'NOT_FOUND')) return null;
      throw error;
    });
    const source = spec === null ? undefined : targetDescription(spec)?.source;
    if (source === undefined || sources.includes(source)) return sources;
    sources.push(source);
    name = source;
  }
}

/** @throws the error of loading, after the time is up, or at once if waiting would not help */
async function waitForServer(config: Config, waitMs: number, run: ConsoleRun): Promise<void> {
  const untilMs = performance.now() + waitMs;
  for (let said = false; waitMs > 0; said = true) {
    try {
      await loadCollections(config, run.log);
      return;
    } catch (error) {
      if (!isTldrError(error, 'UNAVAILABLE') || performance.now() >= untilMs) throw error;
      if (!said) run.say(`waiting for ${config.url}`);
      await sleep(WAIT_INTERVAL_MS, run.signal);
    }
  }
}
