import type { Rest } from './rest.js';
import { pathOf } from './sampling.js';
import { UNLIMITED } from './strict-limits.js';

/**
 * Switches strict mode of a migration's target off while the migration writes there. What the source took is to reach the
 * target, whatever its limits say to clients.
 */
export class LiftedLimits {
  readonly #rest: Rest;
  /** Writes under way by collection, and the switch that was made last. */
  readonly #lifted = new Map<string, { writes: number; switched: Promise<unknown> }>();

  constructor(rest: Rest) {
    this.#rest = rest;
  }

  /** Runs a write to a collection whose strict mode is on; it is on again when no such write is under way. */
  async during<T>(collection: string, write: () => Promise<T>): Promise<T> {
    const state = this.#lifted.get(collection) ?? { writes: 0, switched: Promise.resolve() };
    this.#lifted.set(collection, state);
    state.writes++;
    if (state.writes === 1) this.#switch(collection, state, UNLIMITED);
    try {
      await state.switched;
      return await write();
    } finally {
      state.writes--;
      if (state.writes === 0) {
        this.#switch(collection, state, { strict_mode_config: { enabled: true } });
        await state.switched;
      }
    }
  }

  #switch(collection: string, state: { switched: Promise<unknown> }, body: typeof UNLIMITED): void {
    const set = (): Promise<unknown> => this.#rest.call('PATCH', pathOf(collection), body);
    state.switched = state.switched.then(set, set);
    // Awaited by the writes: until then a failure must not count as unhandled.
    state.switched.catch(() => undefined);
  }
}
