import { EigenvalueDecomposition, Matrix as Dense } from 'ml-matrix';
import { TldrError } from '../core/errors.js';
import { Rng } from '../core/rng.js';

/** Up to this size the library's full decomposition is fast enough. */
const FULL_SIZE_MAX = 300;
const OVERSAMPLING = 16;
const ITERATIONS_MAX = 60;
const TOLERANCE = 1e-7;

/** The largest eigenvalues, descending, and their unit eigenvectors as the columns of D x d, row-major. */
export interface TopEigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/**
 * Top d eigenpairs of a symmetric D x D matrix: in full for small D, else by block subspace iteration with
 * Rayleigh-Ritz projection (Saad, Numerical Methods for Large Eigenvalue Problems, 2011, chapter 5).
 */
export function topEigen(symmetric: Float64Array, size: number, d: number): TopEigen {
  if (symmetric.length !== size * size || d < 1 || d > size) {
    throw new TldrError('INVALID_ARGUMENT', `cannot take ${d} eigenvectors of ${symmetric.length} values`);
  }
  const width = Math.min(size, d + OVERSAMPLING);
  if (size <= FULL_SIZE_MAX || width * 2 > size) return fromFull(symmetric, size, d);
  const rng = new Rng(1);
  let basis = Float64Array.from({ length: size * width }, () => rng.normal());
  orthonormalize(basis, size, width);
  let before = new Float64Array(d);
  for (let i = 0; i < ITERATIONS_MAX; i++) {
    const image = multiplySymmetric(symmetric, size, { block: basis, width });
    const small = transposedProduct(basis, image, { size, width });
    const ritz = fromFull(small, width, width);
    basis = rotate(image, size, { rotation: ritz.vectors, width });
    orthonormalize(basis, size, width);
    const values = ritz.values.slice(0, d);
    const moved = values.reduce((max, value, j) => Math.max(max, Math.abs(value - before[j]!)), 0);
    before = values;
    if (moved <= TOLERANCE * Math.abs(values[0]!)) break;
  }
  const image = multiplySymmetric(symmetric, size, { block: basis, width });
  const ritz = fromFull(transposedProduct(basis, image, { size, width }), width, width);
  const vectors = columns(rotate(basis, size, { rotation: ritz.vectors, width }), {
    size,
    from: width,
    to: d,
  });
  return { values: ritz.values.slice(0, d), vectors };
}

function fromFull(symmetric: Float64Array, size: number, d: number): TopEigen {
  const dense = new Dense(size, size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) dense.set(i, j, symmetric[i * size + j]!);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(dense, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const values = Float64Array.from({ length: d }, (_, j) => realEigenvalues[order[j]!]!);
  const vectors = new Float64Array(size * d);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < d; j++) vectors[i * d + j] = eigenvectorMatrix.get(i, order[j]!);
  }
  return { values, vectors };
}

interface Block {
  readonly block: Float64Array;
  readonly width: number;
}

function multiplySymmetric(
  a: Float64Array,
  size: number,
  { block, width }: Block,
): Float64Array<ArrayBuffer> {
  const out = new Float64Array(size * width);
  for (let i = 0; i < size; i++) {
    const y = out.subarray(i * width, (i + 1) * width);
    for (let k = 0; k < size; k++) {
      const value = a[i * size + k]!;
      const start = k * width;
      for (let j = 0; j < width; j++) y[j] = y[j]! + value * block[start + j]!;
    }
  }
  return out;
}

function transposedProduct(
  a: Float64Array,
  b: Float64Array,
  { size, width }: { size: number; width: number },
): Float64Array {
  const out = new Float64Array(width * width);
  for (let k = 0; k < size; k++) {
    for (let i = 0; i < width; i++) {
      const value = a[k * width + i]!;
      for (let j = 0; j < width; j++) out[i * width + j] = out[i * width + j]! + value * b[k * width + j]!;
    }
  }
  return out;
}

function rotate(
  block: Float64Array,
  size: number,
  { rotation, width }: { rotation: Float64Array; width: number },
): Float64Array<ArrayBuffer> {
  const out = new Float64Array(size * width);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < width; k++) {
      const value = block[i * width + k]!;
      for (let j = 0; j < width; j++)
        out[i * width + j] = out[i * width + j]! + value * rotation[k * width + j]!;
    }
  }
  return out;
}

function columns(
  block: Float64Array,
  { size, from, to }: { size: number; from: number; to: number },
): Float64Array {
  return Float64Array.from({ length: size * to }, (_, i) => block[Math.floor(i / to) * from + (i % to)]!);
}

/** Modified Gram-Schmidt over the columns, twice for stability (Giraud et al. 2005), row by row in memory. */
export function orthonormalize(block: Float64Array, size: number, width: number): void {
  for (let pass = 0; pass < 2; pass++) {
    for (let j = 0; j < width; j++) {
      let norm = 0;
      for (let i = 0; i < size; i++) norm += block[i * width + j]! ** 2;
      const scale = norm > 0 ? 1 / Math.sqrt(norm) : 0;
      const overlap = new Float64Array(width);
      for (let i = 0; i < size; i++) {
        const at = i * width;
        const value = block[at + j]! * scale;
        block[at + j] = value;
        for (let l = j + 1; l < width; l++) overlap[l] = overlap[l]! + value * block[at + l]!;
      }
      for (let i = 0; i < size; i++) {
        const at = i * width;
        const value = block[at + j]!;
        for (let l = j + 1; l < width; l++) block[at + l] = block[at + l]! - value * overlap[l]!;
      }
    }
  }
}
