import { CallError } from '../transport/call-error.js';
import { objectAt, valueAt, type Json, type JsonObject } from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import { isStrict, UNLIMITED } from '../transport/strict-mode-limits.js';
import { StrictRefusal } from '../transport/strict-mode-refusal.js';

/**
 * Key of a target's metadata: strict mode is off only while the migration writes there. A process that finds
 * the key after its own write switches strict mode on again, even if another process, now gone, had switched
 * it off.
 */
export const LIFTED_KEY = 'tldr-lifted';

const LIFT: JsonObject = { ...UNLIMITED, metadata: { [LIFTED_KEY]: true } };
const RESTORE: JsonObject = { strict_mode_config: { enabled: true }, metadata: { [LIFTED_KEY]: null } };
/**
 * Most attempts at a write. It is repeated each time that another process switches strict mode on in the
 * meantime, as each of many copiers does at the end of its writes.
 */
const ATTEMPTS_MAX = 25;

/** A collection's number of writes in progress, and the last change of its strict mode. */
interface Lifted {
  writes: number;
  switched: Promise<unknown>;
}

/**
 * Switches strict mode of a migration's target off while the migration writes there. Every write that the
 * source accepted must reach the target, even if the target's limits would refuse it.
 */
export class LiftedLimits {
  readonly #rest: Rest;
  readonly #lifted = new Map<string, Lifted>();
  /** Collections whose strict mode may have to be switched on again. */
  readonly #owed = new Set<string>();

  constructor(rest: Rest) {
    this.#rest = rest;
  }

  /** Returns whether an interrupted write may have left a collection's strict mode off. */
  isOwed(collection: string): boolean {
    return this.#owed.has(collection);
  }

  /** Notes that an interrupted write left a collection's strict mode off. */
  owe(collection: string): void {
    this.#owed.add(collection);
  }

  /**
   * Runs a write to a collection with its strict mode off. Strict mode is on again when no such write is in
   * progress. If it was off before, it stays off.
   */
  async during<T>(collection: string, write: () => Promise<T>): Promise<T> {
    const state = this.#lifted.get(collection) ?? { writes: 0, switched: Promise.resolve() };
    this.#lifted.set(collection, state);
    state.writes++;
    if (state.writes === 1) this.#then(state, () => this.#lift(collection));
    try {
      for (let attempt = 1; ; attempt++) {
        await state.switched;
        try {
          return await write();
        } catch (error) {
          if (attempt === ATTEMPTS_MAX || !isRefusedByLimit(error)) throw error;
          // Another process has ended its writes and switched strict mode on.
          this.#then(state, () => this.#lift(collection));
        }
      }
    } finally {
      state.writes--;
      if (state.writes === 0) {
        this.#then(state, () => this.#restore(collection));
        await state.switched;
      }
    }
  }

  #then(state: Lifted, step: () => Promise<void>): void {
    state.switched = state.switched.then(step, step);
    // The writes await it. Until then, a failure must not count as unhandled.
    state.switched.catch(() => undefined);
  }

  async #lift(collection: string): Promise<void> {
    const config = await this.#config(collection);
    if (!isStrict(config)) return;
    this.#owed.add(collection);
    await this.#rest.call('PATCH', pathOf(collection), LIFT);
  }

  async #restore(collection: string): Promise<void> {
    if (isLifted(await this.#config(collection))) await this.#rest.call('PATCH', pathOf(collection), RESTORE);
    this.#owed.delete(collection);
  }

  async #config(collection: string): Promise<Json> {
    return objectAt(await this.#rest.call('GET', pathOf(collection)), 'config');
  }
}

/** Returns whether, by a collection's description, strict mode is off only for writes of the migration. */
export function isLifted(config: Json): boolean {
  return valueAt(config, 'metadata', LIFTED_KEY) === true;
}

/** Returns whether a limit of strict mode refused a write. */
export function isRefusedByLimit(error: unknown): boolean {
  return error instanceof StrictRefusal || (error instanceof CallError && error.retry.tooEarly === true);
}
