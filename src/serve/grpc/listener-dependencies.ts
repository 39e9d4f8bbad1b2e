import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { AnswerForm } from '../protocol.js';
import type { ListenerDependencies } from '../listener-dependencies.js';
import type { UpstreamStatus } from './failures.js';
import type { GrpcUpstream } from './upstream.js';
import type { ShadowCall } from '../shadow.js';

/** Dependencies of the gRPC listener. */
export interface GrpcDependencies extends ListenerDependencies {
  readonly upstream: GrpcUpstream;
}

/** Options for the way of an answer to the client. */
export interface Answering {
  readonly form: AnswerForm | null;
  /** The request is sent uncompressed. */
  readonly plain: boolean;
  /** Whether the timeout applies: to unary calls only. Other calls last until their client ends them. */
  readonly timed: boolean;
  /** The search to repeat on the full collection after the client got its answer. */
  readonly shadow?: ShadowCall | null;
}

/** An answer as it arrives from the database. */
export interface AnswerParts {
  readonly headers: IncomingHttpHeaders;
  readonly upstream: ClientHttp2Stream;
  readonly trailers: () => IncomingHttpHeaders | undefined;
  /** Returns the status for an answer that broke off. */
  readonly brokenOff: () => UpstreamStatus;
}
