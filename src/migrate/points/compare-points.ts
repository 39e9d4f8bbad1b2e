import { componentBytesOf } from '../../store/vector-number-format.js';
import { expectDefined } from '../../core/errors.js';
import type { Encoder } from '../../encoder/model.js';
import { largestDifference, matrix, row, type Matrix } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { RoundingSpread } from '../../encoder/rounding-spread.js';
import { throwIfAborted, type RunOptions } from '../../core/run-options.js';
import type { Partition } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { IdRange, PointBatch } from '../../store/points.js';
import type { StoreKeys } from '../../store/vector-source.js';
import type { Throttle } from '../throttle/throttle.js';
import { eachWithoutVector } from './left-out.js';
import type { MigrationPlan } from '../plan/migration.js';

const PROGRESS_POINTS = 1000;
/** Largest allowed difference per component, relative to the vector's length (at least 1). */
const TOLERANCE = 1e-5;
const TOLERANCE_FLOAT16 = 2e-3;
/**
 * Bytes of a component of which only a code is kept, and the largest part of a vector's length by which the vector read
 * from the codes may differ: codes of 4 bits differ by 0.1 on average (test/evaluate/stored-codes.test.ts).
 */
const CODE_BYTES = 0.5;
const TOLERANCE_CODES = 0.3;

interface Side {
  readonly store: CopyTarget;
  readonly collection: string;
}

/** Options of a comparison of points. */
export interface ComparePointsOptions extends RunOptions {
  /** Points per request. */
  readonly batchSize?: number | undefined;
  readonly throttle?: Throttle | undefined;
  /** Ranges to compare, in id order within a shard. If absent: all points. */
  readonly ranges?: readonly PartitionRange[] | undefined;
}

/** Part of one shard key's points. */
export interface PartitionRange {
  readonly partition: Partition | undefined;
  readonly range: IdRange;
}

/** Projects the full vectors of points. */
export interface Projector {
  project(x: Matrix): Matrix | Promise<Matrix>;
}

/** Both stores, and the encoder between them. */
export interface Sides {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly encoder: Encoder;
  /** Projects as the copy did. If absent: the encoder's WebAssembly kernel. */
  readonly projector?: Projector | undefined;
}

/** Returns the shard keys to iterate over; a single `undefined` if the collection has none. */
export function partitionsOf({
  partitions,
}: {
  readonly partitions: readonly Partition[];
}): readonly (Partition | undefined)[] {
  return partitions.length === 0 ? [undefined] : partitions;
}

/** A point of source or target. Each of its differences ends a sentence that begins with the point. */
export interface ComparedPoint {
  readonly id: PointId;
  readonly partition: Partition | undefined;
  readonly source?: PointAt;
  readonly target?: PointAt;
  readonly differences: readonly string[];
}

/** Yields every point of source and target, compared, shard key by shard key in id order. */
export async function* comparedPoints(
  plan: MigrationPlan,
  sides: Sides,
  run: ComparePointsOptions & { readonly step: string },
): AsyncGenerator<ComparedPoint> {
  const source: Side = { store: sides.source, collection: plan.sourceCollection };
  const target: Side = { store: sides.target, collection: plan.targetCollection };
  let points = 0;
  const all = (): PartitionRange[] =>
    partitionsOf(plan.sourceSpec).map((partition) => ({ partition, range: { from: null, to: null } }));
  for (const { partition, range } of run.ranges ?? all()) {
    const scan = { partition, range, run };
    const read = scanned(source, plan, scan);
    // Throttling one stream is enough, since both are read in step.
    const throttled = run.throttle?.throttled(read, run.signal) ?? read;
    const streams = { source: throttled, target: scanned(target, plan, scan) };
    for await (const point of comparedStreams(plan, sides, streams)) {
      yield { ...point, partition };
      points++;
      if (points % PROGRESS_POINTS !== 0) continue;
      throwIfAborted(run.signal);
      const done = Math.min(points, plan.points);
      run.onProgress?.({ step: run.step, done, total: plan.points, unit: 'points' });
    }
  }
}

