import { TldrError } from '../core/errors.js';
import type { TrainSettings } from './options.js';

type Rate = Pick<TrainSettings, 'learningRate'>;

/**
 * Checks the weights. The last step's loss is from before its update, so it does not cover that update.
 * @throws INVALID_DATA when a weight is not finite
 */
export function checkWeights(values: readonly Float32Array[], { learningRate }: Rate): void {
  if (values.every((list) => list.every(Number.isFinite))) return;
  throw new TldrError(
    'INVALID_DATA',
    `training diverged: the weights are not finite; try a smaller learning rate than ${learningRate}`,
  );
}

/** @throws INVALID_DATA when the loss of a step is not finite */
export function checkLoss(loss: number, step: number, { learningRate }: Rate): void {
  if (Number.isFinite(loss)) return;
  throw new TldrError(
    'INVALID_DATA',
    step === 0
      ? `the loss of the first training step is ${loss}: in float32 these rows are too large or too much alike to be compared; leave out dimensions that have one large value in all rows, or scale the vectors`
      : `training diverged: the loss of step ${step + 1} is ${loss}; try a smaller learning rate than ${learningRate}`,
  );
}
