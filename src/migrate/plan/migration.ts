import { allNames } from '../../store/facets.js';
import type { Distance } from '../../core/distance.js';
import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import { pickVector } from '../../store/pick-vector.js';
import {
  hiddenVectorOf,
  METADATA_KEY,
  targetDescription,
  type TargetDescription,
} from '../../store/target-description.js';
import type {
  CollectionSpec,
  Datatype,
  DenseVectorSpec,
  Layout,
  Quantization,
} from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { MemoryEstimate } from '../../store/storage.js';
import type { StateLocation } from '../state/location.js';
import type { MigrationIdentity } from '../state/migration-state.js';
import { layoutOf } from './layout.js';

const COMPACT_NAME = 'compact';
/** Shown length of a fingerprint or a name: enough to tell it from others. */
const SHOWN_CHARS = 24;

/** The collections, the encoder and the layout of a migration. */
export interface MigrationRequest {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly encoder: Encoder;
  /** If absent: that of an earlier run of this migration, otherwise two-stage. */
  readonly layout?: Layout | undefined;
  /** The source vector to reduce. May be absent if there is only one. */
  readonly vectorName?: string | undefined;
  /** Name of the compact vector in the two-stage layout. */
  readonly compactName?: string | undefined;
  /** Datatype of the compact vector. If absent: that of the source's vector. */
  readonly datatype?: Datatype | undefined;
  readonly quantization?: Quantization | undefined;
  /** Links of each point in the graph of the compact vector (`m` of HNSW). If absent: as the source's vector has it. */
  readonly hnswM?: number | undefined;
}

/** What a migration will do. Planning it only reads; the plan is plain data. */
export interface MigrationPlan extends MigrationIdentity {
  readonly inputDim: number;
  readonly outputDim: number;
  readonly distance: Distance;
  /** The source's hidden vector, which is not copied; null if the source is no two-stage target. */
  readonly leftOut: string | null;
  readonly points: number;
  readonly sourceSpec: CollectionSpec;
  readonly targetSpec: CollectionSpec;
  /** Expected memory of source and target; null if the store does not know it. */
  readonly before: MemoryEstimate | null;
  readonly after: MemoryEstimate | null;
  /** True if the target already exists and this migration made it. */
  readonly targetExists: boolean;
}

/** Options of `planMigration`. */
export interface PlanMigrationOptions {
  /** Accept a target with other settings; verification reports them instead. */
  readonly anySettings?: boolean;
  /** Number of points that an earlier plan counted. If absent, they are counted. */
  readonly points?: number | undefined;
  /** Where the migration state is. Its layout counts if the request names none. */
  readonly place?: StateLocation | undefined;
}

/**
 * Returns the plan of a migration. Reads source and target, writes nothing.
 * @throws NOT_FOUND when a collection or vector does not exist, MISMATCH when the encoder does not fit
 * @throws ALREADY_EXISTS when the target exists and this migration did not make it
 * @example
 * ```ts
 * // Given: Qdrant, enc.onnx
 * import { Encoder, planMigration } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const { points, before, after } = await planMigration({
 *   source: store,
 *   target: store,
 *   sourceCollection: 'docs',
 *   targetCollection: 'docs_small',
 *   encoder: await Encoder.load('enc.onnx'),
 * });
 * console.log(points, before, after);
 * await store.close();
 * ```
 */