/** Yields the points of two streams, compared, in id order. */
export async function* comparedStreams(
  plan: MigrationPlan,
  sides: Sides,
  streams: { readonly source: AsyncIterable<PointBatch>; readonly target: AsyncIterable<PointBatch> },
): AsyncGenerator<ComparedPoint> {
  const rescaled = rescaledVectors(plan);
  const { codec, keys } = sides.source;
  const source = pointsOf(eachWithoutVector(streams.source, plan.leftOut, codec));
  for await (const pair of mergeById(source, pointsOf(streams.target), keys)) {
    const differences =
      pair.source === undefined
        ? [' is in the target only']
        : pair.target === undefined
          ? [' is missing in the target']
          : (await differencesOf(plan, sides, { source: pair.source, target: pair.target, rescaled })).map(
              (text) => `: ${text}`,
            );
    yield { ...pair, partition: undefined, differences };
  }
}

/** One point inside a batch. */
export interface PointAt {
  readonly batch: PointBatch;
  readonly i: number;
}

function scanned(
  { store, collection }: Side,
  { vectorName }: MigrationPlan,
  { partition, range, run }: PartitionRange & { run: ComparePointsOptions },
): AsyncIterable<PointBatch> {
  const { signal, batchSize } = run;
  const size = batchSize === undefined ? {} : { batchSize };
  return store.scan(collection, { vectorName, partition, range, signal, ...size });
}

async function* pointsOf(
  batches: AsyncIterable<PointBatch>,
): AsyncGenerator<{ id: PointId; batch: PointBatch; i: number }> {
  for await (const batch of batches) {
    for (let i = 0; i < batch.ids.length; i++) {
      const id = batch.ids[i];
      if (id !== undefined) yield { id, batch, i };
    }
  }
}

async function* mergeById(
  left: AsyncGenerator<{ id: PointId } & PointAt>,
  right: AsyncGenerator<{ id: PointId } & PointAt>,
  { compare }: StoreKeys,
): AsyncGenerator<{ id: PointId; source?: PointAt; target?: PointAt }> {
  let [a, b] = [await left.next(), await right.next()];
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : compare(a.value.id, b.value.id);
    if (order <= 0 && a.done !== true) {
      const pair = order === 0 && b.done !== true ? { target: b.value } : {};
      yield { id: a.value.id, source: a.value, ...pair };
    } else if (b.done !== true) yield { id: b.value.id, target: b.value };
    if (order <= 0) a = await left.next();
    if (order >= 0) b = await right.next();
  }
}

/** Cached projections by batch. A projection is freed together with its batch. */
const projections = new WeakMap<PointBatch, Matrix>();

/** Cached rounding spreads by encoder, made when a point first needs one. */
const spreads = new WeakMap<Encoder, RoundingSpread>();

/** Returns the projection of the i-th point of a batch, as the copy projects. */
async function projectedRow({ encoder, projector }: Sides, { batch, i }: PointAt): Promise<Float32Array> {
  let all = projections.get(batch);
  if (all === undefined) projections.set(batch, (all = await (projector ?? encoder).project(batch.vectors)));
  return row(all, i);
}

/**
 * Returns the names of vectors that change when they are written again. A server scales cosine vectors to
 * unit length at every write. Stored in 4 bytes per component, a vector has unit length already and does not
 * change. In 2 bytes, rounding makes the length inexact, so that a second write moves a component by up to
 * one step of the precision. Only for these vectors is one step allowed.
 */
function rescaledVectors({ sourceSpec, vectorName, layout, leftOut }: MigrationPlan): readonly string[] {
  return sourceSpec.vectors
    .filter(({ name }) => name !== leftOut)
    .filter(({ distance, componentBytes }) => distance === 'cosine' && componentBytes === 2)
    .filter(({ name }) => layout === 'two-stage' || name !== vectorName)
    .map(({ name }) => name);
}

