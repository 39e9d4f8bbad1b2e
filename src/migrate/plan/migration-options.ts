import type { RunOptions } from '../../core/run-options.js';
import type { MigrationHook } from './migration-events.js';
import type { MigrationPlan, MigrationRequest } from './migration.js';
import type { StateLocation } from '../state/location.js';
import type { ThrottleSettings } from '../throttle/settings.js';

/** Options of a migration, for either location of the migration state. */
export interface MigrationOptions extends MigrationRequest, RunOptions {
  /** Stored in the migration state, so that later commands find the encoder. */
  readonly encoderFile?: string | undefined;
  readonly hook?: MigrationHook | undefined;
  readonly concurrency?: number;
  readonly batchSize?: number;
  /** Shortest time between two saves of the migration state while copying. */
  readonly saveIntervalMs?: number;
  /** Throttle settings. Absent ones keep their previous values. */
  readonly tuning?: Partial<ThrottleSettings> | undefined;
  /** Folder of the journal of the proxy that mirrors clients' writes. Stored in the migration state. */
  readonly journal?: string | undefined;
}

/** As `MigrateOptions`, but with the migration state at any location. */
export interface PlacedMigration extends MigrationOptions {
  readonly place: StateLocation;
  /** The plan that a caller showed before. Its number of points is not counted again. */
  readonly planned?: MigrationPlan | undefined;
}
