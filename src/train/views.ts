import { normalizedRows, type Distance } from '../core/distance.js';
import { columnMeans, matrix, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { projectBlocks } from '../core/project-blocks.js';
import type { LossName, TldrOptions } from './train-options.js';

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

/** Coordinates along the directions that were given, where the loss looks along them. */
export async function viewsOf(
  sample: Matrix,
  { directions, threads = 2 }: Pick<TldrOptions, 'directions' | 'threads'>,
  loss: LossName,
): Promise<Views> {
  // Barlow Twins compares no rows.
  if (directions === undefined || loss === 'barlow-twins') return { sample, coordinates: undefined };
  const layers = [{ weight: directions, bias: null, relu: false }];
  const coordinates = matrix(sample.rows, directions.cols);
  const { data: out } = coordinates;
  await projectBlocks({ normalizeInput: false, layers, normalizeOutput: false }, sample, { out, threads });
  return { sample, coordinates };
}
