import { describe, expect, test } from '@jest/globals';
import { Rng } from '../../src/core/rng.js';
import { barlowTwins, neighbourhoodKl } from '../../src/train/losses.js';
import { createModel, initialParameters, parseArchitecture } from '../../src/train/model.js';
import { onnxGradients } from '../../src/train/engine/onnx-executor.js';
import type { StepDefinition } from '../../src/train/engine/ops.js';
import { tfjsGradients } from '../../src/train/engine/tfjs-executor.js';
import { ARCHITECTURES, INPUT_DIM, randomInputs, steps } from '../support/train/gradient-steps.js';
import { ReferenceOps, type Reference } from '../support/train/reference-ops.js';

const DIFFERENCE_STEP = 1e-5;
const PROBES = 25;

function referenceLoss(
  step: StepDefinition,
  parameters: readonly Float64Array[],
  batch: Float32Array,
): number {
  const tensors = step.parameters.map(({ shape }, i): Reference => ({ shape, data: parameters[i]! }));
  const x: Reference = { shape: [step.batchRows, INPUT_DIM], data: Float64Array.from(batch) };
  return step.loss(new ReferenceOps(), tensors, [x]).data[0]!;
}

/** Central differences at some places of every parameter, in float64. */
function differences(
  step: StepDefinition,
  parameters: readonly Float32Array[],
  batch: Float32Array,
  rng: Rng,
): { i: number; at: number; value: number }[] {
  const exact = parameters.map((values) => Float64Array.from(values));
  return step.parameters.flatMap((_, i) =>
    Array.from({ length: PROBES }, () => {
      const at = rng.int(exact[i]!.length);
      const kept = exact[i]![at]!;
      const lossAt = (value: number): number => {
        exact[i]![at] = value;
        return referenceLoss(step, exact, batch);
      };
      const value = (lossAt(kept + DIFFERENCE_STEP) - lossAt(kept - DIFFERENCE_STEP)) / (2 * DIFFERENCE_STEP);
      exact[i]![at] = kept;
      return { i, at, value };
    }),
  );
}

describe('derivatives of both engines', () => {
  test.each(Object.keys(steps))('%s', async (name) => {
    const step = steps[name]!;
    const rng = new Rng(11);
    const { batch, parameters } = randomInputs(step, rng);
    const onnx = await onnxGradients(step, parameters, [batch]);
    const tfjs = await tfjsGradients(step, parameters, [batch]);
    const exactLoss = referenceLoss(
      step,
      parameters.map((values) => Float64Array.from(values)),
      batch,
    );
    expect(Math.abs(onnx.loss - exactLoss)).toBeLessThan(1e-4 * Math.max(1, Math.abs(exactLoss)));
    expect(Math.abs(tfjs.loss - exactLoss)).toBeLessThan(1e-4 * Math.max(1, Math.abs(exactLoss)));
    const largest = Math.max(1e-3, ...onnx.gradients.map((g) => Math.max(...g.map(Math.abs))));
    expect(onnx.gradients.some((g) => g.some((value) => value !== 0))).toBe(true);
    onnx.gradients.forEach((gradient, i) =>
      gradient.forEach((value, k) =>
        expect(Math.abs(value - tfjs.gradients[i]![k]!)).toBeLessThan(1e-3 * largest),
      ),
    );
    for (const { i, at, value } of differences(step, parameters, batch, rng)) {
      expect(Math.abs(onnx.gradients[i]![at]! - value)).toBeLessThan(1e-3 * largest);
    }
  });
});

describe('losses', () => {
  test('barlow-twins is what the formula gives by hand', () => {
    // Two views of two rows: batch norm turns each column into +-1 (up to epsilon), so C is known.
    const p: Reference = { shape: [4, 2], data: Float64Array.of(1, 5, -1, 3, 2, 1, 0, 7) };
    // z1 columns (+,-),(+,-); z2 columns (+,-),(-,+): C = [[1,-1],[1,-1]].
    const loss = barlowTwins(new ReferenceOps(), p, { lambda: 0.25, scale: 2 });
    expect(loss.data[0]).toBeCloseTo(2 * ((1 - 1) ** 2 + (1 + 1) ** 2 + 0.25 * (1 + 1)), 3);
  });

  test('neighbourhood-kl is zero for the identity and what the formula gives by hand', () => {
    const y: Reference = { shape: [3, 2], data: Float64Array.of(1, 0, 0, 1, 1, 1) };
    const z: Reference = { shape: [3, 2], data: Float64Array.of(1, 0, 1, 0, 0, 1) };
    const ops = new ReferenceOps();
    const settings = { tau: 1, distance: 'dot' as const };
    expect(neighbourhoodKl(ops, { y, z: y }, settings).data[0]).toBeCloseTo(0, 12);
    // Similarities without the diagonal: y: (0,1) (0,1) (1,1); z: (1,0) (1,0) (0,0).
    const share = Math.E / (1 + Math.E);
    const row = (1 - share) * Math.log((1 - share) / share) + share * Math.log(share / (1 - share));
    expect(neighbourhoodKl(ops, { y, z }, settings).data[0]).toBeCloseTo((2 * row + 0) / 3, 12);
  });
});

describe('architectures', () => {
  test.each([
    '',
    'lin',
    'mlp',
    'mlp-0-5',
    'mlp-1',
    'linear-1-2',
    'mlp-1-0',
    'mlp-99-4',
    'none',
    'residual',
    'residual-0',
    'residual-1-4',
  ])('"%s" is refused', (text) => {
    expect(() => parseArchitecture(text, ['linear', 'flinear', 'mlp', 'residual'])).toThrow(
      'is no architecture here',
    );
  });

  test('start within the bounds of their fan-in, gamma one, beta zero', () => {
    const model = createModel(
      { inputDim: 9, outputDim: 2 },
      parseArchitecture('mlp-1-4', ARCHITECTURES),
      parseArchitecture('none', ARCHITECTURES),
    );
    const [weight, gamma, beta, last] = initialParameters(model, new Rng(1));
    expect(Math.max(...weight!.map(Math.abs))).toBeLessThanOrEqual(1 / 3);
    expect(new Set(weight).size).toBeGreaterThan(30);
    expect([...gamma!, ...beta!]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
    expect(last).toHaveLength(8);
  });
});
