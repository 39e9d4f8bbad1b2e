import type { WriteInterceptor } from '../store/write-interceptor.js';
import type { Log } from '../core/run-options.js';
import type { NameLookup } from './protocol.js';
import type { KeptVectors } from './kept-vectors.js';
import type { ByteBudget } from './byte-budget.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits } from './proxy-options.js';
import type { RewriterPool } from './rewriter-pool.js';
import type { Shadow } from './shadow.js';

/** Called when clients deleted or changed a served collection, with the clients' name of it. */
export interface ServedEvents {
  readonly onDeleted: (collection: string) => void;
  /**
   * The collection's settings changed. Never rejects. The client's answer waits until the promise resolves.
   */
  readonly onUpdated: (collection: string) => Promise<void>;
}

/** Dependencies of both listeners. Every request calls `rewriting` anew. */
export interface ListenerDependencies {
  readonly limits: ProxyLimits;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly guard: WriteInterceptor | undefined;
  readonly names: NameLookup | undefined;
  readonly rewriting: () => RewriterPool;
  readonly shadow: () => Shadow | null;
  /** True once the proxy takes no more requests: each connection then ends with its last open answer. */
  readonly draining: () => boolean;
  readonly events: ServedEvents;
  /** Takes vectors of a request, once the database has accepted it. */
  readonly keep: (kept: KeptVectors) => void;
  readonly log: Log | undefined;
}
