import convict from 'convict';
import { existsSync, readFileSync } from 'node:fs';
import { checkApiKey } from '../core/api-key.js';
import { messageOf, TldrError } from '../core/errors.js';
import { maskAddress } from '../core/mask-address.js';

const CONFIG_FILE = 'qdrant-tldr.config.json';
const PREFIX = 'QDRANT_TLDR_';

/** Timers take no more. */
const COUNT_MAX = 2 ** 31 - 1;

// The library's own whole-number formats read "2.7" as 2 and "3x" as 3, and take 0.
convict.addFormat({
  name: 'count',
  coerce: (value: unknown) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
  validate: (value: unknown) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1 || value > COUNT_MAX)
      throw new Error(`expected a whole number from 1 to ${COUNT_MAX}`);
  },
});

const SETTINGS = {
  url: {
    doc: 'REST address of the server, for example http://localhost:6333',
    format: String,
    default: 'http://localhost:6333',
    env: 'QDRANT_URL',
  },
  grpcUrl: {
    doc: 'gRPC address; empty: the REST host with the next port',
    format: String,
    default: '',
    env: 'QDRANT_TLDR_GRPC_URL',
  },
  apiKey: { doc: 'API key', format: String, default: '', env: 'QDRANT_API_KEY', sensitive: true },
  apiKeyFile: {
    doc: 'file that holds the API key',
    format: String,
    default: '',
    env: 'QDRANT_TLDR_API_KEY_FILE',
  },
  timeoutMs: {
    doc: 'longest wait for one answer, in milliseconds',
    format: 'count',
    default: 60_000,
    env: 'QDRANT_TLDR_TIMEOUT_MS',
  },
  threads: {
    doc: 'threads for training and search',
    format: 'count',
    default: 2,
    env: 'QDRANT_TLDR_THREADS',
  },
  lanes: {
    doc: 'ranges a migration copies at the same time',
    format: 'count',
    default: 2,
    env: 'QDRANT_TLDR_LANES',
  },
  batchSize: { doc: 'points per request', format: 'count', default: 256, env: 'QDRANT_TLDR_BATCH_SIZE' },
  logLevel: {
    doc: 'structured logs on standard error from this level on',
    format: ['silent', 'debug', 'info', 'warn'],
    default: 'silent',
    env: 'QDRANT_TLDR_LOG_LEVEL',
  },
  stateFolder: {
    doc: 'folder of migration records',
    format: String,
    default: '.qdrant-tldr',
    env: 'QDRANT_TLDR_STATE_FOLDER',
  },
};

export interface Config {
  readonly url: string;
  readonly grpcUrl: string | undefined;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly threads: number;
  readonly lanes: number;
  readonly batchSize: number;
  readonly logLevel: 'silent' | 'debug' | 'info' | 'warn';
  readonly stateFolder: string;
  /** Every value with where it came from, secrets masked: for people. */
  readonly shown: Readonly<
    Record<string, { readonly value: unknown; readonly from: string; readonly doc: string }>
  >;
}

export interface ConfigInput {
  /** Values of flags; undefined where not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** A config file; where absent, the default one if it exists. */
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/**
 * Effective settings: flags before environment before file before defaults.
 * @throws INVALID_ARGUMENT for unknown or malformed keys, wherever they stand
 */
export function loadConfig(input: ConfigInput = {}): Config {
  const environment = input.environment ?? process.env;
  const variables = new Map(Object.entries(SETTINGS).map(([name, { env }]) => [env, name]));
  for (const variable of Object.keys(environment)) {
    if (variable.startsWith(PREFIX) && !variables.has(variable)) {
      const known = [...variables.keys()].join(', ');
      throw new TldrError('INVALID_ARGUMENT', `unknown environment variable ${variable}: known are ${known}`);
    }
  }
  const settings = convict(SETTINGS, { env: { ...environment }, args: [] });
  const from = new Map(Object.keys(SETTINGS).map((name) => [name, 'default']));
  const file = input.file ?? (existsSync(CONFIG_FILE) ? CONFIG_FILE : undefined);
  if (file !== undefined) {
    const values = readConfigFile(file);
    settings.load(values);
    for (const name of Object.keys(values)) from.set(name, file);
  }
  for (const [variable, name] of variables) if (environment[variable] !== undefined) from.set(name, variable);
  const flags = Object.entries(input.flags ?? {}).filter(([, value]) => value !== undefined);
  for (const [name] of flags) from.set(name, 'flag');
  try {
    // Flags win over the environment, which load() would put on top again.
    for (const [name, value] of flags) settings.set(name, value);
    settings.validate({ allowed: 'strict' });
  } catch (cause) {
    throw new TldrError('INVALID_ARGUMENT', `configuration: ${explain(messageOf(cause), from)}`, { cause });
  }
  const values = settings.getProperties();
  const shown = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, { doc }]) => {
      const value: unknown = Reflect.get(values, name);
      return [name, { value: masked(name, value), from: from.get(name) ?? 'default', doc }];
    }),
  );
  const apiKey = values.apiKey || readKeyFile(values.apiKeyFile);
  if (apiKey !== undefined) checkApiKey(apiKey);
  return {
    ...values,
    grpcUrl: values.grpcUrl || undefined,
    apiKey,
    logLevel: logLevel(values.logLevel),
    shown,
  };
}

/** A value as it may be shown. */
function masked(name: string, value: unknown): unknown {
  if (name === 'apiKey') return value === '' ? '' : '********';
  return name === 'url' || name === 'grpcUrl' ? maskAddress(String(value)) : value;
}

/** The library's lines, each "name: what is wrong", with the variable, flag or file that the value came from. */
function explain(message: string, from: ReadonlyMap<string, string>): string {
  const lines = message.trim().split('\n');
  const named = lines.map((line) => {
    const source = from.get(/^(\w+):/.exec(line.trim())?.[1] ?? '');
    return source === undefined ? line.trim() : `${line.trim()} (from ${source})`;
  });
  return named.join('; ');
}

function logLevel(value: string): Config['logLevel'] {
  return value === 'debug' || value === 'info' || value === 'warn' ? value : 'silent';
}

function readConfigFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
    throw new TldrError('INVALID_ARGUMENT', 'expected a JSON object');
  } catch (cause) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot use the configuration file ${path}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

function readKeyFile(path: string): string | undefined {
  if (path === '') return undefined;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new TldrError('INVALID_ARGUMENT', `cannot read the API key file ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
