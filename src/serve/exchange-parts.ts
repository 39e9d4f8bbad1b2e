import type { WriteInterceptor } from '../store/write-guard.js';
import type { Log } from '../core/run.js';
import type { NameLookup } from './protocol.js';
import type { ByteBudget } from './byte-budget.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits } from './proxy-options.js';
import type { RewriterPool } from './rewriter-pool.js';
import type { Shadow } from './shadow.js';

/** What clients did to served collections, by the clients' name of the collection. */
export interface ServedEvents {
  readonly onDeleted: (collection: string) => void;
  /** Its settings were changed. The client is answered when this has ended, and it never fails. */
  readonly onUpdated: (collection: string) => Promise<void>;
}

/** What both listeners work with; `rewriting` is asked for anew by every request. */
export interface ExchangeParts {
  readonly limits: ProxyLimits;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly guard: WriteInterceptor | undefined;
  readonly names: NameLookup | undefined;
  readonly rewriting: () => RewriterPool;
  readonly shadow: () => Shadow | null;
  /** True once no more requests are wanted: connections end with the answers under way. */
  readonly draining: () => boolean;
  readonly events: ServedEvents;
  readonly log: Log | undefined;
}
