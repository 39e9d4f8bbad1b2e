import { errorText } from '../console/advice.js';
import type { Config } from '../../config/load.js';
import type { Address } from '../../config/settings.js';
import type { Log } from '../../core/run-options.js';
import type { Reloads } from '../../serve/metrics.js';
import type { ConsoleRun } from '../console/command-output.js';
import { describeServed, servedLine, type LoadedCollection } from './load-collections.js';
import { reloadable } from './proxy-process.js';

/** The settings and tools that `serve` runs with. */
export interface ServeRun {
  readonly config: Config;
  readonly run: ConsoleRun;
  /** Reads the configuration again. */
  readonly reread: () => Config;
  readonly reloadSignals: ReloadSignals;
}

/**
 * Listens for SIGHUP, which by default would end the process. A signal that comes before the proxy can reload
 * takes effect as soon as it can. A signal that comes after `stop` is ignored.
 */
export class ReloadSignals {
  #reload: (() => Promise<void>) | null = null;
  #early = false;
  #last = Promise.resolve();
  #waiting = 0;
  readonly #heed = (): void => {
    const reload = this.#reload;
    this.#early = reload === null;
    if (reload === null) return;
    this.#waiting++;
    this.#last = this.#last.then(async () => {
      if (this.#reload !== null) await reload();
      this.#waiting--;
    });
  };

  constructor() {
    process.on('SIGHUP', this.#heed);
  }

  /** Runs reloads one after another. @param reload never fails */
  listen(reload: () => Promise<void>): void {
    this.#reload = reload;
    if (this.#early) this.#heed();
  }

  /** Lets no further reload begin. */
  stop(): void {
    this.#reload = null;
  }

  /** Whether a reload is still under way. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  close(): void {
    process.off('SIGHUP', this.#heed);
  }
}

export interface Announcement {
  readonly rest: Address;
  readonly grpc: Address;
  readonly operations: Address;
  readonly config: Config;
  readonly loaded: readonly LoadedCollection[];
}

/** Prints what is served and where; with `--json` as the one object. */
export function announceAddresses(run: ConsoleRun, served: Announcement): void {
  const { config, loaded } = served;
  const scheme = config.tlsCert === '' ? 'http' : 'https';
  const at = ({ host, port }: Address, by = scheme): string =>
    `${by}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const [rest, grpc, operations] = [at(served.rest), at(served.grpc), at(served.operations, 'http')];
  for (const one of loaded) run.say(servedLine(one));
  sayMigrating(config, run);
  run.say(`REST on ${rest}, gRPC on ${grpc}, operations on ${operations}`);
  const collections = loaded.map(describeServed);
  run.result({ rest, grpc, operations, collections });
  run.log('info', 'serving', { rest, grpc, operations, collections: loaded.length });
}

/** Prints which collections are being migrated. */
export function sayMigrating({ collections }: Config, run: ConsoleRun): void {
  for (const [name, { target, migrating }] of Object.entries(collections))
    if (migrating !== undefined)
      run.say(`${name}: writes go to ${migrating.source} and are brought over to ${target}`);
}

/** Resolves when the signal fires. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

interface Reloading {
  readonly log: Log;
  readonly reloads: Reloads;
}

/**
 * Reads the configuration again on SIGHUP. If the new one cannot be served, the old one stays and the log
 * says why.
 */
export function startReloading(
  { config, reread, reloadSignals, log, reloads }: Omit<ServeRun, 'run'> & Reloading,
  reload: (config: Config) => Promise<void>,
): void {
  let current = config;
  reloadSignals.listen(async () => {
    try {
      const { config: wanted, fixed } = reloadable(current, reread());
      const next = keepingFiles(current, wanted);
      await reload(next.config);
      current = next.config;
      reloads.ended('taken');
      log('info', 'the configuration was read again', { collections: Object.keys(current.collections) });
      const later = [...fixed, ...(next.isKept ? ['recordQueries'] : [])];
      if (later.length > 0)
        log('warn', `these settings take effect after a restart only: ${later.join(', ')}`);
    } catch (error) {
      reloads.ended('refused');
      log('warn', `the configuration was read again and refused, the old one stays: ${errorText(error)}`);
    }
  });
}

/** The new configuration with the files of recorded queries of the old one: these stay open from start to end. */
function keepingFiles(before: Config, after: Config): { readonly config: Config; readonly isKept: boolean } {
  let isKept = false;
  const collections = Object.entries(after.collections).map(([name, { recordQueries, ...others }]) => {
    const kept = before.collections[name]?.recordQueries;
    if (kept !== recordQueries) isKept = true;
    return [name, kept === undefined ? others : { ...others, recordQueries: kept }] as const;
  });
  return { config: { ...after, collections: Object.fromEntries(collections) }, isKept };
}
