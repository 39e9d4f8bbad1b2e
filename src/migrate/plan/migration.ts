import type { Distance } from '../../core/distance.js';
import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import { pickVector } from '../../store/pick-vector.js';
import { METADATA_KEY, targetDescription, type TargetDescription } from '../../store/target-description.js';
import type {
  CollectionSpec,
  Datatype,
  DenseVectorSpec,
  Layout,
  MemoryEstimate,
  Quantization,
  VectorStore,
} from '../../store/vector-store.js';
import type { MigrationIdentity } from '../state/migration-state.js';

const COMPACT_NAME = 'compact';
/** Enough of a fingerprint or a name to tell it from others. */
const SHOWN_CHARS = 24;

export interface MigrationRequest {
  readonly source: VectorStore;
  readonly target: VectorStore;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly encoder: Encoder;
  readonly layout?: Layout;
  /** The source vector to reduce; may be left out where there is only one. */
  readonly vectorName?: string | undefined;
  /** Name of the reduced vector in the two-stage layout. */
  readonly compactName?: string | undefined;
  /** How the reduced vector is written; where absent as the source's vector is. */
  readonly datatype?: Datatype | undefined;
  readonly quantization?: Quantization | undefined;
}

/** What a migration will do: read-only to make, pure data apart from the two specs. */
export interface MigrationPlan extends MigrationIdentity {
  readonly inputDim: number;
  readonly outputDim: number;
  readonly distance: Distance;
  readonly points: number;
  readonly sourceSpec: CollectionSpec;
  readonly targetSpec: CollectionSpec;
  readonly before: MemoryEstimate;
  readonly after: MemoryEstimate;
  /** The target is there already, made by this very migration. */
  readonly targetExists: boolean;
}

/**
 * Reads source and target and lays out the migration; writes nothing.
 * @throws NOT_FOUND, MISMATCH when encoder and vector do not fit, ALREADY_EXISTS when the target is something else
 */
export async function planMigration(
  request: MigrationRequest,
  options: {
    /** A target with other settings is for the caller to judge, as verification does. */
    readonly anySettings?: boolean;
  } = {},
): Promise<MigrationPlan> {
  const { source, target, encoder, sourceCollection, targetCollection, layout = 'compact' } = request;
  checkSides(request);
  await refuseAlias(source, sourceCollection);
  const sourceSpec = await source.describe(sourceCollection);
  const vector = pickVector(sourceSpec, request.vectorName);
  checkEncoder(encoder, vector, sourceCollection);
  const compactName = layout === 'compact' ? vector.name : (request.compactName ?? COMPACT_NAME);
  const { datatype, quantization } = request;
  const storage = {
    ...(datatype === undefined ? {} : { datatype }),
    ...(quantization === undefined ? {} : { quantization }),
  };
  const description: TargetDescription = {
    format: 1,
    encoder: encoder.fingerprint,
    layout,
    source: sourceCollection,
    vector: vector.name,
    compact: compactName,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance: vector.distance,
    ...storage,
  };
  const targetSpec = target.deriveTarget(sourceSpec, {
    name: targetCollection,
    layout,
    vectorName: vector.name,
    compactName,
    compactDim: encoder.outputDim,
    compactDistance: encoder.metadata.compactDistance,
    ...storage,
    metadata: { [METADATA_KEY]: JSON.stringify(description) },
  });
  const points = await source.count(sourceCollection);
  return {
    sourceEndpoint: source.endpoint,
    sourceCollection,
    targetEndpoint: target.endpoint,
    targetCollection,
    vectorName: vector.name,
    compactName,
    layout,
    encoderFingerprint: encoder.fingerprint,
    ...storage,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance: vector.distance,
    points,
    sourceSpec,
    targetSpec,
    before: source.estimateMemory(sourceSpec, points),
    after: target.estimateMemory(targetSpec, points),
    targetExists: await checkTarget(target, targetSpec, { description, ...options }),
  };
}

/** @throws UNSUPPORTED, INVALID_ARGUMENT */
function checkSides({ source, target, sourceCollection, targetCollection }: MigrationRequest): void {
  if (source.format !== target.format) {
    throw new TldrError(
      'UNSUPPORTED',
      `cannot copy points from a ${source.format} store into a ${target.format} store`,
    );
  }
  if (source.endpoint === target.endpoint && sourceCollection === targetCollection) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `source and target are the same collection "${sourceCollection}"`,
    );
  }
}

/** An alias may be moved, at cut-over to the target itself, and the source would be another one from then on. */
async function refuseAlias(source: VectorStore, name: string): Promise<void> {
  const collection = (await source.aliases()).get(name);
  if (collection === undefined) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `"${name}" leads to ${collection} by an alias, which may be moved: give the collection itself; after a bare-name cut-over, roll back first`,
  );
}

/** @throws MISMATCH when encoder and vector do not fit */
function checkEncoder(encoder: Encoder, vector: DenseVectorSpec, sourceCollection: string): void {
  if (vector.dim !== encoder.inputDim) {
    throw new TldrError(
      'MISMATCH',
      `the encoder expects ${encoder.inputDim}-d vectors, "${vector.name}" of ${sourceCollection} has ${vector.dim}: train one from this collection`,
    );
  }
  if (vector.distance !== encoder.metadata.distance) {
    throw new TldrError(
      'MISMATCH',
      `the encoder was trained for ${encoder.metadata.distance}, "${vector.name}" of ${sourceCollection} uses ${vector.distance}`,
    );
  }
}

/** True when the target exists and is this migration's own; anything else of that name is left alone. */
async function checkTarget(
  target: VectorStore,
  wanted: CollectionSpec,
  {
    description,
    anySettings = false,
  }: { readonly description: TargetDescription; readonly anySettings?: boolean },
): Promise<boolean> {
  if ((await target.aliases()).has(wanted.name)) {
    throw new TldrError('ALREADY_EXISTS', `"${wanted.name}" is an alias in the target: choose another name`);
  }
  if (!(await target.exists(wanted.name))) return false;
  const actual = await target.describe(wanted.name);
  const found = targetDescription(actual);
  if (found === null || !sameDescription(found, description)) {
    const what =
      found === null ? 'is another collection' : `was made otherwise (${differing(found, description)})`;
    throw new TldrError(
      'ALREADY_EXISTS',
      `target ${wanted.name} exists and ${what}: it will not be touched; choose another name`,
    );
  }
  if (anySettings) return true;
  const differences = target.differences(wanted, actual, { loading: true, creating: true });
  if (differences.length > 0) {
    throw new TldrError(
      'MISMATCH',
      `target ${wanted.name} exists, but its settings are not those planned: ${differences.slice(0, 5).join('; ')}; set them so, or choose another name`,
    );
  }
  return true;
}

/** What a target was made with, beside what is wanted now. */
function differing(found: TargetDescription, wanted: TargetDescription): string {
  const now = new Map<string, string | number>(Object.entries(wanted));
  const had = new Map<string, string | number>(Object.entries(found));
  const shown = (value: string | number | undefined): string =>
    value === undefined ? 'that of the source' : JSON.stringify(value).slice(0, SHOWN_CHARS);
  return [...new Set([...had.keys(), ...now.keys()])]
    .filter((key) => had.get(key) !== now.get(key))
    .map((key) => `${key}: it has ${shown(had.get(key))}, wanted ${shown(now.get(key))}`)
    .join('; ');
}

function sameDescription(a: TargetDescription, b: TargetDescription): boolean {
  const pairs = (x: TargetDescription): string => JSON.stringify(Object.entries(x).sort());
  return pairs(a) === pairs(b);
}
