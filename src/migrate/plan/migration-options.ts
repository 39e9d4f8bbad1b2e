import type { RunOptions } from '../../core/run.js';
import type { MigrationHook } from './migration-events.js';
import type { MigrationRequest } from './migration.js';
import type { StateLocation } from '../state/location.js';
import type { ThrottleSettings } from '../throttle/settings.js';

/** How a migration is run, wherever its record is. */
export interface MigrationOptions extends MigrationRequest, RunOptions {
  /** Kept in the record, for later commands to find the encoder. */
  readonly encoderFile?: string | undefined;
  readonly hook?: MigrationHook | undefined;
  readonly concurrency?: number;
  readonly batchSize?: number;
  /** Shortest time between two saves of the record while copying. */
  readonly saveIntervalMs?: number;
  /** How much of the servers this may take; what is left out stays as it was said before. */
  readonly tuning?: Partial<ThrottleSettings> | undefined;
  /** Folder of the proxy that follows what clients write to the source; kept in the record. */
  readonly journal?: string | undefined;
}

/** As `MigrateOptions`, with the record wherever it may be. */
export interface PlacedMigration extends MigrationOptions {
  readonly place: StateLocation;
}
