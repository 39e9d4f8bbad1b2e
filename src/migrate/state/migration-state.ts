import { messageOf, TldrError } from '../../core/errors.js';
import { formatPointId, parsePointId, type PointId } from '../../core/point-id.js';
import type { LoadSeen } from '../throttle/throttle.js';
import type { Datatype, Layout, Quantization, ShardKey } from '../../store/vector-store.js';

/**
 * How far the copy is. Each phase begins only when the one before is complete; `repairing` after a failed
 * verification, `verified` after one that found every point equal, `following` where the source is written to and
 * the target was brought near it.
 */
export type Phase =
  'creating' | 'copying' | 'repairing' | 'finishing' | 'verifying' | 'verified' | 'following';

/** Clients sent to the target by a name. `begun` is recorded before the switch, since a crash may follow it. */
export interface CutOver {
  /** In the form `proxy` no name of the server changes: the proxy that follows the writes sends them there. */
  readonly form: 'alias' | 'bare-name' | 'proxy';
  /** The alias, or the source's own name in the other forms. */
  readonly name: string;
  /** What the alias led to before; null where it was not there. */
  readonly previous: string | null;
  readonly forced: boolean;
  /** Points that differed shortly before, where that was allowed. */
  readonly lag?: number;
  readonly state: 'begun' | 'done' | 'rolled-back';
}

/** One of several runners that copy a collection together, each its own ranges. */
export interface Share {
  /** From 1. */
  readonly index: number;
  readonly of: number;
}

/** One range of ids in one shard: `cursor` is the last id whose write was acknowledged. */
export interface RangeProgress {
  readonly shardKey: ShardKey | null;
  readonly from: string | null;
  readonly to: string | null;
  cursor: string | null;
  complete: boolean;
  points: number;
}

/** What is being migrated: never changes once recorded. */
export interface MigrationIdentity {
  /** Where the stores are, without credentials: names of collections mean nothing across servers. */
  readonly sourceEndpoint: string;
  readonly targetEndpoint: string;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly vectorName: string;
  readonly compactName: string;
  readonly layout: Layout;
  readonly encoderFingerprint: string;
  /** Where absent, as the source's vector is kept. */
  readonly datatype?: Datatype | undefined;
  readonly quantization?: Quantization | undefined;
}

/** Everything needed to go on after a kill: plain data, one JSON document. */
export interface MigrationState extends MigrationIdentity {
  readonly version: 3;
  phase: Phase;
  readonly ranges: RangeProgress[];
  /** Where the encoder was read from, so that later commands find it; null where nobody said. */
  encoderFile: string | null;
  /** Points of both sides when every one of them was found equal; null before that. */
  verifiedPoints: number | null;
  cutOver: CutOver | null;
  /** Declared over: the source is not needed any more. */
  completed: boolean;
  /** Workers that copy together, each its own ranges by a record of its own; where absent, one copies all. */
  split?: number;
  /** Folder in which a proxy keeps what clients write meanwhile; where absent, none does. */
  journal?: string;
  /** What the last run saw of the load. */
  load?: LoadSeen;
}

const PHASES: readonly Phase[] = [
  'creating',
  'copying',
  'repairing',
  'finishing',
  'verifying',
  'verified',
  'following',
];
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
];

export function cursorOf(text: string | null): PointId | null {
  return text === null ? null : parsePointId(text);
}

export function cursorText(id: PointId | null): string | null {
  return id === null ? null : formatPointId(id);
}

/**
 * A record from its text; one of version 2 is brought up to date.
 * @throws INVALID_DATA naming `label` for anything else
 */
export function parseRecord(text: string, label: string): MigrationState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const message = `${label} is no migration record: ${messageOf(cause)}: ${WITHOUT_IT}`;
    throw new TldrError('INVALID_DATA', message, { cause });
  }
  const current = upgraded(value);
  if (!isRecord(current))
    throw new TldrError('INVALID_DATA', `${label} is no migration record of version 2 or 3: ${WITHOUT_IT}`);
  return current;
}

/** Version 2 knew no cut-over, and called a verified migration done. */
function upgraded(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('version' in value) || value.version !== 2)
    return value;
  const phase = 'phase' in value && value.phase === 'done' ? { phase: 'verified' } : {};
  return { ...value, ...phase, version: 3, ...FRESH };
}

