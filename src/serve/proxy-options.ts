import type { WriteInterceptor } from '../store/write-guard.js';
import type { Log } from '../core/run.js';
import type {
  FailureAnswer,
  GrpcRewriter,
  NameLookup,
  RestRewriter,
  GrpcChanges,
  RestChanges,
} from './protocol.js';

/** Bounds on everything that a client or the database could make large or long. */
export interface ProxyLimits {
  /** Largest REST body that is read whole; what passes untouched has no limit here. */
  readonly restBodyBytesMax: number;
  readonly grpcMessageBytesMax: number;
  /** Largest answer that is rewritten; others are streamed. */
  readonly answerBytesMax: number;
  /** What all requests of the process hold together, bodies and answers that are read whole; more is refused. */
  readonly bytesInFlightMax: number;
  /** Requests under way at once; more are refused. */
  readonly requestsMax: number;
  /** Longest wait for the first byte of an answer, and between two pieces of it. */
  readonly upstreamTimeoutMs: number;
  /** Longest silence of a client that sends a body or should take an answer. */
  readonly clientTimeoutMs: number;
  /** Connections to the database's REST port. */
  readonly upstreamConnections: number;
  /** Connections to its gRPC port; each carries many calls. */
  readonly grpcConnections: number;
  /** How often a gRPC connection to the database is asked whether it lives, and how long it may take to say so. */
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
}

export const DEFAULT_LIMITS: ProxyLimits = {
  restBodyBytesMax: 32 * 1024 ** 2,
  grpcMessageBytesMax: 64 * 1024 ** 2,
  answerBytesMax: 256 * 1024 ** 2,
  bytesInFlightMax: 512 * 1024 ** 2,
  requestsMax: 1024,
  upstreamTimeoutMs: 300_000,
  clientTimeoutMs: 120_000,
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
  /** REST path that answers below 500 while the database can be used. */
  readonly readyPath: string;
}

/** How requests are rewritten, for one state of the configuration. */
export interface Rewriters {
  readonly rest: RestRewriter;
  readonly grpc: GrpcRewriter;
  /** Where writes to some collections are followed. */
  readonly changes?: { readonly rest: RestChanges; readonly grpc: GrpcChanges } | undefined;
}

/** Where to listen: port 0 takes a free one. */
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
  /** Writes to followed collections go through it. */
  readonly guard?: WriteInterceptor | undefined;
  /** Asked about every name by which a request addresses a collection. */
  readonly names?: NameLookup | undefined;
  readonly log?: Log | undefined;
}
