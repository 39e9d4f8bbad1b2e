import convict from 'convict';
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { checkApiKey } from '../core/check-api-key.js';
import { expectDefined, messageOf, TldrError } from '../core/errors.js';
import { maskAddress } from '../core/masked-address-and-redirect.js';
import { readSmallText } from '../core/read-file.js';
import {
  parseAddress,
  parseShare,
  parseWorker,
  schemaWith,
  type Address,
  type ExtraSetting,
  type SETTINGS,
} from './settings.js';
import { parseServedSettings, type ServedCollectionSettings } from './served-collection-settings.js';

const CONFIG_FILE = 'qdrant-tldr.config.json';
/** Set in every pod of a Kubernetes Indexed Job. */
const JOB_INDEX = 'JOB_COMPLETION_INDEX';
const PREFIX = 'QDRANT_TLDR_';
/** Earlier names of settings, which keep working; the present name wins where both are given. */
const EARLIER_NAMES: Readonly<Record<string, string>> = { lanes: 'concurrency' };
const EARLIER_VARIABLES: Readonly<Record<string, string>> = { QDRANT_TLDR_LANES: 'QDRANT_TLDR_CONCURRENCY' };
/** Room for tens of thousands of served collections. */
const CONFIG_BYTES_MAX = 16 * 1024 ** 2;
/** An HTTP header cannot hold a longer key. */
const KEY_BYTES_MAX = 64 * 1024;

export interface Config {
  readonly url: string;
  /** Values of settings that only one kind of database has, by name; undefined where not given. */
  readonly ofDatabase: Readonly<Record<string, string | undefined>>;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly threads: number;
  readonly concurrency: number;
  readonly batchSize: number;
  /** Which of several migration workers this is, from 1; null for the only one. */
  readonly worker: { readonly index: number; readonly of: number } | null;
  readonly logLevel: 'silent' | 'debug' | 'info' | 'warn';
  readonly stateFolder: string;
  readonly listenRest: Address;
  readonly listenGrpc: Address;
  readonly listenOperations: Address;
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly workers: number;
  /** From 0 to 1. */
  readonly shadow: number;
  /** From 0 to 1. */
  readonly driftAlert: number;
  readonly drainMs: number;
  readonly requestsMax: number;
  readonly bytesInFlightMax: number;
  readonly bodyBytesMax: number;
  readonly messageBytesMax: number;
  readonly upstreamTimeoutMs: number;
  readonly clientTimeoutMs: number;
  /** Served collections by the names their clients use. */
  readonly collections: Readonly<Record<string, ServedCollectionSettings>>;
  /** Every value for display, with its source; secrets are masked. */
  readonly shown: Readonly<
    Record<string, { readonly value: unknown; readonly from: string; readonly doc: string }>
  >;
}

export interface ConfigInput {
  /** Values of flags; undefined where not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** The configuration file; if absent, the default file if it exists. */
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Variables that hold the address of a database, for other programs too, and the schemes that it may have. */
  readonly addresses?: readonly { readonly variable: string; readonly schemes: readonly string[] }[];
  /** Settings that only one kind of database has. */
  readonly extra?: readonly ExtraSetting[];
}

/**
 * Returns the settings in effect. Flags override environment variables, which override the file, which
 * overrides the defaults. An empty variable counts as not set.
 * @throws INVALID_ARGUMENT for unknown or malformed settings from any of these sources
 */
export function loadConfig(input: ConfigInput = {}): Config {
  const given = input.environment ?? process.env;
  const { extra = [] } = input;
  const schema = schemaWith(extra);
  const environment = knownEnvironment(given, schema);
  const settings = convict(schema, { env: environment, args: [] });
  const from = new Map(Object.keys(schema).map((name) => [name, 'default']));
  const file = input.file ?? (existsSync(CONFIG_FILE) ? CONFIG_FILE : undefined);
  let collections: Config['collections'] = {};
  if (file !== undefined) {
    // Collection names stay out of the schema: its library would read dots in them as levels.
    const { collections: served, ...values } = renamed(readConfigFile(file), EARLIER_NAMES);
    if (served !== undefined) collections = parseServedSettings(served, dirname(file));
    settings.load(values);
    for (const name of Object.keys(values)) from.set(name, file);
  }
  for (const [name, { env }] of Object.entries(schema))
    if (environment[env] !== undefined) from.set(name, givenName(env, given));
  const address = addressIn(given, input.addresses);
  if (address !== undefined && from.get('url') === 'default') {
    settings.set('url', address.url);
    from.set('url', address.variable);
  }
  const flags = Object.entries(input.flags ?? {}).filter(([, value]) => value !== undefined);
  for (const [name] of flags) from.set(name, 'flag');
  try {
    // Set after load(), because load() applies the environment again, and flags must win.
    for (const [name, value] of flags) settings.set(name, value);
    settings.validate({ allowed: 'strict' });
  } catch (cause) {
    const unknown = [...from.keys()].filter((name) => !Object.hasOwn(schema, name));
    const why =
      unknown.length > 0
        ? `${expectDefined(file, 'the configuration file')} holds ${unknown.map((name) => `"${name}"`).join(', ')}: known are ${Object.keys(schema).join(', ')} and collections`
        : explain(messageOf(cause), from);
    throw new TldrError('INVALID_ARGUMENT', `configuration: ${why}`, { cause });
  }
  const values = settings.getProperties();
  const shown = Object.fromEntries(
    Object.entries(schema).map(([name, { doc }]) => {
      const value: unknown = Reflect.get(values, name);
      return [name, { value: masked(name, value, extra), from: from.get(name) ?? 'default', doc }];
    }),
  );
  /** Paths in the configuration file start from its folder, all others from the working directory. */
  const located = (name: 'apiKeyFile' | 'tlsCert' | 'tlsKey'): string =>
    file !== undefined && from.get(name) === file && values[name] !== ''
      ? resolve(dirname(file), values[name])
      : values[name];
  // Variables override the file: if a variable names a key file, it also overrides an apiKey in the file.
  const keyIsBelow = from.get('apiKey') === file && ![file, 'default'].includes(from.get('apiKeyFile'));
  const apiKey = (keyIsBelow ? '' : values.apiKey) || readKeyFile(located('apiKeyFile'));
  if (apiKey !== undefined) checkApiKey(apiKey);
  return {
    ...values,
    ofDatabase: Object.fromEntries(extra.map(({ name }) => [name, textOr(Reflect.get(values, name))])),
    apiKey,
    tlsCert: located('tlsCert'),
    tlsKey: located('tlsKey'),
    worker: workerOf(values.worker, environment[JOB_INDEX]),
    logLevel: logLevel(values.logLevel),
    listenRest: addressOf(values.listenRest),
    listenGrpc: addressOf(values.listenGrpc),
    listenOperations: addressOf(values.listenOperations),
    shadow: expectDefined(parseShare(values.shadow), 'the share of shadow searches'),
    driftAlert: expectDefined(parseShare(values.driftAlert), 'the share of far vectors'),
    collections,
    shown: { ...shown, collections: shownCollections(collections, file) },
  };
}

