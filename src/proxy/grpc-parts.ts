import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { WriteGuard } from '../core/followed.js';
import type { Log } from '../core/run.js';
import type { AnswerForm } from '../core/wire.js';
import type { ByteBudget } from './byte-budget.js';
import type { GrpcUpstream } from './grpc-upstream.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits } from './proxy-options.js';
import type { Rewriting } from './rewriting.js';
import type { Shadow, ShadowCall } from './shadow.js';

/** What the gRPC listener works with; `rewriting` is asked for anew by every call. */
export interface GrpcParts {
  readonly upstream: GrpcUpstream;
  readonly limits: ProxyLimits;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly guard: WriteGuard | undefined;
  readonly rewriting: () => Rewriting;
  readonly shadow: () => Shadow | null;
  /** True once no more calls are wanted. */
  readonly draining: () => boolean;
  readonly onDeleted: (collection: string) => void;
  readonly log: Log | undefined;
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
}
