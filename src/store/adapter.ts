import type { Matrix } from '../core/matrix.js';
import type { Log, RunOptions } from '../core/run-options.js';
import type { DenseVectorSpec, Layout, StorageKind } from './collection.js';
import type { TargetCapabilities } from './copy-target.js';
import type { InPlaceTarget } from './in-place-target.js';
import type { VectorSource } from './vector-source.js';

/** A setting that only one adapter has: a flag, a variable, and a key of the configuration file. */
export interface AdapterSetting {
  /** Key in the configuration file, in camel case. The flag is the same name in kebab case. */
  readonly name: string;
  readonly env: string;
  /** One line for lists of settings. */
  readonly doc: string;
  /** Placeholder of the flag's value, such as `url`. */
  readonly value: string;
  /** True for addresses, which are shown without credentials. */
  readonly isAddress: boolean;
}

/** How to reach a database. */
export interface OpenOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Longest wait for one answer. */
  readonly timeoutMs?: number;
  /** Longest wait for the first answer. */
  readonly connectTimeoutMs?: number;
  readonly log?: Log | undefined;
  /** How often and how long failed requests are repeated. If absent: as the adapter does by default. */
  readonly retry?: {
    readonly attempts: number;
    readonly firstDelayMs: number;
    readonly longestDelayMs: number;
  };
  /** Values of the adapter's own settings by name; undefined where not given. */
  readonly settings: Readonly<Record<string, string | undefined>>;
}

/** A database on this machine that exists only for one run. */
export interface LocalDatabase {
  readonly url: string;
  readonly settings: OpenOptions['settings'];
  stop(): Promise<void>;
}

/** A migrated collection, as far as the authors of clients have to know it. */
export interface MigratedCollection {
  readonly url: string;
  /** The collection's name before the migration, which clients use. */
  readonly collection: string;
  readonly target: string;
  readonly layout: Layout;
  /** Name of the full vector; '' for the unnamed one. */
  readonly vector: string;
  /** Name of the compact vector. */
  readonly compact: string;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly encoderFile: string;
  /** First-stage results per requested result. */
  readonly oversampling: number;
}

/** A way for clients to use a migrated collection without the proxy, for people. */
export interface ClientWay {
  readonly title: string;
  /** Code or requests to copy. */
  readonly lines: readonly string[];
}

/** Schemas for the objects of an encoder's script, and how its weights are stored. */
export interface EncoderScriptNames {
  /** Where the weights and functions go. */
  readonly schema: string;
  /** Where the database's vector type is. */
  readonly extensionSchema: string;
  /** Datatype of the weights; undefined for the one that suits the encoder. */
  readonly weights?: 'float32' | 'float16' | undefined;
}

/** A script with which a database projects vectors itself. */
export interface EncoderScript {
  readonly text: string;
  /** What a user should know of it, for people. */
  readonly notes: readonly string[];
}

/** A measured way of storing and searching full vectors. */
export interface FullForm {
  readonly collection: string;
  readonly vector: Pick<DenseVectorSpec, 'name' | 'dim' | 'distance'>;
  readonly datatype: StorageKind;
  /** The first dimensions, if only these are searched before full vectors rescore; null for all. */
  readonly prefix: number | null;
  readonly hnswM: number;
  /** First-stage results per requested result; 1: no rescoring. */
  readonly oversampling: number;
}

/** A way of searching the demo's collection. */
export interface DemoSearch {
  /** What is searched, in the database's own words. */
  readonly indexed: string;
  readonly indexBytes: number;
  /** First-stage results that are ordered by full vectors; null for one pass. */
  readonly rescored: number | null;
  /** Whether it searches compact vectors. */
  readonly isCompact: boolean;
  /** Returns the numbers of the nearest points. */
  readonly find: (query: Float32Array, limit: number) => Promise<readonly number[]>;
}

/** A database in which the demo has a collection of its own. */
export interface DemoDatabase {
  readonly store: InPlaceTarget;
  /** The demo's collection. */
  readonly collection: string;
  /** Returns the database and its version, for people. */
  version(): Promise<string>;
  /**
   * Makes the collection, with points that are numbered from 0, and the indexes that need no encoder.
   * @throws ALREADY_EXISTS if its name is taken by something that is not the demo's
   */
  fill(
    points: { readonly vectors: Matrix; readonly texts: readonly string[] },
    run: RunOptions,
  ): Promise<void>;
  /** Returns the ways of searching after a migration. */
  searches(): Promise<readonly DemoSearch[]>;
  /** Removes the collection of this or an earlier demo, with its migration. @throws ALREADY_EXISTS as `fill` */
  remove(): Promise<void>;
  close(): Promise<void>;
}

/** A kind of database, chosen by the scheme of its address. */
export interface Adapter {
  readonly name: string;
  /** Schemes of its addresses, such as `https`. */
  readonly schemes: readonly string[];
  readonly settings: readonly AdapterSetting[];
  /** A variable of the environment that other programs use for the address. It may hold a password. */
  readonly addressVariable?: string;
  /** Whether its stores are `InPlaceTarget`s, so that a migration needs no second collection. */
  readonly migratesInPlace?: boolean;
  /**
   * Connects to a database.
   * @throws INVALID_ARGUMENT for an unusable address, UNAVAILABLE when nothing answers, UNAUTHORIZED,
   * UNSUPPORTED for a version that is too old
   */
  open(options: OpenOptions): Promise<VectorSource>;
  /**
   * Returns a script with which the database projects vectors itself, from the bytes of an encoder file.
   * @throws UNSUPPORTED when the database cannot compute this encoder
   */
  readonly encoderScript?: (file: Uint8Array, names: EncoderScriptNames) => Promise<EncoderScript>;
  /** Returns the steps for people that store full vectors in a measured form, and search them. */
  readonly fullFormSteps?: (form: FullForm) => Promise<readonly string[]>;
  /** Returns the ways for clients to use a migrated collection without the proxy. */
  readonly clientWays?: (migrated: MigratedCollection) => readonly ClientWay[];
  /** The demo of a database whose compact vectors stand beside the full ones. */
  readonly demo?: {
    /** What `start` starts, for people. */
    readonly embedded: string;
    /** Starts a database in this process. @throws UNSUPPORTED, with the packages to install */
    start(): Promise<LocalDatabase>;
    /** @throws as `open` */
    open(options: OpenOptions): Promise<DemoDatabase>;
  };
  /** Starts a database of this kind for one run, where that is possible without an installation. */
  readonly local?: {
    readonly version: string;
    readonly capabilities: () => Promise<TargetCapabilities>;
    start(): Promise<LocalDatabase>;
  };
}
