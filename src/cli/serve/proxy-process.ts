import { createSecureContext } from 'node:tls';
import { restFailure, serverAddresses } from '../proxy-adapter.js';
import type { Config } from '../../config/load.js';
import { expectDefined, messageOf, TldrError } from '../../core/errors.js';
import { readRegular } from '../../core/read-file.js';
import type { Log } from '../../core/run-options.js';
import { turns } from '../../core/run-in-turn.js';
import type { DriftCount } from '../../serve/drift-meter.js';
import type { SearchedVectors } from '../../serve/protocol.js';
import type { ProxyLimits, ProxyOptions, TlsFiles, Upstream } from '../../serve/proxy-options.js';
import { startProxy, type Proxy } from '../../serve/run/start-proxy.js';
import {
  limitsOfNow,
  loadCollections,
  renamed,
  type LoadedCollection,
  type ReadsTarget,
} from './load-collections.js';
import { CurrentNames } from './current-names.js';
import { openStore } from '../console/command-body.js';
import { openMigrating, type MigratingCollections } from './migrating-collections.js';
import { proxyState } from './rewriters.js';

/** Even a chain of many certificates is smaller. */
const PEM_BYTES_MAX = 16 * 1024 ** 2;
/** Few and fast attempts, because requests wait for the meaning of their names. */
const NAMES_RETRY = { attempts: 2, firstDelayMs: 100, longestDelayMs: 200 };

const KEY_AFTER_RESTART =
  'for the collections that are being migrated, the new API key takes effect only after a restart: their writes are still brought over with the old key';

/** One process that serves. */
export interface ProxyProcess {
  readonly proxy: Proxy;
  readonly loaded: () => readonly LoadedCollection[];
  /** Serves another configuration. @throws when it cannot; then the one before is still served */
  reload(config: Config): Promise<void>;
  /** Stops serving a deleted collection, by any of its names: requests for it pass. */
  drop(name: string): void;
  /** Reads the limits of a collection again, by any of its names, after its settings changed. Never fails. */
  refresh(name: string): Promise<void>;
  /** Ends the background work; call it after the proxy ended. */
  close(): Promise<void>;
}

export interface ServingOptions {
  readonly log: Log;
  /** Decides which searches are sampled; different in every process. */
  readonly seed: number;
  /** Takes vectors that clients searched for. */
  readonly onSearched?: (searched: SearchedVectors) => void;
  /** Takes what was counted when vectors were compared with an encoder's training sample. */
  readonly onDrift?: (count: DriftCount) => void;
  /** A client deleted the collection that is configured under this name. */
  readonly onDeleted?: (name: string) => void;
  /** A client changed settings of the collection that is configured under this name. */
  readonly onUpdated?: (name: string) => void;
}

/**
 * Checks the collections and starts listening.
 * @throws the errors of the checks, UNAVAILABLE for an address that is in use
 */
export async function startProxyProcess(config: Config, options: ServingOptions): Promise<ProxyProcess> {
  const { log, seed, onDeleted, onUpdated } = options;
  let current = config;
  const isConfigured = (name: string): boolean => Object.hasOwn(current.collections, name);
  const { names, migrating, close } = await openNames(config, isConfigured, log);
  const fail = async (error: unknown): Promise<never> => {
    await close();
    throw error;
  };
  const readsTarget: ReadsTarget = (name, setting) =>
    setting.migrating === undefined || migrating.sideOf(name) === 'target';
  let loaded = await loadCollections(config, log, readsTarget).catch(fail);
  let { threads, shadow: shadowShare } = config;
  const named = (one: LoadedCollection): LoadedCollection => namedNow(one, current, names);
  const state = (): ReturnType<typeof proxyState> =>
    proxyState(loaded.map(named), { threads, shadowShare, seed, mirrored: migrating.mirrored() });
  let listening: Proxy | null = null;
  const drop = (name: string): void => {
    const gone = loaded.find(({ served }) => served.names.includes(name));
    const configured = gone?.served.names[0];
    if (configured === undefined) return;
    loaded = loaded.filter((one) => one !== gone);
    listening?.use(state());
    log('info', 'a served collection was deleted', { collection: configured });
    onDeleted?.(configured);
  };
  const inTurn = turns();
  const refresh = (name: string): Promise<void> =>
    inTurn(async () => {
      const changed = loaded.find((one) => named(one).served.names.includes(name));
      const relimited = await limitsOfNow(changed, { config: current, log });
      loaded = loaded.map(relimited);
      listening?.use(state());
    });
  const proxy = await startProxy(
    await proxyOptionsOf(config, options, { guard: migrating.guard, names }).catch(fail),
    state(),
    { onDeleted: drop, onUpdated: (name) => refresh(name).then(() => onUpdated?.(name)) },
  ).catch(fail);
  listening = proxy;
  names.aliases.onChange(() => proxy.use(state()));
  // Clients were answered before the last address listened: names and collections may have changed since.
  proxy.use(state());
  const switchReads = async (): Promise<void> => {
    loaded = await loadCollections(current, log, readsTarget);
    proxy.use(state());
  };
  // A reload keeps the side that clients read: only `switchReads` changes it.
  const sideStays: ReadsTarget = (name, { migrating: moved }) =>
    moved === undefined || loaded.some(({ served }) => served.names[0] === name);
  migrating.start(() => inTurn(switchReads));
  return {
    proxy,
    drop,
    refresh,
    close,
    loaded: () => loaded,
    reload: (next) =>
      inTurn(async () => {
        refuseOtherMigrations(current, next);
        const checked = await loadCollections(next, log, sideStays);
        await names.use(await openStore(next, log, NAMES_RETRY));
        if (next.apiKey !== current.apiKey && migrating.mirrored().length > 0) log('warn', KEY_AFTER_RESTART);
        [loaded, current] = [checked, next];
        ({ threads, shadow: shadowShare } = next);
        proxy.use(state());
      }),
  };
}

