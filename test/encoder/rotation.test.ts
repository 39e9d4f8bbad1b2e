import { expect, test } from '@jest/globals';
import { dot } from '../../src/core/distance.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import type { EncoderNetwork } from '../../src/encoder/network.js';
import { rotateOutput, rotateRows } from '../../src/encoder/rotation.js';

function random(rows: number, cols: number, seed: number): Matrix {
  const rng = new Rng(seed);
  return matrix(
    rows,
    cols,
    Float32Array.from({ length: rows * cols }, () => rng.normal()),
  );
}

test.each([1, 2, 3, 24, 48, 64, 100])('a rotation of %d dimensions keeps all inner products', (dim) => {
  const x = random(6, dim, 1);
  const turned = rotateRows(x, 7);
  for (let i = 0; i < x.rows; i++)
    for (let j = 0; j <= i; j++)
      expect(dot(row(turned, i), row(turned, j))).toBeCloseTo(dot(row(x, i), row(x, j)), 4);
  expect(rotateRows(x, 7).data).toEqual(turned.data);
  if (dim > 3) expect(rotateRows(x, 8).data).not.toEqual(turned.data);
});

test('a rotation spreads one component over all of them', () => {
  for (const dim of [24, 48, 96]) {
    const one = matrix(1, dim);
    one.data[0] = 1;
    const largest = rotateRows(one, 3).data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeLessThan(0.75);
  }
});

test.each([
  { name: 'linear', relu: [false], bias: false },
  { name: 'a hidden layer and biases', relu: [true, false], bias: true },
  { name: 'a last layer that clips', relu: [false, true], bias: true },
])('a rotated network projects to rotated vectors: $name', ({ relu, bias }) => {
  const dims = [20, ...relu.slice(1).map(() => 30), 12];
  const network: EncoderNetwork = {
    normalizeInput: true,
    layers: relu.map((clips, i) => ({
      weight: random(dims[i]!, dims[i + 1]!, i),
      bias: bias ? random(1, dims[i + 1]!, 9).data : null,
      relu: clips,
    })),
    normalizeOutput: true,
  };
  const x = random(5, 20, 4);
  const expected = rotateRows(new Kernel(network).project(x), 5);
  const actual = new Kernel(rotateOutput(network, 5)).project(x);
  expected.data.forEach((value, i) => expect(actual.data[i]).toBeCloseTo(value, 5));
});
