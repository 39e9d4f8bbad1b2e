import convict from 'convict';
import { THREADS } from '../core/run-options.js';
import {
  ANSWER_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  COPY_CONCURRENCY,
  REQUEST_POINTS,
  SERVE_LIMITS,
} from '../store/defaults.js';

/** Where to listen. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The largest value that timers take. */
const COUNT_MAX = 2 ** 31 - 1;
/** Most migration workers of one collection. */
const WORKERS_MAX = 1_000;

// The library's own whole-number formats read "2.7" as 2 and "3x" as 3, and take 0.
convict.addFormat({
  name: 'count',
  coerce: (value: unknown) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
  validate: (value: unknown) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1 || value > COUNT_MAX)
      throw new Error(`expected a whole number from 1 to ${COUNT_MAX}`);
  },
});

convict.addFormat({
  name: 'address',
  validate: (value: unknown) => {
    if (parseAddress(String(value)) === null)
      throw new Error('expected a host and port such as 127.0.0.1:6433');
  },
});

convict.addFormat({
  name: 'share',
  validate: (value: unknown) => {
    if (parseShare(String(value)) === null) throw new Error('expected a percentage such as 5%');
  },
});

convict.addFormat({
  name: 'worker',
  validate: (value: unknown) => {
    if (value !== '' && parseWorker(String(value), '0') === null)
      throw new Error(`expected a worker such as 2/4 or job/4, at most ${WORKERS_MAX}`);
  },
});

/** The one schema of settings. */
export const SETTINGS = {
  url: {
    doc: 'address of the database, for example http://localhost:6333',
    format: String,
    default: 'http://localhost:6333',
    env: 'QDRANT_URL',
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
    default: ANSWER_TIMEOUT_MS,
    env: 'QDRANT_TLDR_TIMEOUT_MS',
  },
  connectTimeoutMs: {
    doc: 'longest wait for the first answer of the server, in milliseconds',
    format: 'count',
    default: CONNECT_TIMEOUT_MS,
    env: 'QDRANT_TLDR_CONNECT_TIMEOUT_MS',
  },
  threads: {
    doc: 'threads for training, search, and large bodies of serve',
    format: 'count',
    default: THREADS,
    env: 'QDRANT_TLDR_THREADS',
  },
  concurrency: {
    doc: 'migrate: ranges copied at the same time',
    format: 'count',
    default: COPY_CONCURRENCY,
    env: 'QDRANT_TLDR_CONCURRENCY',
  },
  worker: {
    doc: 'migrate: which of several workers this is, such as 2/4; job/4: the number comes from a Kubernetes Indexed Job; empty: the only one',
    format: 'worker',
    default: '',
    env: 'QDRANT_TLDR_WORKER',
  },
  batchSize: {
    doc: 'points per request',
    format: 'count',
    default: REQUEST_POINTS,
    env: 'QDRANT_TLDR_BATCH_SIZE',
  },
  logLevel: {
    doc: 'structured logs on standard error from this level on',
    format: ['silent', 'debug', 'info', 'warn'],
    default: 'silent',
    env: 'QDRANT_TLDR_LOG_LEVEL',
  },
  stateFolder: {
    doc: 'folder of migration states',
    format: String,
    default: '.qdrant-tldr',
    env: 'QDRANT_TLDR_STATE_FOLDER',
  },
  listenRest: {
    doc: 'serve: host and port for REST clients',
    format: 'address',
    default: '127.0.0.1:6433',
    env: 'QDRANT_TLDR_LISTEN_REST',
  },
  listenGrpc: {
    doc: 'serve: host and port for gRPC clients',
    format: 'address',
    default: '127.0.0.1:6434',
    env: 'QDRANT_TLDR_LISTEN_GRPC',
  },
  listenOperations: {
    doc: 'serve: host and port for /healthz, /readyz, /metrics and /served',
    format: 'address',
    default: '127.0.0.1:6435',
    env: 'QDRANT_TLDR_LISTEN_OPERATIONS',
  },
  tlsCert: {
    doc: 'serve: certificate file shown to clients; empty: no TLS',
    format: String,
    default: '',
    env: 'QDRANT_TLDR_TLS_CERT',
  },
  tlsKey: {
    doc: 'serve: private key file of the certificate',
    format: String,
    default: '',
    env: 'QDRANT_TLDR_TLS_KEY',
  },
  workers: { doc: 'serve: number of processes', format: 'count', default: 1, env: 'QDRANT_TLDR_WORKERS' },
  shadow: {
    doc: 'serve: share of searches also sent to the full collection, such as 5%',
    format: 'share',
    default: '0%',
    env: 'QDRANT_TLDR_SHADOW',
  },
  driftAlert: {
    doc: "serve: larger share of written points or queries far from the encoder's training sample that is logged as a warning, such as 10%",
    format: 'share',
    default: '10%',
    env: 'QDRANT_TLDR_DRIFT_ALERT',
  },
  drainMs: {
    doc: 'serve: longest wait for requests under way when stopping, in milliseconds',
    format: 'count',
    default: 30_000,
    env: 'QDRANT_TLDR_DRAIN_MS',
  },
  requestsMax: {
    doc: 'serve: requests under way at once per process and transport; more are refused',
    format: 'count',
    default: SERVE_LIMITS.requestsMax,
    env: 'QDRANT_TLDR_REQUESTS_MAX',
  },
  bytesInFlightMax: {
    doc: 'serve: bytes of bodies under way at once per process, decompressed and rewritten ones included',
    format: 'count',
    default: SERVE_LIMITS.bytesInFlightMax,
    env: 'QDRANT_TLDR_BYTES_IN_FLIGHT_MAX',
  },
  bodyBytesMax: {
    doc: 'serve: largest REST body to a served collection',
    format: 'count',
    default: SERVE_LIMITS.restBodyBytesMax,
    env: 'QDRANT_TLDR_BODY_BYTES_MAX',
  },
  messageBytesMax: {
    doc: 'serve: largest gRPC message to a collection, served or not',
    format: 'count',
    default: SERVE_LIMITS.grpcMessageBytesMax,
    env: 'QDRANT_TLDR_MESSAGE_BYTES_MAX',
  },
  upstreamTimeoutMs: {
    doc: 'serve: longest silence of the server while it should answer a client, in milliseconds',
    format: 'count',
    default: SERVE_LIMITS.upstreamTimeoutMs,
    env: 'QDRANT_TLDR_UPSTREAM_TIMEOUT_MS',
  },
  clientTimeoutMs: {
    doc: 'serve: longest silence of a client in the middle of a request or answer, in milliseconds',
    format: 'count',
    default: SERVE_LIMITS.clientTimeoutMs,
    env: 'QDRANT_TLDR_CLIENT_TIMEOUT_MS',
  },
};

