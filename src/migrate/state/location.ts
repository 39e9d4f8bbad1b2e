import type { StateBackend } from '../../store/target-description.js';
import type { MigrationState, Share } from './migration-state.js';
import type { ThrottleSettings } from '../throttle/settings.js';

/** A record that only its holder works by. */
export interface StateLock {
  readonly unlock: () => Promise<void>;
  /** Fires when the holder is not the only one any more. */
  readonly signal: AbortSignal;
}

/** Where a migration's record is kept, with the lock and the request to pause beside it. */
export interface StateLocation {
  /** For messages: a path, or the name of a collection. */
  readonly label: string;
  readonly kept: StateBackend;
  /** @throws INVALID_DATA for something that is no record */
  read(): Promise<MigrationState | null>;
  /** Leaves either the old record or the new one, whole, whatever happens. */
  write(record: MigrationState): Promise<void>;
  /** Removes record, request and tuning; no error where there are none. */
  remove(): Promise<void>;
  /**
   * Makes the caller the only one to work by this record until it calls `unlock`. @throws ALREADY_EXISTS while another one is
   */
  lock(): Promise<StateLock>;
  /** Who works on it now, in words, or null. */
  holder(): Promise<string | null>;
  /** The record of one of several workers: its own lock, but the pause and the tuning of all. */
  share(share: Share): StateLocation;
  /** Asks whoever works on it to stop at the next batch, and later runs not to begin. */
  setPaused(paused: boolean): Promise<void>;
  isPaused(): Promise<boolean>;
  /** How much of the servers the migration may take; read again and again while it runs. */
  readTuning(): Promise<ThrottleSettings>;
  writeTuning(tuning: ThrottleSettings): Promise<void>;
}
