import { expect, test } from '@jest/globals';
import { expectDefined } from '../../src/core/errors.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import { BLEND } from '../../src/hyper-parameters/blend.js';
import { BLENDS, canBlend, fitBlends } from '../../src/select/blend-candidates.js';
import type { Candidate } from '../../src/select/candidate.js';
import { trainEncoder } from '../../src/select/train-encoder.js';

const [DIM, NEAR, FAR, HIDDEN] = [10, 3, 2, 7];

function random(rows: number, cols: number, seed: number): Matrix {
  const rng = new Rng(seed);
  return matrix(
    rows,
    cols,
    Float32Array.from({ length: rows * cols }, () => rng.normal()),
  );
}

function candidate(name: string, layers: Candidate['network']['layers']): Candidate {
  return {
    name,
    network: { normalizeInput: true, layers, normalizeOutput: true },
    distances: ['cosine'],
    hyperParameters: {},
    seconds: 1,
  };
}

const bias = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => 0.1 * i - 0.2);
const linear = candidate('neighbourhood-kl', [{ weight: random(DIM, NEAR, 1), bias: null, relu: false }]);
const layered = (name: string, width: number, seed: number): Candidate =>
  candidate(name, [
    { weight: random(DIM, HIDDEN, seed), bias: bias(HIDDEN), relu: true },
    { weight: random(HIDDEN, width, seed + 1), bias: bias(width), relu: false },
  ]);

function outputs({ network }: Candidate, x: Matrix): Matrix {
  return new Kernel({ ...network, normalizeOutput: false }).project(x);
}

/** Inner products of all rows, divided by the mean squared length. */
function products(z: Matrix): number[] {
  const all: number[] = [];
  for (let i = 0; i < z.rows; i++)
    for (let j = 0; j < z.rows; j++)
      all.push(row(z, i).reduce((sum, value, k) => sum + value * expectDefined(row(z, j)[k], 'a value'), 0));
  const square = z.data.reduce((sum, value) => sum + value ** 2, 0) / z.rows;
  return all.map((value) => value / square);
}

test.each([
  ['a linear map', linear],
  ['a map with a hidden layer', layered('neighbourhood-kl-residual', NEAR, 3)],
])('the inner products of %s and of TLDR add by their shares', async (_, near) => {
  const x = random(40, DIM, 2);
  const far = layered('tldr-mlp', FAR, 5);
  // With as many dimensions as both have together, nothing is lost.
  const blends = await fitBlends(x, [far, near], { dim: NEAR + FAR, threads: 1 });
  expect(blends.map(({ name }) => name)).toEqual(BLENDS);
  const [ofNear, ofFar] = [products(outputs(near, x)), products(outputs(far, x))];
  blends.forEach((blend, i) => {
    const share = expectDefined(BLEND.shares[i], 'a share');
    const expected = ofNear.map(
      (value, at) => (1 - share) * value + share * expectDefined(ofFar[at], 'a product'),
    );
    products(outputs(blend, x)).forEach((value, at) =>
      expect(value).toBeCloseTo(expectDefined(expected[at], 'a product'), 4),
    );
  });
});

test('without one of both parts there are no blends', async () => {
  const x = random(40, DIM, 2);
  expect(await fitBlends(x, [linear], { dim: 2 })).toEqual([]);
  expect(await fitBlends(x, [layered('tldr-mlp', FAR, 5)], { dim: 2 })).toEqual([]);
  expect(canBlend(['tldr-mlp', 'neighbourhood-kl'])).toBe(true);
  expect(canBlend(['tldr', 'neighbourhood-kl'])).toBe(false);
});

test('blends compete where relevance is asked for, and one can be shipped by its name', async () => {
  const x = random(300, 16, 4);
  const labels = Int32Array.from({ length: 300 }, (_, i) =>
    Number(expectDefined(row(x, i)[0], 'a value') > 0),
  );
  const run = { dim: 4, seed: 1, threads: 2, budgetSeconds: 15 };
  const { report, encoder, candidates, states } = await trainEncoder(x, {
    ...run,
    objective: 'relevance',
    labels,
    ship: 'blend-0.4',
  });
  expect(report?.shipped).toBe('blend-0.4');
  expect(report?.candidates.map(({ name }) => name)).toEqual(expect.arrayContaining([...BLENDS]));
  expect(encoder?.project(x).cols).toBe(4);
  // Both parts are trained further on all rows, and joined again.
  const parts = ['neighbourhood-kl-residual', 'tldr-mlp'];
  const steps = parts.map((part) =>
    Math.round(report!.training.find(({ name }) => name === part)!.steps / 3),
  );
  expect(report?.refit).toMatchObject({ rows: 285, steps: steps.reduce((sum, count) => sum + count, 0) });
  expect([...states.keys()].filter((name) => name.endsWith(', all rows'))).toEqual(
    parts.map((part) => `${part}, all rows`),
  );
  const first = candidates.get('blend-0.4')!;
  expect(encoder!.fingerprint === first.fingerprint).toBe(!report!.refit!.shipped);
  expect(encoder!.metadata.hyperParameters).toMatchObject(
    report!.refit!.shipped
      ? { ...first.metadata.hyperParameters, refitRows: 285 }
      : first.metadata.hyperParameters,
  );
  await expect(trainEncoder(x, { ...run, budgetSeconds: 1, ship: 'blend-0.4' })).rejects.toThrow(
    'ship: blend-0.4 is not among the candidates here',
  );
});
