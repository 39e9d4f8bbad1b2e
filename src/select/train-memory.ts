import { constants } from 'node:buffer';
import { totalmem } from 'node:os';
import { basisColumns } from '../baselines/pca.js';
import { TldrError } from '../core/errors.js';
import { SAMPLE_ROWS_MIN } from './split-sample.js';

/** Sizes of a training. */
export interface TrainSizes {
  readonly rows: number;
  readonly inputDim: number;
  readonly outputDim: number;
}

/** What is read, what is learned from, and the copy that training scales or shifts, in samples. */
const SAMPLES = 3;
/** All candidates, their copies in the threads that judge, and what training keeps for each weight, in linear maps. */
const MAPS = 25;
/** For each value of the second moment where it is held by dimension, and of a basis of the rows where it is not. */
const DENSE_BYTES = 20;
const BASIS_BYTES = 32;
/** The runtime with its libraries. */
const BASE_BYTES = 300e6;

/** Estimate of the memory that a training takes, in bytes. Learned encoders of several layers take more. */
export function trainMemory({ rows, inputDim, outputDim }: TrainSizes): number {
  const columns = basisColumns({ rows, cols: inputDim }, outputDim);
  const moments = columns === null ? DENSE_BYTES * inputDim : BASIS_BYTES * columns;
  return BASE_BYTES + inputDim * (4 * (SAMPLES * rows + MAPS * outputDim) + moments);
}

/** Memory that this process may take at most, in bytes. */
export function memoryLimit(): number {
  // 0 or beyond all memory where nothing constrains the process.
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** The most rows that training can take in `limit` bytes, at most those of `sizes`; 0 where none fit. */
function rowsWithin(limit: number, sizes: TrainSizes): number {
  // One array holds the sample.
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
 * Refuses a training that cannot be done in the memory that there is; meant to be called before anything is read.
 * @throws INVALID_ARGUMENT saying how many rows would fit
 */
export function checkTrainMemory(sizes: TrainSizes, limit = memoryLimit()): void {
  const fitting = rowsWithin(limit, sizes);
  if (sizes.rows <= fitting) return;
  const { rows, inputDim, outputDim } = sizes;
  const count = (value: number): string => value.toLocaleString('en-US');
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `training ${count(inputDim)} dimensions to ${count(outputDim)} with ${count(rows)} rows takes about ${gigabytes(trainMemory(sizes))} of memory, and this process may use ${gigabytes(limit)}: ` +
      (fitting >= SAMPLE_ROWS_MIN
        ? `${count(fitting)} rows would fit: give a sample of so many (--sample)`
        : `${count(fitting)} rows would fit, and training takes at least ${SAMPLE_ROWS_MIN}: give fewer dimensions, or use a machine with more memory`),
  );
}
