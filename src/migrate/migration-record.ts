import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, TldrError } from '../core/errors.js';
import { formatPointId, parsePointId, type PointId } from '../core/point-id.js';
import type { Datatype, Layout, Quantization, ShardKey } from '../core/vector-store.js';

/** How far a migration is. Each phase begins only when the one before is complete; `repairing` after a failed verification. */
type Phase = 'creating' | 'copying' | 'repairing' | 'finishing' | 'verifying' | 'done';

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

/** Everything needed to go on after a kill: plain data, one JSON file. */
export interface MigrationRecord extends MigrationIdentity {
  readonly version: 2;
  phase: Phase;
  readonly ranges: RangeProgress[];
}

const PHASES: readonly Phase[] = ['creating', 'copying', 'repairing', 'finishing', 'verifying', 'done'];
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

/** The record of a file, or null where there is none. @throws INVALID_DATA for a file that is no record */
async function readRecord(path: string): Promise<MigrationRecord | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return null;
    throw new TldrError('INVALID_ARGUMENT', `cannot read the migration record ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `${path} is no migration record: ${messageOf(cause)}`, { cause });
  }
  if (!isRecord(value))
    throw new TldrError(
      'INVALID_DATA',
      `${path} is no migration record of version 2: remove it, and the copy begins again`,
    );
  return value;
}

/** Writes the record so that a crash leaves either the old or the new one, whole. @throws INVALID_ARGUMENT */
export async function writeRecord(path: string, record: MigrationRecord): Promise<void> {
  try {
    await writeWhole(path, `${JSON.stringify(record, null, 1)}\n`);
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot write the migration record ${path}: ${why}`, { cause });
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.partial`;
  const file = await open(partial, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * The record of a file if it is this migration's, null where there is none.
 * @throws MISMATCH for the record of another migration
 */
export async function checkRecord(
  identity: MigrationIdentity,
  path: string,
): Promise<MigrationRecord | null> {
  const record = await readRecord(path);
  if (record === null) return null;
  const different = IDENTITY_KEYS.filter((key) => record[key] !== identity[key]);
  if (different.length > 0) {
    const how = different.map(
      (key) => `${key}: recorded ${record[key] ?? '(unset)'}, now ${identity[key] ?? '(unset)'}`,
    );
    throw new TldrError(
      'MISMATCH',
      `${path} records another migration (${how.join('; ')}): give another --record, or remove it`,
    );
  }
  return record;
}

/** What of a plan says which migration it is. */
export function identityOf(plan: MigrationIdentity): MigrationIdentity {
  const { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection } = plan;
  const { vectorName, compactName, layout, encoderFingerprint, datatype, quantization } = plan;
  const places = { sourceEndpoint, sourceCollection, targetEndpoint, targetCollection };
  return { ...places, vectorName, compactName, layout, encoderFingerprint, datatype, quantization };
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}

function isRecord(value: unknown): value is MigrationRecord {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const texts = IDENTITY_KEYS.filter((key) => key !== 'datatype' && key !== 'quantization');
  const ranges = fields.get('ranges');
  return (
    fields.get('version') === 2 &&
    PHASES.some((phase) => phase === fields.get('phase')) &&
    texts.every((name) => typeof fields.get(name) === 'string') &&
    Array.isArray(ranges) &&
    ranges.every(isRange)
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
