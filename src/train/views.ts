import { normalizedRows, type Distance } from '../core/distance.js';
import { columnMeans, matrix, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { projectBlocks } from '../encoder/project-blocks.js';

/** The sample and, where directions were given, its coordinates along them. */
export interface Views {
  readonly sample: Matrix;
  readonly coordinates: Matrix | undefined;
}

/**
 * The sample as training sees it: unit rows for cosine; for Euclid and Manhattan the mean taken off, which moves no
 * distance and keeps the float32 products of the loss from cancelling where the data lie far from the origin.
 */
export function prepareSample(x: Matrix, distance: Distance): { sample: Matrix; shift: Float64Array | null } {
  if (distance === 'cosine') return { sample: normalizedRows(x), shift: null };
  if (distance === 'dot') return { sample: x, shift: null };
  const shift = columnMeans(x);
  const sample = { rows: x.rows, cols: x.cols, data: x.data.slice() };
  subtractFromRowsInPlace(sample, shift);
  return { sample, shift };
}

/** The sample with its coordinates along directions (D x r), where there are such. */
export async function viewsOf(sample: Matrix, directions: Matrix | undefined, threads = 2): Promise<Views> {
  if (directions === undefined) return { sample, coordinates: undefined };
  const layers = [{ weight: directions, bias: null, relu: false }];
  const coordinates = matrix(sample.rows, directions.cols);
  const { data: out } = coordinates;
  await projectBlocks({ normalizeInput: false, layers, normalizeOutput: false }, sample, { out, threads });
  return { sample, coordinates };
}
