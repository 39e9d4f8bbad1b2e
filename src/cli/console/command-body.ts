import { adapterFor, allAdapters } from '../adapters.js';
import { loadConfig, type Config } from '../../config/load.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';
import type { Log } from '../../core/run-options.js';
import { TldrError } from '../../core/errors.js';
import type { OpenOptions } from '../../store/adapter.js';
import { isCopyTarget, type CopyTarget } from '../../store/copy-target.js';
import type { VectorSource } from '../../store/vector-source.js';
import { interruptedError } from './interruption.js';
import { openConsole, type ConsoleRun } from './command-output.js';
import { adapterSettings, type GlobalFlags } from './options.js';

/**
 * Returns the settings of a command.
 * @param more settings from flags that only this command has
 * @throws INVALID_ARGUMENT when a setting is unknown or malformed
 */
export function configOf(flags: GlobalFlags, more: Readonly<Record<string, unknown>> = {}): Config {
  const { url, logLevel, threads, lanes, batchSize, worker } = flags;
  const { concurrency = lanes } = flags;
  const extra = adapterSettings();
  if (url !== undefined) checkNoPassword(url);
  const own = Object.fromEntries(extra.map(({ name }) => [name, Reflect.get(flags, name) as unknown]));
  return loadConfig({
    file: flags.config,
    addresses: allAdapters().flatMap(({ addressVariable: variable, schemes }) =>
      variable === undefined ? [] : [{ variable, schemes }],
    ),
    flags: { url, ...own, logLevel, threads, concurrency, batchSize, worker, ...more },
    extra,
  });
}

/** @throws INVALID_ARGUMENT for a password in the flag, since lists of processes show flags */
function checkNoPassword(url: string): void {
  const hasPassword = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*:[^/?]+@|[?&]password=/i.test(url);
  const known = allAdapters().find(({ schemes }) => schemes.some((scheme) => url.startsWith(`${scheme}://`)));
  if (!hasPassword || known?.addressVariable === undefined) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `the address ${maskAddress(url)} holds a password, which lists of processes show: give the whole address in ${known.addressVariable}, or the password in PGPASSWORD or ~/.pgpass`,
  );
}

/** Opens the configured database, to read from it. @throws as `Adapter.open` */
function openSource(config: Config, log: Log, retry?: OpenOptions['retry']): Promise<VectorSource> {
  const { url, apiKey, timeoutMs, connectTimeoutMs, ofDatabase: settings } = config;
  const how = retry === undefined ? {} : { retry };
  return adapterFor(url).open({ url, apiKey, timeoutMs, connectTimeoutMs, log, settings, ...how });
}

/**
 * Opens the configured database, to write to it.
 * @throws as `Adapter.open`, and UNSUPPORTED when collections cannot be copied to a database of this kind
 */
export async function openStore(config: Config, log: Log, retry?: OpenOptions['retry']): Promise<CopyTarget> {
  const store = await openSource(config, log, retry);
  if (isCopyTarget(store)) return store;
  await store.close();
  throw new TldrError(
    'UNSUPPORTED',
    `no collection can be copied to ${store.endpoint}: a ${store.kind} store is only read`,
  );
}

/** Settings and defaults that a command adds to the common ones. */
export interface ConsoleOptions {
  /** Settings from the command's own flags. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Log level if no flag, variable or file sets one. */
  readonly logLevel?: Config['logLevel'];
}

/** Runs a command's body with a console, and closes the console afterwards, also after an error. */
export async function withConsole(
  flags: GlobalFlags,
  body: (run: ConsoleRun, config: Config) => Promise<void>,
  { settings, logLevel }: ConsoleOptions = {},
): Promise<void> {
  const config = configOf(flags, settings);
  const isDefault = config.shown['logLevel']?.from === 'default';
  const run = await openConsole(flags, logLevel !== undefined && isDefault ? { logLevel } : config);
  try {
    await body(run, config);
    run.sayNext();
  } catch (error) {
    throw run.signal.aborted ? interruptedError(error) : error;
  } finally {
    run.close();
  }
}

/** Runs `body` with the configured database open for reading, and closes it afterwards. */
export async function withSource<T>(
  config: Config,
  run: ConsoleRun,
  body: (store: VectorSource) => Promise<T>,
): Promise<T> {
  return closing(await openSource(config, run.log), body);
}

/** Runs `body` with the configured database open for writing, and closes it afterwards. */
export async function withStore<T>(
  config: Config,
  run: ConsoleRun,
  body: (store: CopyTarget) => Promise<T>,
): Promise<T> {
  return closing(await openStore(config, run.log), body);
}

/** Runs `body` with an open store, and closes it afterwards. */
async function closing<Store extends VectorSource, T>(
  store: Store,
  body: (store: Store) => Promise<T>,
): Promise<T> {
  try {
    return await body(store);
  } finally {
    await store.close();
  }
}
