import { SERVE_LIMITS } from '../store/defaults.js';
import type { WriteInterceptor } from '../store/write-interceptor.js';
import type { Log } from '../core/run-options.js';
import type { DriftCount } from './drift-meter.js';
import type {
  FailureAnswer,
  GrpcRewriter,
  NameLookup,
  RestRewriter,
  GrpcChanges,
  RestChanges,
  SearchedVectors,
} from './protocol.js';

/**
 * Limits on sizes, times and numbers that a client or the database could otherwise make arbitrarily large.
 */
export interface ProxyLimits {
  /** Largest REST body that the proxy reads whole. Bodies that pass unchanged have no limit here. */
  readonly restBodyBytesMax: number;
  readonly grpcMessageBytesMax: number;
  /** Largest answer that the proxy rewrites. Answers that pass unchanged are streamed. */
  readonly answerBytesMax: number;
  /** Most bytes of bodies and answers that the process holds at once. Requests beyond that are refused. */
  readonly bytesInFlightMax: number;
  /** Most requests in progress at once. More are refused. */
  readonly requestsMax: number;
  /** Longest wait for the first byte of an answer and between two of its pieces. */
  readonly upstreamTimeoutMs: number;
  /** Longest silence of a client that is sending a body or should take an answer. */
  readonly clientTimeoutMs: number;
  /** Connections to the database's REST port. */
  readonly upstreamConnections: number;
  /** Connections to the database's gRPC port. Each carries many calls. */
  readonly grpcConnections: number;
  /** Interval between pings of a gRPC connection to the database, and longest wait for the reply. */
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
}

export const DEFAULT_LIMITS: ProxyLimits = {
  ...SERVE_LIMITS,
  answerBytesMax: 256 * 1024 ** 2,
  upstreamConnections: 64,
  grpcConnections: 4,
  probeIntervalMs: 20_000,
  probeTimeoutMs: 10_000,
};

export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface Upstream {
  readonly restUrl: string;
  readonly grpcUrl: string;
  /** REST path whose answer has a status below 500 while the database is usable. */
  readonly readyPath: string;
}

/** The rewriters for one state of the configuration. */
export interface Rewriters {
  readonly rest: RestRewriter;
  readonly grpc: GrpcRewriter;
  /** Present if writes to some collections are mirrored. */
  readonly changes?: { readonly rest: RestChanges; readonly grpc: GrpcChanges } | undefined;
}

/** The address to listen on. Port 0 takes a free port. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ProxyOptions {
  readonly upstream: Upstream;
  readonly rest: ListenAddress;
  readonly grpc: ListenAddress;
  readonly tls?: TlsFiles | undefined;
  readonly limits?: Partial<ProxyLimits>;
  readonly failure: FailureAnswer;
  /** Handles writes to mirrored collections. */
  readonly guard?: WriteInterceptor | undefined;
  /** Called with every name by which a request addresses a collection. */
  readonly names?: NameLookup | undefined;
  /** Called with vectors that a client searched for, once the database has answered the search. */
  readonly record?: ((searched: SearchedVectors) => void) | undefined;
  /** Called with what was counted when vectors were compared with an encoder's training sample. */
  readonly onDrift?: ((count: DriftCount) => void) | undefined;
  readonly log?: Log | undefined;
}
