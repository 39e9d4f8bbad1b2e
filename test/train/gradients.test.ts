import { describe, expect, test } from '@jest/globals';
import { Rng } from '../../src/core/rng.js';
import { barlowTwins, neighbourhoodKl } from '../../src/train/losses.js';
import {
  createModel,
  forward,
  initialParameters,
  parseArchitecture,
  projectHead,
} from '../../src/train/model.js';
import { onnxGradients } from '../../src/train/onnx-executor.js';
import type { Ops, StepDefinition } from '../../src/train/ops.js';
import { tfjsGradients } from '../../src/train/tfjs-executor.js';
import { ReferenceOps, type Reference } from '../support/train/reference-ops.js';

const INPUT_DIM = 7;
const OUTPUT_DIM = 4;
const ROWS = 10;
const DIFFERENCE_STEP = 1e-5;
const PROBES = 25;

const kinds = ['none', 'linear', 'flinear', 'mlp', 'residual'] as const;

function modelStep(
  encoder: string,
  projector: string,
  loss: 'barlow' | 'cosine' | 'dot' | 'euclid',
  compactDistance?: 'dot',
): StepDefinition {
  const groups = loss === 'barlow' ? 2 : 1;
  const dims = { inputDim: INPUT_DIM, outputDim: OUTPUT_DIM };
  const model = createModel(dims, parseArchitecture(encoder, kinds), parseArchitecture(projector, kinds));
  return {
    parameters: model.parameters,
    batchRows: ROWS,
    widths: [INPUT_DIM],
    loss: <T>(ops: Ops<T>, parameters: readonly T[], [batch]: readonly T[]): T => {
      if (batch === undefined) throw new RangeError('one view expected');
      const z = forward(ops, model, parameters, { x: batch, groups });
      if (loss === 'barlow') {
        return barlowTwins(ops, projectHead(ops, model, parameters, { x: z, groups }), {
          lambda: 0.1,
          scale: 0.5,
        });
      }
      const compact = compactDistance === undefined ? {} : { compactDistance };
      return neighbourhoodKl(ops, { y: batch, z }, { tau: 0.4, distance: loss, ...compact });
    },
  };
}

/** A step that sends one parameter through one operation and weighs every output differently. */
function opStep(shape: readonly [number, number], apply: <T>(ops: Ops<T>, p: T, x: T) => T): StepDefinition {
  return {
    parameters: [{ name: 'p', kind: 'weight', shape }],
    batchRows: ROWS,
    widths: [INPUT_DIM],
    loss: <T>(ops: Ops<T>, [p]: readonly T[], [x]: readonly T[]): T => {
      if (p === undefined || x === undefined) throw new RangeError('one parameter and one view expected');
      const y = apply(ops, p, x);
      return ops.shape(y).length === 0 ? y : ops.sumSquares(ops.add(ops.mul(y, y), ops.scale(y, 0.3)));
    },
  };
}

