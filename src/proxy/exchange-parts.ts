import type { WriteGuard } from '../core/followed.js';
import type { Log } from '../core/run.js';
import type { NameLookup } from '../core/wire.js';
import type { ByteBudget } from './byte-budget.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits } from './proxy-options.js';
import type { Rewriting } from './rewriting.js';
import type { Shadow } from './shadow.js';

/** What both listeners work with; `rewriting` is asked for anew by every request. */
export interface ExchangeParts {
  readonly limits: ProxyLimits;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly guard: WriteGuard | undefined;
  readonly names: NameLookup | undefined;
  readonly rewriting: () => Rewriting;
  readonly shadow: () => Shadow | null;
  /** True once no more requests are wanted: connections end with the answers under way. */
  readonly draining: () => boolean;
  /** A served collection was deleted by a client. */
  readonly onDeleted: (collection: string) => void;
  readonly log: Log | undefined;
}
