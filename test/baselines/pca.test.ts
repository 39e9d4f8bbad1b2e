import { describe, expect, test } from '@jest/globals';
import { EigenvalueDecomposition, Matrix as Dense } from 'ml-matrix';
import { largestEigenpairsInWorker } from '../../src/baselines/eigen-in-worker.js';
import {
  fitMoments,
  pcaFromMoments,
  pcaNetwork,
  prefixNetwork,
  principalAxes,
  randomProjection,
} from '../../src/baselines/pca.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';

function correlated(rows: number, cols: number): Matrix {
  const rng = new Rng(2);
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) x.data[i * cols + j] = rng.normal() * 3 * 0.9 ** j + (j === 1 ? 5 : 0);
  return x;
}

test('moments are the mean and the second moment, summed over blocks in float64', async () => {
  const x = correlated(5000, 6);
  const { mean, second } = await fitMoments(x, { distance: 'euclid' });
  for (let j = 0; j < 6; j++) {
    let sum = 0;
    for (let i = 0; i < x.rows; i++) sum += x.data[i * 6 + j]!;
    expect(mean[j]).toBeCloseTo(sum / x.rows, 9);
    for (let l = 0; l < 6; l++) {
      let product = 0;
      for (let i = 0; i < x.rows; i++) product += x.data[i * 6 + j]! * x.data[i * 6 + l]!;
      expect(second[j * 6 + l]).toBeCloseTo(product / x.rows, 4);
    }
  }
});

test('moments are right far from the origin: an offset of 1,000 and a constant dimension', async () => {
  const x = correlated(5000, 6);
  for (let i = 0; i < x.data.length; i++) x.data[i] = i % 6 === 4 ? 1000 : Math.fround(x.data[i]! + 1000);
  const { mean, second } = await fitMoments(x, { distance: 'euclid' });
  const exactMean = Float64Array.from({ length: 6 }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < x.rows; i++) sum += x.data[i * 6 + j]!;
    return sum / x.rows;
  });
  for (let j = 0; j < 6; j++) {
    expect(mean[j]).toBeCloseTo(exactMean[j]!, 8);
    for (let l = 0; l < 6; l++) {
      let [product, covariance] = [0, 0];
      for (let i = 0; i < x.rows; i++) {
        const [a, b] = [x.data[i * 6 + j]!, x.data[i * 6 + l]!];
        product += a * b;
        covariance += (a - exactMean[j]!) * (b - exactMean[l]!);
      }
      expect(second[j * 6 + l]! - mean[j]! * mean[l]!).toBeCloseTo(covariance / x.rows, 3);
      expect(second[j * 6 + l]! / (product / x.rows)).toBeCloseTo(1, 8);
    }
  }
  const constant = second[4 * 6 + 4]! - mean[4]! * mean[4]!;
  expect(Math.abs(constant)).toBeLessThan(1e-6);
});

test.each([40, 360])('the top of a %d x %d spectrum agrees with a full decomposition', async (size) => {
  const rng = new Rng(3);
  const root = new Dense(size, size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) root.set(i, j, rng.normal() * 0.97 ** j);
  const symmetric = root.mmul(root.transpose());
  const full = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  const expected = [...full.realEigenvalues].sort((a, b) => b - a);
  const flat = Float64Array.from(symmetric.to1DArray());
  const { values, vectors } = await largestEigenpairsInWorker(flat, { size, d: 10 });
  for (let j = 0; j < 10; j++) {
    expect(Math.abs(values[j]! - expected[j]!)).toBeLessThan(1e-6 * expected[0]!);
    let residual = 0;
    for (let i = 0; i < size; i++) {
      let image = 0;
      for (let k = 0; k < size; k++) image += flat[i * size + k]! * vectors[k * 10 + j]!;
      residual += (image - values[j]! * vectors[i * 10 + j]!) ** 2;
    }
    expect(Math.sqrt(residual)).toBeLessThan(1e-3 * expected[0]!);
  }
});

