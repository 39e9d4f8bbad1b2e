import type { StateBackend } from '../../store/target-description.js';
import type { MigrationState, Share } from './migration-state.js';
import type { ThrottleSettings } from '../throttle/settings.js';

/** A held lock on a migration state. */
export interface StateLock {
  readonly unlock: () => Promise<void>;
  /** Fires when the lock is lost to another run. */
  readonly signal: AbortSignal;
}

/** Location of a migration state, with its lock, its pause request and its throttle settings. */
export interface StateLocation {
  /** Name for messages: a path, or the name of a collection. */
  readonly label: string;
  readonly kept: StateBackend;
  /** Returns the state; null if there is none. @throws INVALID_DATA when the content is no migration state */
  read(): Promise<MigrationState | null>;
  /** Replaces the state atomically: after a crash, either the old or the new one is complete. */
  write(state: MigrationState): Promise<void>;
  /** Removes the state, the pause request and the throttle settings. No error if there are none. */
  remove(): Promise<void>;
  /**
   * Locks the state for the caller until it calls `unlock`.
   * @throws ALREADY_EXISTS while another run holds the lock
   */
  lock(): Promise<StateLock>;
  /** Returns the run that holds the lock, for people; null if none does. */
  holder(): Promise<string | null>;
  /** Returns a worker's location: own state and lock, but the pause request and throttle settings of all. */
  share(share: Share): StateLocation;
  /** Sets or clears the pause request: runs stop at their next batch, and new runs do not begin. */
  setPaused(paused: boolean): Promise<void>;
  isPaused(): Promise<boolean>;
  /** Returns the throttle settings. A run reads them repeatedly. */
  readTuning(): Promise<ThrottleSettings>;
  writeTuning(tuning: ThrottleSettings): Promise<void>;
}
