import * as v from 'valibot';
import { inForm, checkJson } from '../../core/check-schema.js';
import { messageOf, TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import type { StoreKeys } from '../../store/vector-source.js';
import type { LoadSeen } from '../throttle/throttle.js';
import {
  DATATYPES,
  QUANTIZATIONS,
  type Datatype,
  type Layout,
  type Partition,
  type Quantization,
} from '../../store/collection.js';

/**
 * How far the copy is. Each phase begins only when the one before is complete. `repairing`: a verification
 * failed. `verified`: a verification found every point equal. `following`: clients write to the source, and
 * catch-up brought the target near it.
 */
export type Phase =
  'creating' | 'copying' | 'repairing' | 'finishing' | 'verifying' | 'verified' | 'following';

/** A cut-over. `begun` is stored before the switch, because a crash may come right after the switch. */
export interface CutOver {
  /** In the form `proxy`, no name in the server changes: the proxy sends clients to the target. */
  readonly form: 'alias' | 'bare-name' | 'proxy';
  /** The alias or, in the other forms, the source's own name. */
  readonly name: string;
  /** The collection that the alias led to before; null if there was no alias. */
  readonly previous: string | null;
  readonly forced: boolean;
  /** Points that differed shortly before the switch, if a lag was allowed. */
  readonly lag?: number;
  readonly state: 'begun' | 'done' | 'rolled-back';
}

/** One of several workers that copy a collection together. Each copies its own ranges. */
export interface Share {
  /** Counted from 1. */
  readonly index: number;
  readonly of: number;
}

/** One range of ids in one shard: `cursor` is the last id whose write was acknowledged. */
export interface RangeProgress {
  readonly partition: Partition | null;
  readonly from: string | null;
  readonly to: string | null;
  cursor: string | null;
  complete: boolean;
  points: number;
}

/** How a copy is projected: by the WebAssembly kernel, or with native matrix products. */
export type ProjectorName = 'kernel' | 'native';

/** The identity of a migration. It never changes once it is stored. */
export interface MigrationIdentity {
  /** Addresses of the stores without credentials: collection names are unique only within a server. */
  readonly sourceEndpoint: string;
  readonly targetEndpoint: string;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly vectorName: string;
  readonly compactName: string;
  readonly layout: Layout;
  readonly encoderFingerprint: string;
  /** If absent: as the source's vector is stored. */
  readonly datatype?: Datatype | undefined;
  readonly quantization?: Quantization | undefined;
  readonly hnswM?: number | undefined;
}

/** Everything that a run needs to continue after a kill: plain data, one JSON document. */
export interface MigrationState extends MigrationIdentity {
  readonly version: 3;
  phase: Phase;
  readonly ranges: RangeProgress[];
  /** Path of the encoder file, for later commands; null if it is not known. */
  encoderFile: string | null;
  /** Number of points when a verification found all of them equal; null before that. */
  verifiedPoints: number | null;
  cutOver: CutOver | null;
  /** True after `complete`: the source is not needed any more. */
  completed: boolean;
  /** How the copy is projected. Later runs and verifications project in the same way. Absent in old states. */
  projector?: ProjectorName;
  /** Number of workers that copy together, each with its own state. If absent, one run copies everything. */
  split?: number;
  /** Folder of the proxy's journal; absent if no proxy mirrors clients' writes. */
  journal?: string;
  /** The load that the last run saw. */
  load?: LoadSeen;
}

const TEXT_OR_NULL = v.nullable(v.string());
const NUMBER_OR_NULL = v.nullable(v.number());

/** A state as its text has it. Unknown fields are kept. */
const STATE = v.looseObject({
  version: v.literal(3),
  phase: v.picklist(['creating', 'copying', 'repairing', 'finishing', 'verifying', 'verified', 'following']),
  sourceEndpoint: v.string(),
  targetEndpoint: v.string(),
  sourceCollection: v.string(),
  targetCollection: v.string(),
  vectorName: v.string(),
  compactName: v.string(),
  layout: v.picklist(['compact', 'two-stage']),
  encoderFingerprint: v.string(),
  datatype: v.exactOptional(v.picklist(DATATYPES)),
  quantization: v.exactOptional(v.picklist(QUANTIZATIONS)),
  hnswM: v.exactOptional(v.number()),
  ranges: v.array(
    v.looseObject({
      shardKey: v.nullable(v.looseObject({ kind: v.string(), value: v.string() })),
      from: TEXT_OR_NULL,
      to: TEXT_OR_NULL,
      cursor: TEXT_OR_NULL,
      complete: v.boolean(),
      points: v.number(),
    }),
  ),
  encoderFile: TEXT_OR_NULL,
  verifiedPoints: NUMBER_OR_NULL,
  cutOver: v.nullable(
    v.looseObject({
      form: v.picklist(['alias', 'bare-name', 'proxy']),
      name: v.string(),
      previous: TEXT_OR_NULL,
      forced: v.boolean(),
      lag: v.exactOptional(v.number()),
      state: v.picklist(['begun', 'done', 'rolled-back']),
    }),
  ),
  completed: v.boolean(),
  split: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  journal: v.exactOptional(v.string()),
  projector: v.exactOptional(v.picklist(['kernel', 'native'])),
  load: v.exactOptional(
    v.looseObject({
      baselineMs: NUMBER_OR_NULL,
      latencyMs: NUMBER_OR_NULL,
      waiting: TEXT_OR_NULL,
      resting: v.number(),
      waitedMs: v.number(),
    }),
  ),
});

const IDENTITY_KEYS: readonly (keyof MigrationIdentity)[] = [
  'sourceEndpoint',
  'sourceCollection',
  'targetEndpoint',
  'targetCollection',
  'vectorName',
  'compactName',
  'layout',
  'encoderFingerprint',
  'datatype',
  'quantization',
  'hnswM',
];

/** Returns the id of a range's text. @throws INVALID_ARGUMENT for text that is no id of the store */
export function cursorOf(text: string | null, keys: StoreKeys): PointId | null {
  return text === null ? null : keys.parse(text);
}

/** Returns the text of an id, for a range. */
export function cursorText(id: PointId | null, keys: StoreKeys): string | null {
  return id === null ? null : keys.format(id);
}

/**
 * Returns a migration state from its JSON text. Version 2 is converted.
 * @throws INVALID_DATA naming `label` when the text is anything else
 */
export function parseMigrationState(text: string, label: string): MigrationState {
  const refuse = (problem: string, cause?: unknown): TldrError =>
    new TldrError('INVALID_DATA', `${label} is not a migration state of version 2 or 3: ${problem}`, {
      cause,
      hint: 'restore-state',
    });
  const value = upgraded(checkJson(v.unknown(), text, { refuse }));
  const { ranges, ...state } = inForm(STATE, value, { refuse });
  return { ...state, ranges: ranges.map(({ shardKey, ...range }) => ({ ...range, partition: shardKey })) };
}

/** Converts a state of version 2, which had no cut-over and called the phase `verified` "done". */
function upgraded(value: unknown): unknown {
  if (!v.is(v.looseObject({ version: v.literal(2) }), value)) return value;
  const phase = value['phase'] === 'done' ? { phase: 'verified' } : {};
  return { ...value, ...phase, version: 3, ...FRESH };
}

/** Returns the JSON text of a migration state. The text calls a range's partition "shardKey". */
export function stateText(state: MigrationState, indent = 0): string {
  const ranges = state.ranges.map(({ partition, ...range }) => ({ shardKey: partition, ...range }));
  return JSON.stringify({ ...state, ranges }, null, indent);
}

/** Initial values of every migration state. */
export const FRESH = { encoderFile: null, verifiedPoints: null, cutOver: null, completed: false } as const;

/** @throws MISMATCH when the state belongs to another migration */
export function checkIdentity(state: MigrationState, identity: MigrationIdentity, label: string): void {
  const different = IDENTITY_KEYS.filter((key) => state[key] !== identity[key]);
  if (different.length === 0) return;
  const how = different.map(
    (key) => `${key}: recorded ${state[key] ?? '(unset)'}, now ${identity[key] ?? '(unset)'}`,
  );
  throw new TldrError('MISMATCH', `${label} holds the state of another migration (${how.join('; ')})`, {
    hint: 'other-state-place',
  });
}

/**
 * Checks the ids that ranges begin and end with.
 * @throws INVALID_DATA naming `label` when a text is no id of the store
 */
export function checkRangeIds({ ranges }: MigrationState, keys: StoreKeys, label: string): void {
  try {
    for (const { from, to, cursor } of ranges) for (const text of [from, to, cursor]) cursorOf(text, keys);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `${label} is damaged: ${messageOf(cause)}`, {
      cause,
      hint: 'restore-state',
    });
  }
}

/** Returns the identity of a plan's migration. */
export function identityOf(plan: MigrationIdentity): MigrationIdentity {
  const { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection } = plan;
  const { vectorName, compactName, layout, encoderFingerprint } = plan;
  const { datatype, quantization, hnswM } = plan;
  const places = { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection };
  return { ...places, vectorName, compactName, layout, encoderFingerprint, datatype, quantization, hnswM };
}

/** Returns whether a cut-over was begun or made, and not rolled back. */
export function inEffect({ cutOver }: MigrationState): boolean {
  return cutOver !== null && cutOver.state !== 'rolled-back';
}

/** Returns the number of points that the copy has written, from its ranges. */
export const copiedPoints = ({ ranges }: Pick<MigrationState, 'ranges'>): number =>
  ranges.reduce((sum, { points }) => sum + points, 0);
