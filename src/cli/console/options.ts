import { InvalidArgumentError, type Command } from 'commander';
import { openQdrant, type OpenQdrantOptions, openQdrantRecords } from '../adapters.js';
import { loadConfig, type Config } from '../../config/load.js';
import type { StateStore } from '../../store/state-store.js';
import { SEED_MAX } from '../../core/rng.js';
import type { Log } from '../../core/run.js';
import type { VectorStore } from '../../store/vector-store.js';
import { openConsole, type ConsoleFlags, type ConsoleRun } from './run.js';

/** Flags every command has. */
export interface GlobalFlags extends ConsoleFlags {
  readonly config?: string;
  readonly url?: string;
  readonly grpcUrl?: string;
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
      'REST address of Qdrant (or QDRANT_URL); the API key comes from QDRANT_API_KEY',
    );
    command.option('--grpc-url <url>', 'gRPC address (default: the REST host with the next port)');
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
  const { url, grpcUrl, logLevel, threads, lanes, batchSize, worker } = flags;
  const { concurrency = lanes } = flags;
  return loadConfig({
    file: flags.config,
    flags: { url, grpcUrl, logLevel, threads, concurrency, batchSize, worker, ...more },
  });
}

/** Opens the configured server. */
export function openStore(
  config: Config,
  log: Log,
  retry: OpenQdrantOptions['retry'] = {},
): Promise<VectorStore> {
  const { url, grpcUrl, apiKey, timeoutMs } = config;
  return openQdrant({ url, grpcUrl, apiKey, timeoutMs, log, retry });
}

/** Opens the store of migration states in the configured server. */
export function openRecords({ url, apiKey, timeoutMs }: Config, log: Log): Promise<StateStore> {
  return openQdrantRecords({ url, apiKey, timeoutMs, log });
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
  const run = openConsole(flags, logLevel !== undefined && isDefault ? { logLevel } : config);
  try {
    await body(run, config);
  } finally {
    run.close();
  }
}

/** Runs `body` with the configured server open, and closes it afterwards. */
export async function withStore<T>(
  config: Config,
  run: ConsoleRun,
  body: (store: VectorStore) => Promise<T>,
): Promise<T> {
  const store = await openStore(config, run.log);
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
