import { createHash } from 'node:crypto';
import { normalizeRowsInPlace, squaredNorm, type Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import { columnMeans, matrix, rowRange, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { THREADS } from '../core/run-options.js';
import { sharedFloats, shareFloats } from '../core/worker-task.js';
import { projectSample } from '../encoder/native-projector.js';

/** A sample as trainings read it. It lies in shared memory, and several trainings may use it. */
export interface PreparedSample {
  readonly sample: Matrix;
  /** What was subtracted from each row; null if nothing was. */
  readonly shift: Float64Array | null;
  /** The rows along the directions; undefined without directions. */
  readonly coordinates: Matrix | undefined;
  /** Root mean square length of the rows. */
  readonly rowNorm: number;
  /** SHA-256 over the values of `sample`, hex. */
  readonly digest: string;
  /** The same with the queries that follow the rows; undefined without queries. */
  readonly withQueries?: PreparedSample | undefined;
}

/** How a sample is prepared: it must be the same for all trainings that use it. */
export interface PrepareOptions {
  readonly distance: Distance;
  /** D x r: see `TldrOptions.directions`. */
  readonly directions?: Matrix | undefined;
  readonly threads?: number | undefined;
  /** How many of the rows, at the end, are queries: they belong to `withQueries` alone. */
  readonly queryRows?: number | undefined;
}

/**
 * Prepares x (n x D) for training, in this thread. For cosine, rows are normalised. For Euclid and Manhattan,
 * the mean is subtracted: distances stay the same, and the loss's float32 products lose no digits to
 * cancellation if the data lie far from the origin.
 * @throws INVALID_ARGUMENT when the directions belong to another space
 */
export async function prepareSample(
  x: Matrix,
  { distance, directions, threads = THREADS, queryRows = 0 }: PrepareOptions,
): Promise<PreparedSample> {
  const { sample, shift } = comparable(x, distance);
  const all = {
    sample,
    shift,
    coordinates: directions === undefined ? undefined : await along(directions, sample, threads),
  };
  const points = described(firstRows(all, x.rows - queryRows));
  return queryRows === 0 ? points : { ...points, withQueries: described(all) };
}

type Views = Pick<PreparedSample, 'sample' | 'shift' | 'coordinates'>;

function firstRows({ sample, shift, coordinates }: Views, rows: number): Views {
  const first = (of: Matrix): Matrix => rowRange(of, 0, rows);
  return { sample: first(sample), shift, coordinates: coordinates && first(coordinates) };
}

function described(views: Views): PreparedSample {
  const { data, rows } = views.sample;
  return {
    ...views,
    rowNorm: Math.sqrt(squaredNorm(data) / rows) || 1,
    digest: createHash('sha256')
      .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      .digest('hex'),
  };
}

function comparable(x: Matrix, distance: Distance): Pick<PreparedSample, 'sample' | 'shift'> {
  if (distance === 'dot') return { sample: { ...x, data: shareFloats(x.data) }, shift: null };
  const sample = matrix(x.rows, x.cols, sharedFloats(x.data.length));
  sample.data.set(x.data);
  const shift = distance === 'cosine' ? null : columnMeans(x);
  if (shift === null) normalizeRowsInPlace(sample);
  else subtractFromRowsInPlace(sample, shift);
  return { sample, shift };
}

async function along(directions: Matrix, sample: Matrix, threads: number): Promise<Matrix> {
  if (directions.rows !== sample.cols) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `directions of ${directions.rows} dimensions: expected ${sample.cols}`,
    );
  }
  const { rows } = sample;
  const layers = [{ weight: directions, bias: null, relu: false }];
  const out = sharedFloats(rows * directions.cols);
  await projectSample({ normalizeInput: false, layers, normalizeOutput: false }, sample, { out, threads });
  return matrix(rows, directions.cols, out);
}