export async function planMigration(
  request: MigrationRequest,
  options: PlanMigrationOptions = {},
): Promise<MigrationPlan> {
  const { source, target, encoder, sourceCollection, targetCollection } = request;
  checkSides(request);
  await refuseAliasAsSource(source, sourceCollection);
  const sourceSpec = await source.describe(sourceCollection);
  const vector = pickVector(sourceSpec, request.vectorName);
  refuseOtherHidden(sourceSpec, vector.name);
  checkEncoder(encoder, vector, sourceCollection);
  const layout = await layoutOf(request, options.place);
  const compactName = layout === 'compact' ? vector.name : (request.compactName ?? COMPACT_NAME);
  const { datatype, quantization, hnswM } = request;
  const storage = {
    ...(datatype === undefined ? {} : { datatype }),
    ...(quantization === undefined ? {} : { quantization }),
    ...(hnswM === undefined ? {} : { hnswM }),
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
  const points = options.points ?? (await source.count(sourceCollection));
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
    leftOut: hiddenVectorOf(sourceSpec, vector.name),
    points,
    sourceSpec,
    targetSpec,
    before: source.storage?.estimate(sourceSpec, points) ?? null,
    after: target.storage?.estimate(targetSpec, points) ?? null,
    targetExists: await checkTarget(target, targetSpec, { description, ...options }),
  };
}

/**
 * @throws INVALID_ARGUMENT when the source is a two-stage target, and another than its full vector would be reduced: its
 * hidden vector would be carried over as a vector of its own, which nobody keeps equal
 */
function refuseOtherHidden(spec: CollectionSpec, vectorName: string): void {
  const description = targetDescription(spec);
  if (description?.layout !== 'two-stage' || description.vector === vectorName) return;
  if (!spec.vectors.some(({ name }) => name === description.compact)) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${spec.name} is a two-stage collection: its vector "${description.compact}" is made from "${description.vector}". Got "${vectorName}" to reduce, expected "${description.vector}", for which another encoder is possible`,
  );
}

/**
 * @throws UNSUPPORTED when points of the source cannot be copied into a store of the target's kind
 * @throws INVALID_ARGUMENT when source and target are the same collection
 */
function checkSides({ source, target, sourceCollection, targetCollection }: MigrationRequest): void {
  if (source.codec.format !== target.codec.format) {
    throw new TldrError(
      'UNSUPPORTED',
      `cannot copy points from a ${source.codec.format} store into a ${target.codec.format} store`,
    );
  }
  if (source.endpoint === target.endpoint && sourceCollection === targetCollection) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `source and target are the same collection "${sourceCollection}"`,
    );
  }
}

/**
 * An alias can be moved, by a cut-over even to the target, and would then name another collection.
 * @throws INVALID_ARGUMENT when the name is an alias
 */
export async function refuseAliasAsSource(source: CopyTarget, name: string): Promise<void> {
  const collection = (await allNames(source)).get(name);
  if (collection === undefined) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `"${name}" is an alias of ${collection}, and an alias can be moved during the migration: give the collection's own name instead; after a bare-name cut-over, roll back first`,
  );
}

/** @throws MISMATCH when the encoder does not fit the vector */
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
      `the encoder was trained for ${encoder.metadata.distance}, "${vector.name}" of ${sourceCollection} uses ${vector.distance}: train one from this collection`,
    );
  }
}

/**
 * Returns whether the target exists.
 * @throws ALREADY_EXISTS when this migration did not make it, MISMATCH when its settings are not as planned
 */
async function checkTarget(
  target: CopyTarget,
  wanted: CollectionSpec,
  {
    description,
    anySettings = false,
  }: { readonly description: TargetDescription; readonly anySettings?: boolean },
): Promise<boolean> {
  if ((await allNames(target)).has(wanted.name)) {
    throw new TldrError('ALREADY_EXISTS', `"${wanted.name}" is an alias in the target: choose another name`);
  }
  if (!(await target.exists(wanted.name))) return false;
  const actual = await target.describe(wanted.name);
  const found = targetDescription(actual);
  if (found === null || !sameDescription(found, description)) {
    const what =
      found === null
        ? 'is another collection'
        : `was made with other settings (${differing(found, description)})`;
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
      `target ${wanted.name} exists, but its settings differ from the planned ones: ${differences.slice(0, 5).join('; ')}; change them to the planned ones, or choose another name`,
    );
  }
  return true;
}

/** Returns the keys in which two descriptions differ, with both values, for an error. */
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