/** Parses `host:port`, with brackets around a host that contains colons; null if it is malformed. */
export function parseAddress(value: string): Address | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(value);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host !== undefined && port <= 65_535 ? { host, port } : null;
}

/**
 * Parses a worker such as `2/4`, numbered from 1. `job/4` takes the number from the job's index, which counts
 * from 0.
 */
export function parseWorker(
  value: string,
  jobIndex: string | undefined,
): { readonly index: number; readonly of: number } | null {
  const match = /^(\d{1,4}|job)\/(\d{1,4})$/.exec(value);
  const index = match?.[1] === 'job' ? Number(jobIndex) + 1 : Number(match?.[1]);
  const of = Number(match?.[2]);
  return Number.isSafeInteger(index) && index >= 1 && index <= of && of <= WORKERS_MAX ? { index, of } : null;
}

/** Parses a percentage such as `5%` as a number from 0 to 1; null if it is malformed. */
export function parseShare(value: string): number | null {
  const percent = Number(/^(\d+(?:\.\d+)?)%$/.exec(value)?.[1]);
  return percent <= 100 ? percent / 100 : null;
}

/** A text setting that is not in the schema, because only one kind of database has it. */
export interface ExtraSetting {
  readonly name: string;
  readonly env: string;
  readonly doc: string;
  /** True for addresses, which are shown without credentials. */
  readonly isAddress: boolean;
}

/** Returns the schema with these settings. They come after the address. */
export function schemaWith(extra: readonly ExtraSetting[]): typeof SETTINGS {
  const added = extra.map(({ name, env, doc }) => [name, { doc, env, format: String, default: '' }] as const);
  const { url, ...others } = SETTINGS;
  return { url, ...Object.fromEntries(added), ...others };
}
