import { THREADS } from '../core/run-options.js';
import { normalizedRows, type Distance } from '../core/distance.js';
import { columnMeans, matrix, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { projectSample } from '../encoder/native-projector.js';

/** The sample and its coordinates along the directions, if there are any. */
export interface Views {
  readonly sample: Matrix;
  readonly coordinates: Matrix | undefined;
}

/**
 * Prepares the sample for training. For cosine, rows are normalised. For Euclid and Manhattan, the mean
 * (`shift`) is subtracted: distances stay the same, and the loss's float32 products lose no digits to
 * cancellation if the data lie far from the origin.
 */
export function prepareSample(x: Matrix, distance: Distance): { sample: Matrix; shift: Float64Array | null } {
  if (distance === 'cosine') return { sample: normalizedRows(x), shift: null };
  if (distance === 'dot') return { sample: x, shift: null };
  const shift = columnMeans(x);
  const sample = { rows: x.rows, cols: x.cols, data: x.data.slice() };
  subtractFromRowsInPlace(sample, shift);
  return { sample, shift };
}

/** The sample with its coordinates along the directions (D x r), if they are given. */
export async function viewsOf(
  sample: Matrix,
  directions: Matrix | undefined,
  threads = THREADS,
): Promise<Views> {
  if (directions === undefined) return { sample, coordinates: undefined };
  const layers = [{ weight: directions, bias: null, relu: false }];
  const coordinates = matrix(sample.rows, directions.cols);
  const { data: out } = coordinates;
  await projectSample({ normalizeInput: false, layers, normalizeOutput: false }, sample, { out, threads });
  return { sample, coordinates };
}