/** What is lost with a record, and what can be done. */
const WITHOUT_IT =
  'put a copy of the record back. Without it nobody knows how far the copy is, whether clients were sent to the target and how they get back, and which journal holds their writes: do not delete the source. If clients read the source and no proxy keeps a journal, the record may be moved away: `migrate start` then copies every point again';

/** What every record begins with. */
export const FRESH = { encoderFile: null, verifiedPoints: null, cutOver: null, completed: false } as const;

/** @throws MISMATCH for the record of another migration */
export function checkIdentity(record: MigrationState, identity: MigrationIdentity, label: string): void {
  const different = IDENTITY_KEYS.filter((key) => record[key] !== identity[key]);
  if (different.length === 0) return;
  const how = different.map(
    (key) => `${key}: recorded ${record[key] ?? '(unset)'}, now ${identity[key] ?? '(unset)'}`,
  );
  throw new TldrError(
    'MISMATCH',
    `${label} records another migration (${how.join('; ')}): give another --record for this one, and keep that record until the other migration is complete or aborted, since nothing else knows how far it is, which name of clients leads where, and which journal holds their writes`,
  );
}

/** What of a plan says which migration it is. */
export function identityOf(plan: MigrationIdentity): MigrationIdentity {
  const { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection } = plan;
  const { vectorName, compactName, layout, encoderFingerprint, datatype, quantization } = plan;
  const places = { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection };
  return { ...places, vectorName, compactName, layout, encoderFingerprint, datatype, quantization };
}

function isRecord(value: unknown): value is MigrationState {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const texts = IDENTITY_KEYS.filter((key) => key !== 'datatype' && key !== 'quantization');
  const ranges = fields.get('ranges');
  const orNull = (name: string, type: string): boolean =>
    fields.get(name) === null || typeof fields.get(name) === type;
  return (
    fields.get('version') === 3 &&
    PHASES.some((phase) => phase === fields.get('phase')) &&
    texts.every((name) => typeof fields.get(name) === 'string') &&
    orNull('encoderFile', 'string') &&
    orNull('verifiedPoints', 'number') &&
    typeof fields.get('completed') === 'boolean' &&
    isCutOver(fields.get('cutOver')) &&
    isLoad(fields.get('load')) &&
    (fields.get('split') === undefined || isWorkers(fields.get('split'))) &&
    ['undefined', 'string'].includes(typeof fields.get('journal')) &&
    Array.isArray(ranges) &&
    ranges.every(isRange)
  );
}

function isWorkers(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

function isLoad(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const isOrNull = (name: string, type: string): boolean =>
    fields.get(name) === null || typeof fields.get(name) === type;
  return (
    isOrNull('baselineMs', 'number') &&
    isOrNull('latencyMs', 'number') &&
    isOrNull('waiting', 'string') &&
    typeof fields.get('resting') === 'number' &&
    typeof fields.get('waitedMs') === 'number'
  );
}

/** Whether a cut-over was made, or begun, and not taken back. */
export function inEffect({ cutOver }: MigrationState): boolean {
  return cutOver !== null && cutOver.state !== 'rolled-back';
}

function isCutOver(value: unknown): boolean {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const previous = fields.get('previous');
  const oneOf = (name: string, known: readonly string[]): boolean =>
    known.some((one) => one === fields.get(name));
  return (
    oneOf('form', ['alias', 'bare-name', 'proxy']) &&
    oneOf('state', ['begun', 'done', 'rolled-back']) &&
    typeof fields.get('name') === 'string' &&
    typeof fields.get('forced') === 'boolean' &&
    (previous === null || typeof previous === 'string')
  );
}

function isRange(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const idOrNull = (name: string): boolean => {
    const text = fields.get(name);
    return text === null || (typeof text === 'string' && isPointId(text));
  };
  return ['from', 'to', 'cursor'].every(idOrNull) && typeof fields.get('complete') === 'boolean';
}

function isPointId(text: string): boolean {
  try {
    parsePointId(text);
    return true;
  } catch {
    return false;
  }
}

/** Points that the copy has written, by the cursors. */
export const copiedPoints = ({ ranges }: Pick<MigrationState, 'ranges'>): number =>
  ranges.reduce((sum, { points }) => sum + points, 0);