const steps: Record<string, StepDefinition> = {
  'linear + projector, barlow-twins': modelStep('linear', 'mlp-1-6', 'barlow'),
  'flinear + deep projector, barlow-twins': modelStep('flinear-1-5', 'mlp-2-6', 'barlow'),
  'mlp without projector, barlow-twins': modelStep('mlp-2-5', 'none', 'barlow'),
  'linear, neighbourhood-kl cosine': modelStep('linear', 'none', 'cosine'),
  'mlp, neighbourhood-kl cosine': modelStep('mlp-1-6', 'none', 'cosine'),
  'linear, neighbourhood-kl dot': modelStep('linear', 'none', 'dot'),
  'linear, neighbourhood-kl cosine, dot in the compact space': modelStep('linear', 'none', 'cosine', 'dot'),
  'residual, neighbourhood-kl cosine': modelStep('residual-6', 'none', 'cosine'),
  'residual, neighbourhood-kl euclid': modelStep('residual-6', 'none', 'euclid'),
  'linear, neighbourhood-kl euclid': modelStep('linear', 'none', 'euclid'),
  matmul: opStep([INPUT_DIM, 3], (ops, p, x) => ops.matmul(x, p, { scale: 0.7 })),
  'matmul, a transposed': opStep([ROWS, 3], (ops, p, x) => ops.matmul(p, x, { transposeA: true })),
  'matmul, b transposed': opStep([3, INPUT_DIM], (ops, p, x) => ops.matmul(x, p, { transposeB: true })),
  'matmul, both transposed': opStep([3, ROWS], (ops, p, x) =>
    ops.matmul(x, p, { transposeA: true, transposeB: true }),
  ),
  'add a row': opStep([1, INPUT_DIM], (ops, p, x) => ops.add(x, p)),
  'subtract a column': opStep([ROWS, 1], (ops, p, x) => ops.sub(x, p)),
  'multiply by itself and a row': opStep([1, INPUT_DIM], (ops, p, x) => ops.mul(ops.mul(x, p), p)),
  'divide by a row': opStep([1, INPUT_DIM], (ops, p, x) =>
    ops.div(x, ops.add(ops.mul(p, p), ops.constant(0.5))),
  ),
  'divide a parameter': opStep([ROWS, INPUT_DIM], (ops, p, x) =>
    ops.div(p, ops.add(ops.mul(x, x), ops.constant(0.5))),
  ),
  relu: opStep([ROWS, INPUT_DIM], (ops, p, x) => ops.relu(ops.add(p, x))),
  sign: opStep([ROWS, INPUT_DIM], (ops, p) => ops.mul(ops.sign(p), p)),
  sqrt: opStep([ROWS, INPUT_DIM], (ops, p) => ops.sqrt(ops.add(ops.mul(p, p), ops.constant(0.5)))),
  batchNorm: opStep([ROWS, INPUT_DIM], (ops, p, x) => ops.mul(ops.batchNorm(p, 2), x)),
  'maskDiagonal and meanKl': opStep([ROWS, INPUT_DIM], (ops, p, x) => {
    const logits = (a: typeof x): typeof x => ops.maskDiagonal(ops.matmul(a, a, { transposeB: true }));
    return ops.meanKl(logits(x), logits(p));
  }),
  normalizeRows: opStep([ROWS, INPUT_DIM], (ops, p, x) => ops.mul(ops.normalizeRows(p), x)),
  meanKl: opStep([ROWS, INPUT_DIM], (ops, p, x) => {
    const products = (a: typeof x, b: typeof x): typeof x => ops.matmul(a, b, { transposeB: true });
    return ops.meanKl(products(x, x), products(p, x));
  }),
  'sumSquares, sumColumns, sumRowsAsRow': opStep([ROWS, INPUT_DIM], (ops, p) =>
    ops.mul(ops.sumSquares(ops.sumColumns(p)), ops.sumSquares(ops.sumRowsAsRow(p))),
  ),
  halves: opStep([ROWS, INPUT_DIM], (ops, p) => {
    const [a, b] = ops.halves(p);
    return ops.mul(a, ops.mul(b, b));
  }),
};

function random(length: number, rng: Rng): Float32Array {
  return Float32Array.from({ length }, () => rng.normal() * 0.7);
}

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
    const batch = random(ROWS * INPUT_DIM, rng);
    const parameters = step.parameters.map(({ shape }) => random(shape[0]! * shape[1]!, rng));
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
      parseArchitecture('mlp-1-4', kinds),
      parseArchitecture('none', kinds),
    );
    const [weight, gamma, beta, last] = initialParameters(model, new Rng(1));
    expect(Math.max(...weight!.map(Math.abs))).toBeLessThanOrEqual(1 / 3);
    expect(new Set(weight).size).toBeGreaterThan(30);
    expect([...gamma!, ...beta!]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
    expect(last).toHaveLength(8);
  });
});
