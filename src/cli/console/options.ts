import { InvalidArgumentError, type Command } from 'commander';
import { adapterFor, allAdapters } from '../adapters.js';
import { loadConfig, type Config } from '../../config/load.js';
import { SEED_MAX } from '../../core/rng.js';
import type { Log } from '../../core/run-options.js';
import { TldrError } from '../../core/errors.js';
import type { AdapterSetting, OpenOptions } from '../../store/adapter.js';
import { isCopyTarget, type CopyTarget } from '../../store/copy-target.js';
import type { VectorSource } from '../../store/vector-source.js';
import { interruptedError } from './interruption.js';
import { openConsole, type ConsoleFlags, type ConsoleRun } from './command-output.js';

/** Flags every command has. */
export interface GlobalFlags extends ConsoleFlags {
  readonly config?: string;
  readonly url?: string;
  readonly logLevel?: string;
  readonly threads?: number;
  readonly concurrency?: number;
  /** The earlier name of `concurrency`. */
  readonly lanes?: number;
  readonly batchSize?: number;
  readonly worker?: string;
}

/** Adds the flags that every command has; API keys are never flags, since process lists show those. */
export function withGlobalFlags(command: Command, kind: 'database' | 'local' = 'database'): Command {
  command.option('--json', 'print one JSON object as the last line of standard output');
  command.option('--yes', 'do not ask before writing to a database; every command accepts it');
  command.option('--config <file>', 'configuration file (default: qdrant-tldr.config.json if it exists)');
  command.option('--log-level <level>', 'structured logs on standard error: debug, info, warn or silent');
  if (kind === 'database') {
    command.option(
      '--url <url>',
      'address of the database (or QDRANT_URL); the API key comes from QDRANT_API_KEY',
    );
    for (const { name, value, doc } of adapterSettings())
      command.option(`--${kebabCase(name)} <${value}>`, doc);
  }
  return command;
}

/** Adds `--dry-run`, for commands that write to a database; `--yes` is a flag of all commands. */
export function withWriteFlags(command: Command): Command {
  return command.option('--dry-run', 'show what would happen and write nothing');
}

/**
 * Returns the settings of a command.
 * @param more settings from flags that only this command has
 * @throws INVALID_ARGUMENT when a setting is unknown or malformed
 */
export function configOf(flags: GlobalFlags, more: Readonly<Record<string, unknown>> = {}): Config {
  const { url, logLevel, threads, lanes, batchSize, worker } = flags;
  const { concurrency = lanes } = flags;
  const extra = adapterSettings();
  const own = Object.fromEntries(extra.map(({ name }) => [name, Reflect.get(flags, name) as unknown]));
  return loadConfig({
    file: flags.config,
    flags: { url, ...own, logLevel, threads, concurrency, batchSize, worker, ...more },
    extra,
  });
}

/** Returns the settings that only one adapter has. */
function adapterSettings(): readonly AdapterSetting[] {
  return allAdapters().flatMap(({ settings }) => settings);
}

/** Returns a setting's name as a flag's: `grpcUrl` as `grpc-url`. */
function kebabCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Opens the configured database, to read from it. @throws as `Adapter.open` */
function openSource(config: Config, log: Log, retry?: OpenOptions['retry']): Promise<VectorSource> {
  const { url, apiKey, timeoutMs, ofDatabase: settings } = config;
  const how = retry === undefined ? {} : { retry };
  return adapterFor(url).open({ url, apiKey, timeoutMs, log, settings, ...how });
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

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '')
    throw new InvalidArgumentError('expected a whole number');
  return value;
}

/** Random generators use 32 bits of a seed: a larger seed would give the same numbers as a smaller one. */
export function seedNumber(text: string): number {
  const value = wholeNumber(text);
  if (value > SEED_MAX) throw new InvalidArgumentError(`expected a whole number up to ${SEED_MAX}`);
  return value;
}

export function decimal(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || text.trim() === '') throw new InvalidArgumentError('expected a number');
  return value;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `90s`, `2m`, `1.5h` or plain seconds, as seconds. */
export function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smh]?)$/.exec(text.trim());
  const value = Number(match?.[1]) * (UNIT_SECONDS[match?.[2] || 's'] ?? 1);
  if (match === null || !(value > 0)) throw new InvalidArgumentError('expected a time such as 90s, 2m or 1h');
  return value;
}