/**
 * Returns the variables that are set, by their present names.
 * @throws INVALID_ARGUMENT for an unknown variable with the product's prefix
 */
function knownEnvironment(
  given: Readonly<Record<string, string | undefined>>,
  schema: typeof SETTINGS,
): Record<string, string | undefined> {
  const known = Object.values(schema).map(({ env }): string => env);
  for (const variable of Object.keys(given)) {
    const isKnown = known.includes(variable) || Object.hasOwn(EARLIER_VARIABLES, variable);
    if (variable.startsWith(PREFIX) && !isKnown)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `unknown environment variable ${variable}: known are ${known.join(', ')}`,
      );
  }
  return renamed(
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '')),
    EARLIER_VARIABLES,
  );
}

/** Returns the first variable with an address of a kind of database that has this variable; undefined without one. */
function addressIn(
  environment: Readonly<Record<string, string | undefined>>,
  addresses: ConfigInput['addresses'] = [],
): { readonly variable: string; readonly url: string } | undefined {
  for (const { variable, schemes } of addresses) {
    const url = environment[variable];
    if (url !== undefined && schemes.some((scheme) => url.startsWith(`${scheme}://`)))
      return { variable, url };
  }
  return undefined;
}

/** Returns the name under which a variable was given: its present name or its earlier one. */
function givenName(variable: string, given: Readonly<Record<string, string | undefined>>): string {
  const earlier = Object.keys(EARLIER_VARIABLES).find((name) => EARLIER_VARIABLES[name] === variable);
  return (given[variable] ?? '') === '' && earlier !== undefined ? earlier : variable;
}

/** Returns the entries by their present names. */
function renamed<T>(
  entries: Readonly<Record<string, T>>,
  names: Readonly<Record<string, string>>,
): Record<string, T> {
  const earlier = Object.entries(entries).filter(([name]) => Object.hasOwn(names, name));
  const present = Object.entries(entries).filter(([name]) => !Object.hasOwn(names, name));
  return Object.fromEntries([
    ...earlier.map(([name, value]) => [names[name] ?? name, value] as const),
    ...present,
  ]);
}

function shownCollections(
  collections: Config['collections'],
  file: string | undefined,
): { value: unknown; from: string; doc: string } {
  const entries = Object.entries(collections);
  return {
    value: entries.map(([name, { target }]) => `${name} -> ${target}`).join(', '),
    from: entries.length > 0 && file !== undefined ? file : 'default',
    doc: 'serve: the served collections by the names that clients use; only in a file',
  };
}

function addressOf(value: string): Address {
  return parseAddress(value) ?? { host: value, port: 0 };
}

/** @throws INVALID_ARGUMENT for `job/4` outside of a job, or in a job with more pods */
function workerOf(value: string, jobIndex: string | undefined): Config['worker'] {
  const worker = parseWorker(value, jobIndex);
  if (worker !== null || value === '') return worker;
  const why = jobIndex === undefined ? 'is not set' : `is ${jobIndex}`;
  throw new TldrError('INVALID_ARGUMENT', `configuration: worker: ${value}, but ${JOB_INDEX} ${why}`);
}

/** Returns a text that is not empty, else undefined. */
function textOr(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Returns a value for display, with secrets masked. */
function masked(name: string, value: unknown, extra: readonly ExtraSetting[]): unknown {
  if (name === 'apiKey') return value === '' ? '' : '********';
  const isAddress = name === 'url' || extra.some((one) => one.name === name && one.isAddress);
  return isAddress ? maskAddress(String(value)) : value;
}

/** Adds to each line of the library's message ("name: problem") the variable, flag or file of the value. */
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
    const value: unknown = JSON.parse(
      readSmallText(path, { expected: 'a configuration file', maxBytes: CONFIG_BYTES_MAX }),
    );
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
    return readSmallText(path, { expected: 'an API key file', maxBytes: KEY_BYTES_MAX }).trim();
  } catch (cause) {
    throw new TldrError('INVALID_ARGUMENT', `cannot read the API key file ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
