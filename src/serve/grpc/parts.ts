import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { AnswerForm } from '../protocol.js';
import type { ExchangeParts } from '../exchange-parts.js';
import type { UpstreamStatus } from './failures.js';
import type { GrpcUpstream } from './upstream.js';
import type { ShadowCall } from '../shadow.js';

/** What the gRPC listener works with. */
export interface GrpcParts extends ExchangeParts {
  readonly upstream: GrpcUpstream;
}

/** How an answer is given to the client. */
export interface Answering {
  readonly form: AnswerForm | null;
  /** The request goes out without compression. */
  readonly plain: boolean;
  /** A call of one message must be answered in time; any other ends when its client wants. */
  readonly timed: boolean;
  /** Repeated on the full collection once it was answered. */
  readonly shadow?: ShadowCall | null;
}

/** An answer as it comes from the database. */
export interface AnswerParts {
  readonly headers: IncomingHttpHeaders;
  readonly upstream: ClientHttp2Stream;
  readonly trailers: () => IncomingHttpHeaders | undefined;
  /** The status of an answer that broke off. */
  readonly brokenOff: () => UpstreamStatus;
}
