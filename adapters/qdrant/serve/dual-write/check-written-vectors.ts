import type { MirroredCollection, WriteOutcome } from '../../../../src/store/write-interceptor.js';
import { firstNonFiniteRow, matrix, type Matrix } from '../../../../src/core/matrix.js';
import { FLOAT16_MAX, overflowIn } from '../../../../src/store/vector-number-format.js';
import type { PendingRewrite } from '../../../../src/serve/protocol.js';
import { checkCompact, notFinite, Refusal } from '../rules.js';

/** A dense vector in a write. */
export interface WrittenVector {
  /** '' for the default vector. */
  readonly name: string;
  readonly values: Float32Array;
}

/**
 * Checks that every vector in a change can be written to the target once the source has stored it. A vector
 * of another size is left to the source, which refuses it.
 * @returns the change itself if no projection is needed, otherwise the vectors to project first
 * @throws Refusal for a vector that the target could never hold
 */
export function checkMirrorable<Result extends object>(
  change: Result,
  written: readonly WrittenVector[],
  {
    mirrored,
    answer,
  }: { readonly mirrored: MirroredCollection; readonly answer: (refusal: Refusal) => Result },
): Result | PendingRewrite<Result> {
  const rows = toProject(written, mirrored);
  if (rows.length === 0) return change;
  const { projector, compactBytes } = mirrored;
  const x = matrix(rows.length, projector.inputDim);
  rows.forEach(({ values }, i) => x.data.set(values, i * projector.inputDim));
  const finish = (y: Matrix): Result => {
    try {
      rows.forEach(({ name: vector }, i) =>
        checkCompact(y.data.subarray(i * y.cols, (i + 1) * y.cols), { vector, componentBytes: compactBytes }),
      );
      return change;
    } catch (error) {
      if (error instanceof Refusal) return answer(error);
      throw error;
    }
  };
  return { projector, as: 'points', x, finish };
}

/** Returns the outcome of a write from those of its parts. A part without a known status is undefined. */
export function outcomeOfAll(results: readonly (WriteOutcome | undefined)[]): WriteOutcome {
  if (results.every((result) => result === 'applied')) return 'applied';
  return results.every((result) => result === 'applied' || result === 'logged') ? 'logged' : 'unknown';
}

/**
 * Returns the vectors that could become infinite when they are projected. The source normalises vectors under
 * cosine distance, and limits uint8 vectors to 0 to 255, so neither can.
 * @throws Refusal
 */
function toProject(
  written: readonly WrittenVector[],
  { vectors, projector }: MirroredCollection,
): readonly WrittenVector[] {
  return written.filter(({ name, values }) => {
    const vector = vectors.find((one) => one.name === name);
    if (vector === undefined || values.length !== projector.inputDim) return false;
    if (firstNonFiniteRow({ rows: 1, cols: values.length, data: values }) !== -1) throw notFinite(name);
    if (vector.distance === 'cosine' || vector.componentBytes === 1) return false;
    const overflow = overflowIn(values, vector.componentBytes);
    if (overflow !== undefined)
      throw new Refusal(
        400,
        `Bad request: vector "${name}" holds ${overflow}, but float16 holds at most ${FLOAT16_MAX}`,
      );
    return true;
  });
}
