import { barlowTwins, neighbourhoodKl } from '../../../src/train/losses.js';
import { createModel, forward, parseArchitecture, projectHead } from '../../../src/train/model.js';
import type { Ops, StepDefinition } from '../../../src/train/engine/ops.js';
import type { Rng } from '../../../src/core/rng.js';

export const INPUT_DIM = 7;
const OUTPUT_DIM = 4;
const ROWS = 10;

export const ARCHITECTURES = ['none', 'linear', 'flinear', 'mlp', 'residual'] as const;

function modelStep(
  encoder: string,
  projector: string,
  loss: 'barlow' | 'cosine' | 'dot' | 'euclid',
  compactDistance?: 'dot',
): StepDefinition {
  const groups = loss === 'barlow' ? 2 : 1;
  const dims = { inputDim: INPUT_DIM, outputDim: OUTPUT_DIM };
  const model = createModel(
    dims,
    parseArchitecture(encoder, ARCHITECTURES),
    parseArchitecture(projector, ARCHITECTURES),
  );
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

/** Steps whose derivatives are compared, by name. */
export const steps: Record<string, StepDefinition> = {
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

/** Values for a step's parameters, and a batch: the same for the same generator. */
export function randomInputs(
  step: StepDefinition,
  rng: Rng,
): { readonly batch: Float32Array; readonly parameters: Float32Array[] } {
  const random = (length: number): Float32Array => Float32Array.from({ length }, () => rng.normal() * 0.7);
  const batch = random(ROWS * INPUT_DIM);
  return { batch, parameters: step.parameters.map(({ shape }) => random(shape[0]! * shape[1]!)) };
}