/** Returns what a proxy needs to listen. @throws the errors of reading the TLS files */
async function proxyOptionsOf(
  config: Config,
  { log, onSearched, onDrift }: ServingOptions,
  given: Pick<ProxyOptions, 'guard' | 'names'>,
): Promise<ProxyOptions> {
  return {
    upstream: upstreamOf(config),
    rest: config.listenRest,
    grpc: config.listenGrpc,
    tls: await readTls(config),
    limits: limitsOf(config),
    failure: restFailure,
    record: onSearched,
    onDrift,
    log,
    ...given,
  };
}

/** Returns a collection with its names by the current aliases, however long ago the rest was loaded. */
function namedNow(one: LoadedCollection, config: Config, { aliases }: CurrentNames): LoadedCollection {
  const setting = config.collections[expectDefined(one.served.names[0], 'the name of a served collection')];
  const { latest } = aliases;
  return setting === undefined || latest === null ? one : renamed(one, setting, latest);
}

/**
 * Opens the name lookup and the journals.
 * @throws the errors of reading the aliases and of opening the journals
 */
async function openNames(
  config: Config,
  isConfigured: (name: string) => boolean,
  log: Log,
): Promise<{ names: CurrentNames; migrating: MigratingCollections; close: () => Promise<void> }> {
  const names = new CurrentNames(await openStore(config, log, NAMES_RETRY), isConfigured);
  try {
    await names.aliases.read();
    const migrating = await openMigrating(config, names, log);
    const close = async (): Promise<void> => {
      await migrating.close();
      await names.close();
    };
    return { names, migrating, close };
  } catch (error) {
    await names.close();
    throw error;
  }
}

/** @throws INVALID_ARGUMENT when "migrating" entries differ: a journal stays open from start to end */
function refuseOtherMigrations(before: Config, after: Config): void {
  const of = ({ collections }: Config): string =>
    JSON.stringify(
      Object.entries(collections)
        .filter(([, { migrating }]) => migrating !== undefined)
        .map(([name, { target, encoder, migrating }]) => [
          name,
          target,
          encoder,
          migrating?.source,
          migrating?.journal,
        ])
        .sort(),
    );
  if (of(before) !== of(after))
    throw new TldrError('INVALID_ARGUMENT', '"migrating" takes effect after a restart only');
}

/** The addresses of the database, for the proxy. */
export function upstreamOf(config: Config): Upstream {
  const { url, ofDatabase } = config;
  return { ...serverAddresses({ url, grpcUrl: ofDatabase['grpcUrl'] }), readyPath: '/readyz' };
}

/**
 * Returns the configuration that a running process applies after a reload, and the changed settings that need
 * a restart.
 */
export function reloadable(
  before: Config,
  after: Config,
): { readonly config: Config; readonly fixed: string[] } {
  const { collections, shadow, driftAlert, threads, apiKey, timeoutMs, connectTimeoutMs } = after;
  const taken = new Set([
    'collections',
    'shadow',
    'driftAlert',
    'threads',
    'apiKey',
    'apiKeyFile',
    'timeoutMs',
    'connectTimeoutMs',
  ]);
  return {
    config: { ...before, collections, shadow, driftAlert, threads, apiKey, timeoutMs, connectTimeoutMs },
    fixed: Object.keys(before.shown).filter(
      (name) => !taken.has(name) && before.shown[name]?.value !== after.shown[name]?.value,
    ),
  };
}

/** The limits that the configuration sets. */
function limitsOf(config: Config): Partial<ProxyLimits> {
  const { requestsMax, bytesInFlightMax, bodyBytesMax, messageBytesMax, upstreamTimeoutMs, clientTimeoutMs } =
    config;
  return {
    requestsMax,
    bytesInFlightMax,
    upstreamTimeoutMs,
    clientTimeoutMs,
    restBodyBytesMax: bodyBytesMax,
    grpcMessageBytesMax: messageBytesMax,
  };
}

/**
 * Returns the certificate and the key for clients; undefined without TLS.
 * @throws INVALID_ARGUMENT when one of them is missing, NOT_FOUND, INVALID_DATA when they are not a
 * certificate and its key
 */
export async function readTls({ tlsCert, tlsKey }: Config): Promise<TlsFiles | undefined> {
  if (tlsCert === '' && tlsKey === '') return undefined;
  if (tlsCert === '' || tlsKey === '')
    throw new TldrError(
      'INVALID_ARGUMENT',
      'TLS needs both a certificate and its key: give --tls-cert and --tls-key',
    );
  const read = (path: string): Promise<Buffer> =>
    readRegular(path, 'a file in PEM', { maxBytes: PEM_BYTES_MAX });
  const files = await Promise.all([read(tlsCert), read(tlsKey)]).catch((cause: unknown) => {
    const code = cause instanceof TldrError ? cause.code : 'NOT_FOUND';
    throw new TldrError(code, `cannot read the certificate or its key: ${messageOf(cause)}`, { cause });
  });
  const [cert, key] = files;
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new TldrError(
      'INVALID_DATA',
      `${tlsCert} and ${tlsKey} are not a certificate and its key in PEM format: ${messageOf(cause)}`,
      { cause },
    );
  }
  return { cert, key };
}
