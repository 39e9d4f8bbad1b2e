import type { Distance } from '../core/distance.js';
import type { RunOptions } from '../core/run-options.js';
import type { VectorSource } from './vector-source.js';

/** How far a migration in place is. */
export const IN_PLACE_PHASES = [
  'installing',
  'filling',
  'repairing',
  'indexing',
  'verifying',
  'ready',
  'cut-over',
  'complete',
] as const;
export type InPlacePhase = (typeof IN_PLACE_PHASES)[number];

/**
 * Where the compact vectors are. "side": in a table of their own beside the collection. "index-only": only in an index, so
 * that nothing is copied.
 */
export const IN_PLACE_LAYOUTS = ['side', 'index-only'] as const;
export type InPlaceLayout = (typeof IN_PLACE_LAYOUTS)[number];

/** What a migration in place reduces, and how. */
export interface InPlaceRequest {
  readonly collection: string;
  /** The vector to reduce; undefined if the collection has only one. */
  readonly vectorName: string | undefined;
  /** If absent: side. */
  readonly layout?: InPlaceLayout | undefined;
  /** The bytes of the encoder file. */
  readonly encoder: Uint8Array;
  /** Datatype of the compact vectors; undefined for the smallest one that holds every value. */
  readonly datatype: 'float32' | 'float16' | undefined;
  /** Links of each point in the graph of the compact vectors; undefined for the database's default. */
  readonly hnswM: number | undefined;
}

/** Statements that belong together, in the order in which they run. */
export interface InPlaceStep {
  readonly title: string;
  readonly statements: readonly string[];
  /** Present if the statement cannot run in a transaction. */
  readonly isAlone?: boolean;
  /** Present if it takes the cut-over back, and so does not run with the other steps. */
  readonly isUndo?: boolean;
}

/** What a migration in place will do. */
export interface InPlacePlan {
  readonly collection: string;
  readonly vectorName: string;
  /** Points by the database's statistics; null if it has none. */
  readonly points: number | null;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly layout: InPlaceLayout;
  readonly distance: Distance;
  readonly encoderFingerprint: string;
  readonly datatype: 'float32' | 'float16';
  readonly steps: readonly InPlaceStep[];
  /** What a user should know before, for people. */
  readonly notes: readonly string[];
}

/** Names a migration in place. */
export interface InPlaceName {
  readonly collection: string;
  readonly vectorName: string | undefined;
}

/** What differs between full and compact vectors. */
export interface InPlaceDifferences {
  /** Points that were compared. */
  readonly points: number;
  /** Points without their compact vector. */
  readonly missing: number;
  /** Compact vectors without their point. */
  readonly orphans: number;
  /** Points whose compact vector is that of another vector. */
  readonly differing: number;
  /** Lines for people: keys of some of them, and parts of the installation that are missing. */
  readonly lines: readonly string[];
}

/** A change of what clients use, which a cut-over made. */
export interface InPlaceCutOver {
  readonly form: 'function' | 'operator' | 'none';
  /** The function or role that was changed; '' for the form none. */
  readonly name: string;
  /** Whether the full vectors were deleted, so that there is no way back. */
  readonly isFullColumnDropped: boolean;
}

/** How much of the server a migration may use. */
export interface InPlaceThrottle {
  /** The filling waits while a search is slower: `2x` its latency at rest, or `50ms`. Null: never. */
  readonly maxLoad: string | null;
  /** Rest after a batch, as a multiple of the batch's time. */
  readonly nice: number;
}

/** What a migration in place knows of itself. It is kept in the database. */
export interface InPlaceState {
  readonly collection: string;
  readonly vectorName: string;
  readonly encoderFingerprint: string;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly layout: InPlaceLayout;
  readonly phase: InPlacePhase;
  readonly paused: boolean;
  /** Null if none was set. */
  readonly throttle: InPlaceThrottle | null;
  /** Points that were looked at while filling or repairing. */
  readonly filled: number;
  /** Points by the database's statistics. */
  readonly points: number | null;
  readonly verified: InPlaceDifferences | null;
  readonly cutOver: InPlaceCutOver | null;
  /** The process that works on the migration, for people; null for none. */
  readonly runner: string | null;
  /** What a cut-over that stopped before its end left behind, for people. A rollback removes it. */
  readonly leftovers: readonly string[];
  /** Why full and compact vectors may differ although they were compared, for people. */
  readonly warnings: readonly string[];
  /** Why the migration cannot continue as it is, such as a column that was renamed, with what to do, for people. */
  readonly problems: readonly string[];
}

/** What a cut-over in place asks for. */
export interface InPlaceCutOverRequest {
  readonly form: InPlaceCutOver['form'];
  /** Name, or name with types of arguments, of the search function; the role for the form operator. */
  readonly name: string | undefined;
  /** First-stage results that are ordered by full vectors. */
  readonly candidates: number;
}

/** What a change will do or did, for people. */
export interface InPlaceChange {
  readonly lines: readonly string[];
  readonly statements: readonly string[];
}

