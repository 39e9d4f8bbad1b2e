import { constants } from 'node:buffer';
import { totalmem } from 'node:os';
import { basisColumns } from '../baselines/pca.js';
import { TldrError } from '../core/errors.js';
import { bytesText } from '../report/format.js';
import { SPLIT } from '../hyper-parameters/choice-of-candidate.js';

/** The sizes that decide the memory of a training. */
export interface TrainSizes {
  readonly rows: number;
  readonly inputDim: number;
  readonly outputDim: number;
}

/**
 * Copies of the sample: as read, as split for training, as normalised or shifted for training, and as searched by queries
 * from unseen groups.
 */
const SAMPLES = 4;
/**
 * Memory of all candidates, of their copies in worker threads and of the optimiser, counted in linear
 * networks.
 */
const MAPS = 25;
/** Bytes for each value of a D x D second moment, or of a basis of the rows (`fitMoments`). */
const DENSE_BYTES = 20;
const BASIS_BYTES = 32;
/** Bytes of Node and the libraries. */
const BASE_BYTES = 300e6;

/** Estimates the memory of a training, in bytes. Learned encoders with several layers take more. */
export function trainMemory({ rows, inputDim, outputDim }: TrainSizes): number {
  const columns = basisColumns({ rows, cols: inputDim }, outputDim);
  const moments = columns === null ? DENSE_BYTES * inputDim : BASIS_BYTES * columns;
  return BASE_BYTES + inputDim * (4 * (SAMPLES * rows + MAPS * outputDim) + moments);
}

/** The memory that this process may use, in bytes. */
export function memoryLimit(): number {
  // It is 0 or larger than the machine's memory if the process has no limit.
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/**
 * The largest number of rows, up to `sizes.rows`, with which training fits into `limit` bytes; 0 if none do.
 */
function rowsWithin(limit: number, sizes: TrainSizes): number {
  // The sample is one array, whose size Node limits.
  let [fitting, tooMany] = [
    0,
    Math.min(sizes.rows, Math.floor(constants.MAX_LENGTH / (4 * sizes.inputDim))) + 1,
  ];
  while (tooMany - fitting > 1) {
    const rows = Math.floor((fitting + tooMany) / 2);
    if (trainMemory({ ...sizes, rows }) <= limit) fitting = rows;
    else tooMany = rows;
  }
  return fitting;
}

/**
 * Checks that a training fits into the memory. Call it before the sample is read.
 * @throws INVALID_ARGUMENT when it does not fit; the message says how many rows would
 */
export function checkTrainMemory(sizes: TrainSizes, limit = memoryLimit()): void {
  const fitting = rowsWithin(limit, sizes);
  if (sizes.rows <= fitting) return;
  const { rows, inputDim, outputDim } = sizes;
  const count = (value: number): string => value.toLocaleString('en-US');
  const fits = fitting >= SPLIT.sampleRowsMin;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `training ${count(inputDim)} dimensions to ${count(outputDim)} with ${count(rows)} rows takes about ${bytesText(trainMemory(sizes))} of memory, and this process may use ${bytesText(limit)}: ` +
      (fits
        ? `${count(fitting)} rows would fit`
        : `${count(fitting)} rows would fit, and training takes at least ${SPLIT.sampleRowsMin}: give fewer dimensions, or use a machine with more memory`),
    fits ? { hint: 'smaller-sample', fitting } : { fitting },
  );
}
