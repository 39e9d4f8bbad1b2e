import type { ListenerDependencies } from './listener-dependencies.js';
import type { Addressed } from './protocol.js';
import type { RewriterPool } from './rewriter-pool.js';

/** The state of the configuration that one exchange goes by: taken at its beginning, exchanged where names changed. */
export class ExchangeRewriter {
  readonly #parts: Pick<ListenerDependencies, 'rewriting' | 'names'>;
  #current: RewriterPool;
  #released = false;

  constructor(parts: Pick<ListenerDependencies, 'rewriting' | 'names'>) {
    this.#parts = parts;
    this.#current = parts.rewriting().use();
  }

  get current(): RewriterPool {
    return this.#current;
  }

  /** Goes by the configuration as it is now, unless the exchange is over. */
  renew(): RewriterPool {
    if (!this.#released) this.#current = this.#current.exchangedFor(this.#parts.rewriting());
    return this.#current;
  }

  /** Goes by what a name means now. */
  async learn(addressed: Addressed | null): Promise<void> {
    const learning = addressed === null ? null : this.#parts.names?.learn(addressed);
    if (learning == null) return;
    await learning;
    this.renew();
  }

  /** To be called once, when the exchange is over. */
  release(): void {
    this.#released = true;
    this.#current.release();
  }
}
