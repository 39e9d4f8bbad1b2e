import { checkApiKey } from '../../src/core/check-api-key.js';
import { TldrError } from '../../src/core/errors.js';
import { checkGrpc, serverVersion, type FirstConnection } from './transport/first-connection.js';
import { Grpc } from './transport/grpc.js';
import { QdrantStore } from './store/qdrant-store.js';
import { isVersionAtLeast } from './transport/server-version.js';
import { Rest, type RestOptions } from './transport/rest.js';
import { DEFAULT_RETRY, type RetryOptions } from './transport/retry.js';
import { maskAddress } from '../../src/core/masked-address-and-redirect.js';
import type { Log } from '../../src/core/run-options.js';
import { ANSWER_TIMEOUT_MS, CONNECT_TIMEOUT_MS } from '../../src/store/defaults.js';

/** Addresses and options of a connection to Qdrant. */
export interface OpenQdrantOptions {
  /** REST address, for example `http://127.0.0.1:6333`. */
  readonly url: string;
  /** gRPC address. Default: the REST host with the next port (6334 for 6333). */
  readonly grpcUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  /** Longest wait for one answer. */
  readonly timeoutMs?: number;
  /** Longest wait for the first answer over REST, and for the first over gRPC. Not used if `retry` is given. */
  readonly connectTimeoutMs?: number;
  /**
   * Longest wait for an index without visible progress. Building one large segment shows no progress either.
   */
  readonly indexingStallMs?: number;
  /** How often and how long calls are repeated, those of the first connection included. */
  readonly retry?: Partial<RetryOptions>;
  readonly log?: Log | undefined;
}

const INDEXING_STALL_MS = 3_600_000;
/** A server that just starts, or a gateway before it, may need another attempt. */
const FIRST_RETRY: RetryOptions = { attempts: 5, firstDelayMs: 100, longestDelayMs: 200, turnMs: 0 };
/** The first version with collection metadata, insert-only writes and update filters. */
const OLDEST_VERSION = [1, 16] as const;

/**
 * Connects to a Qdrant server over REST and gRPC and returns its store. For a private certificate authority,
 * set NODE_EXTRA_CA_CERTS, as usual in Node.
 * @throws INVALID_ARGUMENT for an unusable URL, UNAVAILABLE when no Qdrant server answers, UNAUTHORIZED,
 * UNSUPPORTED for a server older than 1.16
 * @example
 * ```ts
 * // Given: Qdrant
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333', apiKey: process.env.QDRANT_API_KEY });
 * console.log(await store.count('docs'));
 * await store.close();
 * ```
 */
export async function openQdrant(options: OpenQdrantOptions): Promise<QdrantStore> {
  const { restUrl, grpcUrl } = serverAddresses(options);
  const { indexingStallMs = INDEXING_STALL_MS } = options;
  let refusals = 0;
  const shared = sharedOptions(options, () => {
    refusals++;
  });
  const first = firstConnection(options);
  const rest = new Rest({ ...shared, url: restUrl });
  const grpc = new Grpc({ ...shared, url: grpcUrl });
  const version = await serverVersion({ ...shared, url: restUrl }, first);
  checkVersion(version, restUrl);
  // Checks the credentials: "/" needs none, but the list of collections does.
  await rest.call('GET', '/collections');
  await checkGrpc(grpc, grpcUrl, first);
  return new QdrantStore({
    rest,
    grpc,
    version,
    endpoint: restUrl,
    indexingStallMs,
    log: options.log,
    refusals: () => refusals,
  });
}

function sharedOptions(options: OpenQdrantOptions, refused: () => void): Omit<RestOptions, 'url'> {
  const { apiKey, log, timeoutMs = ANSWER_TIMEOUT_MS } = options;
  if (apiKey !== undefined) checkApiKey(apiKey);
  return { apiKey, log, timeoutMs, refused, retry: { ...DEFAULT_RETRY, ...options.retry } };
}

/** A server that is not there is named at once, unless the caller asks for retries. */
function firstConnection({
  retry,
  connectTimeoutMs = CONNECT_TIMEOUT_MS,
}: OpenQdrantOptions): FirstConnection {
  return retry === undefined
    ? { limitMs: connectTimeoutMs, retry: FIRST_RETRY }
    : { limitMs: null, retry: { ...DEFAULT_RETRY, ...retry } };
}

/**
 * Returns the addresses of a server's REST and gRPC interfaces.
 * @throws INVALID_ARGUMENT for an unusable URL
 * @example
 * ```ts
 * import { serverAddresses } from 'qdrant-tldr/qdrant';
 *
 * const { grpcUrl } = serverAddresses({ url: 'http://localhost:6333' }); // http://localhost:6334
 * ```
 */
export function serverAddresses({ url, grpcUrl }: Pick<OpenQdrantOptions, 'url' | 'grpcUrl'>): {
  readonly restUrl: string;
  readonly grpcUrl: string;
} {
  const rest = parseUrl(url);
  return {
    restUrl: baseOf(rest),
    grpcUrl: baseOf(grpcUrl === undefined ? grpcBeside(rest) : parseUrl(grpcUrl)),
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${maskAddress(text)}" is not a Qdrant address: expected, for example, http://localhost:6333`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'the address contains credentials: remove them and give an API key in their place',
      { hint: 'api-key' },
    );
  }
  return url;
}

function baseOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
}

function grpcBeside(url: URL): URL {
  const beside = new URL(url);
  beside.pathname = '';
  const port = url.port === '' ? 6333 : Number(url.port);
  beside.port = String(port + 1);
  return beside;
}

/** @throws UNSUPPORTED for a server older than 1.16 */
function checkVersion(version: string, url: string): void {
  if (!isVersionAtLeast(version, OLDEST_VERSION)) {
    throw new TldrError(
      'UNSUPPORTED',
      `${url} runs Qdrant ${version}: expected ${OLDEST_VERSION.join('.')} or newer`,
    );
  }
}
