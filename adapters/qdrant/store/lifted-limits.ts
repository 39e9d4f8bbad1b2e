import { CallError } from '../transport/call-error.js';
import { objectAt, valueAt, type Json, type JsonObject } from '../transport/json.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/sampling.js';
import { isStrict, UNLIMITED } from '../transport/strict-limits.js';
import { StrictRefusal } from '../transport/strict-refusal.js';

/**
 * Key of a target's metadata that says that its strict mode is off only while the migration writes there. Whoever finds
 * it after its own write switches strict mode on, also where the process that switched it off is gone.
 */
export const LIFTED_KEY = 'tldr-lifted';

const LIFT: JsonObject = { ...UNLIMITED, metadata: { [LIFTED_KEY]: true } };
const RESTORE: JsonObject = { strict_mode_config: { enabled: true }, metadata: { [LIFTED_KEY]: null } };
/** Times that a write is made again since somebody else switched strict mode on meanwhile. */
const ATTEMPTS_MAX = 5;

/** A collection's number of writes under way, and the last change of its strict mode. */
interface Lifted {
  writes: number;
  switched: Promise<unknown>;
}

/**
 * Switches strict mode of a migration's target off while the migration writes there. What the source took is to reach the
 * target, whatever its limits say to clients.
 */
export class LiftedLimits {
  readonly #rest: Rest;
  readonly #lifted = new Map<string, Lifted>();
  /** Collections whose strict mode has to be looked after once more. */
  readonly #owed = new Set<string>();

  constructor(rest: Rest) {
    this.#rest = rest;
  }

  /** Whether strict mode of a collection may still be off because of an earlier write that was interrupted. */
  isOwed(collection: string): boolean {
    return this.#owed.has(collection);
  }

  /** Says that strict mode was found off because of an interrupted write. */
  owe(collection: string): void {
    this.#owed.add(collection);
  }

  /**
   * Runs a write to a collection past its strict mode; it is on again when no such write is under way. Strict mode that
   * somebody else switched off stays off.
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
          // Another process has ended its own writes.
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
    // Awaited by the writes: until then a failure must not count as unhandled.
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

/** Whether a collection's description says that strict mode is off only for writes of the migration. */
export function isLifted(config: Json): boolean {
  return valueAt(config, 'metadata', LIFTED_KEY) === true;
}

/** Whether a limit of strict mode refused a write. */
export function isRefusedByLimit(error: unknown): boolean {
  return error instanceof StrictRefusal || (error instanceof CallError && error.retry.tooEarly === true);
}