async function differencesOf(
  plan: MigrationPlan,
  sides: Sides,
  { source, target, rescaled }: { source: PointAt; target: PointAt; rescaled: readonly string[] },
): Promise<string[]> {
  const { target: store, encoder } = sides;
  const found: string[] = [];
  const twoStage = plan.layout === 'two-stage';
  const restOf = ({ batch, i }: PointAt): Uint8Array =>
    expectDefined(batch.extra[i], 'the payload of a compared point');
  const has = source.batch.hasVector[source.i] !== 0;
  const [sourceRest, targetRest] = [restOf(source), restOf(target)];
  const withoutVectors = twoStage ? [...rescaled, plan.compactName] : rescaled;
  const sourceBytes = store.codec.canonical(sourceRest, { withoutVectors });
  const targetBytes = store.codec.canonical(targetRest, { withoutVectors });
  const others = rescaled.filter((name) => name !== plan.vectorName);
  if (
    Buffer.compare(sourceBytes, targetBytes) !== 0 ||
    !others.every((name) =>
      withinStep(store.codec.floats(sourceRest, name), store.codec.floats(targetRest, name)),
    )
  )
    found.push('payload or another vector differs');
  const stored = twoStage
    ? store.codec.vector(targetRest, plan.compactName, encoder.outputDim)
    : target.batch.hasVector[target.i] === 0
      ? null
      : row(target.batch.vectors, target.i);
  if (has !== (stored !== null))
    return [...found, has ? 'its reduced vector is missing' : 'it has a vector the source lacks'];
  if (stored === null) return found;
  const bytes = componentBytesOf(plan.targetSpec, plan.compactName);
  const tolerance = bytes === 2 ? TOLERANCE_FLOAT16 : TOLERANCE;
  const isRight =
    bytes === CODE_BYTES
      ? isCodeOf(stored, await projectedRow(sides, source))
      : await isProjection(stored, sides, { source, tolerance });
  if (!isRight) found.push('its reduced vector is not the projection of the full one');
  const full = row(source.batch.vectors, source.i);
  const same = rescaled.includes(plan.vectorName) ? withinStep : sameBytes;
  if (twoStage && !same(full, row(target.batch.vectors, target.i))) found.push('its full vector changed');
  return found;
}

/** Returns whether values differ by one float16 step at most (IEEE 754: 10 bits, normal from 2^-14). */
function withinStep(a: Float32Array | null, b: Float32Array | null): boolean {
  if (a === null || b === null) return a === b;
  const step = (value: number): number => 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value)))) - 10);
  const near = (x: number, y: number): boolean => Math.abs(x - y) <= Math.max(step(x), step(y));
  return a.length === b.length && a.every((value, i) => near(value, b[i] ?? Number.NaN));
}

/** Returns whether `stored` is the projection of a source point's full vector, up to rounding and precision. */
async function isProjection(
  stored: Float32Array,
  sides: Sides,
  { source, tolerance }: { readonly source: PointAt; readonly tolerance: number },
): Promise<boolean> {
  // The kernel checks one point of each batch: a projector that errs must not confirm its own copy.
  if (source.i > 0 && isNear(stored, await projectedRow(sides, source), tolerance)) return true;
  const { encoder } = sides;
  const full = row(source.batch.vectors, source.i);
  const projected = encoder.project(matrix(1, encoder.inputDim, full)).data;
  if (isNear(stored, projected, tolerance)) return true;
  // The writer may have added in another order.
  let spread = spreads.get(encoder);
  if (spread === undefined) spreads.set(encoder, (spread = new RoundingSpread(encoder.network)));
  return isNear(stored, projected, tolerance, 2 * spread.around(full, projected));
}

/** Returns whether no component differs by more than `tolerance`, relative to the length, and `spread`. */
function isNear(stored: Float32Array, projected: Float32Array, tolerance: number, spread = 0): boolean {
  const length = Math.hypot(...projected);
  if (stored.length !== projected.length || !Number.isFinite(length)) return false;
  return largestDifference(stored, projected) <= tolerance * Math.max(1, length) + spread;
}

/** Returns whether `stored` may have been read from codes of `projected`. */
function isCodeOf(stored: Float32Array, projected: Float32Array): boolean {
  if (stored.length !== projected.length) return false;
  const apart = Math.hypot(...stored.map((value, i) => value - (projected[i] ?? Number.NaN)));
  return apart <= TOLERANCE_CODES * Math.hypot(...projected);
}

function sameBytes(a: Float32Array, b: Float32Array): boolean {
  const bytes = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}