describe('encoders', () => {
  test('centred components have zero mean and falling, uncorrelated variances', async () => {
    const x = correlated(4000, 12);
    const network = await pcaFromMoments(await fitMoments(x, { distance: 'euclid' }), {
      dim: 4,
      centred: true,
      distance: 'euclid',
    });
    const z = new Kernel(network).project(x);
    const second = Array.from({ length: 16 }, (_, k) => {
      let sum = 0;
      for (let i = 0; i < z.rows; i++) sum += z.data[i * 4 + Math.floor(k / 4)]! * z.data[i * 4 + (k % 4)]!;
      return sum / z.rows;
    });
    for (let j = 0; j < 4; j++) {
      expect(
        z.data.filter((_, i) => i % 4 === j).reduce((sum, value) => sum + value, 0) / z.rows,
      ).toBeCloseTo(0, 3);
      for (let l = 0; l < j; l++) expect(Math.abs(second[j * 4 + l]!)).toBeLessThan(0.01);
      if (j > 0) expect(second[j * 5]!).toBeLessThan(second[(j - 1) * 5]!);
    }
  });

  test('centring is refused for dot products', async () => {
    const moments = await fitMoments(correlated(200, 6), { distance: 'dot' });
    await expect(pcaFromMoments(moments, { dim: 2, centred: true, distance: 'dot' })).rejects.toThrow(
      'uncentred',
    );
    expect(await pcaFromMoments(moments, { dim: 2, centred: false, distance: 'dot' })).toMatchObject({
      normalizeInput: false,
      normalizeOutput: false,
    });
  });

  test('tempering divides each axis by a power of its variance', async () => {
    const moments = await fitMoments(correlated(3000, 8), { distance: 'euclid' });
    const axes = await principalAxes(moments, { d: 5, centred: true });
    const plain = pcaNetwork(axes, { dim: 3, distance: 'euclid' }).layers[0]!;
    const tempered = pcaNetwork(axes, { dim: 3, distance: 'euclid', gamma: 0.5 }).layers[0]!;
    for (let j = 0; j < 3; j++) {
      for (let i = 0; i < 8; i++) {
        const expected = plain.weight.data[i * 3 + j]! / axes.values[j]! ** 0.25;
        expect(tempered.weight.data[i * 3 + j]).toBeCloseTo(expected, 5);
      }
      expect(tempered.bias![j]).toBeCloseTo(plain.bias![j]! / axes.values[j]! ** 0.25, 4);
    }
    expect(() => pcaNetwork(axes, { dim: 6, distance: 'euclid' })).toThrow('6 axes requested, 5 computed');
  });

  test('axes of fewer rows than dimensions are orthonormal where there is variance', async () => {
    const x = correlated(40, 400);
    const axes = await principalAxes(await fitMoments(x, { distance: 'euclid' }), { d: 60, centred: true });
    for (let a = 0; a < 38; a++) {
      for (let b = 0; b <= a; b++) {
        let product = 0;
        for (let i = 0; i < 400; i++) product += axes.vectors[i * 60 + a]! * axes.vectors[i * 60 + b]!;
        expect(product).toBeCloseTo(a === b ? 1 : 0, 6);
      }
    }
  });

  test('the prefix keeps the first components', () => {
    const x = correlated(3, 6);
    const z = new Kernel(prefixNetwork(6, { dim: 2, distance: 'euclid' })).project(x);
    expect([...z.data]).toEqual([0, 1, 2].flatMap((i) => [...x.data.subarray(i * 6, i * 6 + 2)]));
  });

  test('a random projection is orthonormal and the seed decides it', () => {
    const { weight } = randomProjection(30, { dim: 5, distance: 'cosine', seed: 4 }).layers[0]!;
    for (let a = 0; a < 5; a++) {
      for (let b = 0; b <= a; b++) {
        let product = 0;
        for (let i = 0; i < 30; i++) product += weight.data[i * 5 + a]! * weight.data[i * 5 + b]!;
        expect(product).toBeCloseTo(a === b ? 1 : 0, 5);
      }
    }
    expect(randomProjection(30, { dim: 5, distance: 'cosine', seed: 4 }).layers[0]!.weight).toEqual(weight);
  });
});
