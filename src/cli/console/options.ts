import { InvalidArgumentError, type Command } from 'commander';
import { allAdapters } from '../adapters.js';
import { SEED_MAX } from '../../core/rng.js';
import type { AdapterSetting } from '../../store/adapter.js';
import type { ConsoleFlags } from './command-output.js';

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
  command.option('--verbose', 'show every row of a table, and technical names');
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

/** Returns the settings that only one adapter has. */
export function adapterSettings(): readonly AdapterSetting[] {
  return allAdapters().flatMap(({ settings }) => settings);
}

/** Returns a setting's name as a flag's: `grpcUrl` as `grpc-url`. */
export function kebabCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
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
