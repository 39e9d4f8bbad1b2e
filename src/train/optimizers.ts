import { ADAM, LARS } from '../hyper-parameters/fit-of-candidates.js';
import type { Ops, Optimizer, ParameterKind } from './engine/ops.js';

/**
 * Adam (Kingma and Ba 2015, algorithm 1). The weights of a hidden layer also have decoupled weight decay
 * (Loshchilov and Hutter 2019, algorithm 2), so that the layer does not overfit the sample.
 */
export function adam(
  settings: { beta1?: number; beta2?: number; epsilon?: number; hiddenDecay?: number } = {},
): Optimizer {
  const { beta1, beta2, epsilon, hiddenDecay } = { ...ADAM, ...settings };
  return {
    slotsPerParameter: 2,
    scalars: (learningRate, step) => [learningRate / (1 - beta1 ** step), 1 / (1 - beta2 ** step)],
    update: <T>(
      ops: Ops<T>,
      input: { parameter: T; gradient: T; slots: readonly T[]; kind: ParameterKind },
      scalars: readonly T[],
    ) => {
      const { parameter, gradient, slots, kind } = input;
      const [mean, square] = pair(slots);
      const [rate, squareCorrection] = pair(scalars);
      const newMean = ops.add(ops.scale(mean, beta1), ops.scale(gradient, 1 - beta1));
      const newSquare = ops.add(ops.scale(square, beta2), ops.scale(ops.mul(gradient, gradient), 1 - beta2));
      const root = ops.sqrt(ops.mul(newSquare, squareCorrection));
      const move = ops.div(ops.mul(newMean, rate), ops.add(root, ops.constant(epsilon)));
      const kept =
        kind === 'hidden' ? ops.sub(parameter, ops.mul(ops.scale(parameter, hiddenDecay), rate)) : parameter;
      return { parameter: ops.sub(kept, move), slots: [newMean, newSquare] };
    },
  };
}

/**
 * LARS, layer-wise adaptive rates with momentum (You, Gitman and Ginsburg 2017), as Barlow Twins uses it:
 * biases and batch-norm parameters have neither weight decay nor a layer-wise factor. If the norm of a weight
 * or gradient is zero, the factor is 1, as in the public implementation of Barlow Twins. With a factor of 0,
 * zero weights would stay zero.
 */
export function lars(settings: { momentum?: number; eta?: number; weightDecay?: number } = {}): Optimizer {
  const { momentum, eta, weightDecay } = { ...LARS, ...settings };
  return {
    slotsPerParameter: 1,
    scalars: (learningRate) => [learningRate],
    update: <T>(
      ops: Ops<T>,
      input: { parameter: T; gradient: T; slots: readonly T[]; kind: ParameterKind },
      scalars: readonly T[],
    ) => {
      const { parameter, gradient, slots, kind } = input;
      const [velocity] = slots;
      const [rate] = scalars;
      if (velocity === undefined || rate === undefined)
        throw new RangeError('lars needs one slot and one scalar');
      let step = gradient;
      if (kind === 'weight' || kind === 'hidden') {
        step = ops.add(gradient, ops.scale(parameter, weightDecay));
        step = ops.mul(step, layerFactor(ops, { parameter, step, eta }));
      }
      const newVelocity = ops.add(ops.scale(velocity, momentum), step);
      return { parameter: ops.sub(parameter, ops.mul(newVelocity, rate)), slots: [newVelocity] };
    },
  };
}

/** eta |parameter| / |step|, or 1 if either norm is zero, computed without a branch. */
function layerFactor<T>(ops: Ops<T>, { parameter, step, eta }: { parameter: T; step: T; eta: number }): T {
  const size = (x: T): T => ops.sqrt(ops.sumSquares(x));
  const [weightNorm, stepNorm] = [size(parameter), size(step)];
  const both = ops.mul(ops.sign(weightNorm), ops.sign(stepNorm));
  const otherwise = ops.sub(ops.constant(1), both);
  // If a norm is zero, `otherwise` keeps the quotient finite and `both` sets it to zero.
  const factor = ops.div(ops.scale(weightNorm, eta), ops.add(stepNorm, otherwise));
  return ops.add(ops.mul(factor, both), otherwise);
}

function pair<T>(values: readonly T[]): readonly [T, T] {
  const [first, second] = values;
  if (first === undefined || second === undefined) throw new RangeError('expected two tensors');
  return [first, second];
}

/** How the learning rate of a training runs, in steps. */
export interface RateSchedule {
  readonly peak: number;
  readonly warmUpSteps: number;
  readonly totalSteps: number;
  /** Last rate as a share of the peak. */
  readonly floor: number;
  /** Steps at the end in which the rate falls; before these it stays at its peak. Default: all after the warm-up. */
  readonly decaySteps?: number | undefined;
}

/**
 * The learning rate of a step: a linear warm-up to `peak`, then a cosine down to `peak * floor` (Loshchilov
 * and Hutter 2017), which may begin after a while at the peak (Hu et al. 2024).
 * @param step counted from 0
 */
export function learningRateAt(step: number, schedule: RateSchedule): number {
  const { peak, warmUpSteps, totalSteps, floor, decaySteps = totalSteps } = schedule;
  if (step < warmUpSteps) return (peak * (step + 1)) / warmUpSteps;
  const from = Math.max(warmUpSteps, totalSteps - decaySteps);
  if (step < from) return peak;
  const progress = (step - from) / Math.max(1, totalSteps - from);
  const cosine = 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
  return peak * (floor + (1 - floor) * cosine);
}