/** What a completion would remove. */
export interface InPlaceCompletionPlan extends InPlaceChange {
  /** The words that delete the full vectors; null if they stay. */
  readonly words: string | null;
}

/** What to remove at the end of a migration in place. */
export interface InPlaceCompletion {
  readonly dropFullIndexes: boolean;
  /** The words that delete the full vectors, exactly as the plan has them; undefined keeps them. */
  readonly dropFullColumn: string | undefined;
}

/** A migration in place that this process works on, and no other. */
export interface InPlaceWork {
  /** Returns the state as the database has it now. */
  state(): Promise<InPlaceState>;
  /** Sets what keeps compact vectors up to date with clients' writes, and ends the phase "installing". */
  install(run?: RunOptions): Promise<void>;
  /**
   * Writes the compact vectors of the next points, and its position with them. Ends the phase after the last point.
   * Returns whether points are left, and how many were looked at.
   */
  fillNext(rows: number): Promise<{ readonly rows: number; readonly isOver: boolean }>;
  /** Builds the index of the compact vectors, and ends the phase "indexing". */
  buildIndex(run?: RunOptions): Promise<void>;
  /** Compares, stores the result, and ends the phase "verifying": next is "ready", or "repairing" after differences. */
  verify(options: RunOptions & { readonly sample?: number | undefined }): Promise<InPlaceDifferences>;
  /** Compares again from the beginning, and writes what differs: begins the phase "repairing". */
  beginRepair(): Promise<void>;
  setPaused(paused: boolean): Promise<void>;
  /** Returns how much of the server this run may use now; null if it was never set. */
  throttle(): Promise<InPlaceThrottle | null>;
  /** Changes what clients use. @throws FORBIDDEN, UNSUPPORTED with what to do */
  cutOver(request: InPlaceCutOverRequest, run?: RunOptions): Promise<InPlaceChange>;
  /** Puts back what was there before the cut-over, and removes leftovers. @throws NOT_FOUND without either */
  rollBack(): Promise<InPlaceChange>;
  /**
   * Ends a migration, and removes what is asked for. Full vectors are deleted only after all of them were compared.
   * @throws INVALID_ARGUMENT for other words; VERIFY_FAILED; UNSUPPORTED and FORBIDDEN with what is in the way
   */
  complete(completion: InPlaceCompletion, run?: RunOptions): Promise<InPlaceChange>;
  /**
   * Removes everything that the migration made; nothing if it is removed already.
   * @throws INVALID_ARGUMENT while clients use it by a cut-over
   */
  remove(run?: RunOptions): Promise<void>;
  /** Lets other processes work on the migration. */
  release(): Promise<void>;
}

/** Migrations whose compact vectors stand beside the full ones, kept up to date by the database itself. */
export interface InPlaceMigrations {
  /**
   * Returns what a migration would do. Reads only.
   * @throws FORBIDDEN with the statements that an administrator should run; UNSUPPORTED; MISMATCH for another encoder
   */
  plan(request: InPlaceRequest): Promise<InPlacePlan>;
  /**
   * Returns all statements of a migration and its cut-over, for tools that run files of statements. Reads only.
   * @throws as `plan` and `planCutOver`
   */
  script(request: InPlaceRequest, cutOver: InPlaceCutOverRequest): Promise<readonly InPlaceStep[]>;
  /** Returns the state of a migration; null if there is none. */
  find(name: InPlaceName): Promise<InPlaceState | null>;
  /** Stores a migration, unless it is stored already, and begins to work on it. @throws MISMATCH, ALREADY_EXISTS */
  begin(request: InPlaceRequest, options: InPlaceWorkOptions): Promise<InPlaceWork>;
  /** Begins to work on a stored migration. @throws NOT_FOUND; ALREADY_EXISTS while another process works on it */
  resume(name: InPlaceName, options: InPlaceWorkOptions): Promise<InPlaceWork>;
  /** Stores how much of the server a migration may use, for the process that works on it and for later ones. */
  setThrottle(name: InPlaceName, throttle: InPlaceThrottle): Promise<void>;
  /** Asks the process that works on a migration to stop. Returns whether it did within `waitMs`. */
  pause(name: InPlaceName, waitMs: number): Promise<boolean>;
  /** Returns what a cut-over would do. Reads only. */
  planCutOver(name: InPlaceName, request: InPlaceCutOverRequest): Promise<InPlaceChange>;
  /** Returns what a completion would remove. Reads only. @throws as `complete` */
  planCompletion(
    name: InPlaceName,
    removed: { readonly fullIndexes: boolean; readonly fullColumn: boolean },
  ): Promise<InPlaceCompletionPlan>;
}

/** How a process works on a migration in place. */
export interface InPlaceWorkOptions extends RunOptions {
  /** Longest time for which clients wait behind a change of their table. */
  readonly lockWaitMs: number;
}

/** A store whose compact vectors stand beside the full ones. */
export interface InPlaceTarget extends VectorSource {
  readonly inPlace: InPlaceMigrations;
}

/** Returns whether a store has migrations in place. */
export function isInPlaceTarget(store: VectorSource): store is InPlaceTarget {
  return 'inPlace' in store;
}
