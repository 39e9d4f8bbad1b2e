import { normalizedRows, type Distance } from '../core/distance.js';
import { row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { StorageKind } from '../store/collection.js';
import { productCodes } from './product-codes.js';
import { turboCodes, turboQueries } from './turbo-codes.js';

/** Points, queries, and the distance that compares them. */
export interface ComparedVectors {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly distance: Distance;
}

/** Steps between the smallest and the largest code of a scalar quantisation. */
const SCALAR_STEPS = 127;
/** Largest code of a query component, if queries keep 8 bits. */
const QUERY_CODE_MAX = 255;
/** With 1.5 and 2 bits, values within this many standard deviations of the mean count as zero. */
const ZERO_SIGMAS = 2 / 3;

/**
 * Returns vectors whose exact search gives the order in which a database finds them that holds codes in place of the
 * vectors. What a database keeps as it is (float32, uint8) is returned unchanged.
 */
export function asStored(vectors: ComparedVectors, kind: StorageKind, seed = 0): ComparedVectors {
  if (kind === 'float32' || kind === 'uint8') return vectors;
  // For cosine, a database keeps unit vectors and compares them by their inner product.
  const cosine = vectors.distance === 'cosine';
  const base = cosine ? normalizedRows(vectors.base) : vectors.base;
  const queries = cosine ? normalizedRows(vectors.queries) : vectors.queries;
  const distance = cosine ? 'dot' : vectors.distance;
  switch (kind) {
    case 'float16':
      return { base: mapped(base, toHalf), queries: mapped(queries, toHalf), distance };
    case 'scalar':
      return { ...scalarCodes(base, queries), distance };
    case 'product-x8':
      return { base: productCodes(base, 2, new Rng(seed)), queries, distance };
    case 'product-x16':
      return { base: productCodes(base, 4, new Rng(seed)), queries, distance };
    case 'product-x32':
      return { base: productCodes(base, 8, new Rng(seed)), queries, distance };
    case 'binary':
      return { base: mapped(base, signOf), queries: mapped(queries, signOf), distance: 'dot' };
    case 'binary-1bit':
      return { base: mapped(base, signOf), queries: queryCodes(queries), distance: 'dot' };
    case 'binary-1.5bit':
      return { base: pairedBits(base), queries: queryCodes(withPairMaxima(queries)), distance: 'dot' };
    case 'turbo-1bit':
    case 'turbo-1.5bit':
    case 'turbo-2bit':
    case 'turbo-4bit':
      return { base: turboCodes(base, kind), queries: turboQueries(queries), distance };
    case 'turbo4':
      return asStored(vectors, 'turbo-4bit', seed);
    case 'binary-2bit':
      return { base: twoBits(base), queries: queryCodes(sideBySide(queries, queries)), distance: 'dot' };
  }
}

/** Whether a rotation of the vectors changes the codes, so that one may find more than another. */
export function dependsOnRotation(kind: StorageKind): boolean {
  // The database rotates vectors itself before it makes turbo codes of them.
  return kind !== 'float32' && kind !== 'float16' && kind !== 'uint8' && !kind.startsWith('turbo');
}

function mapped(x: Matrix, change: (value: number) => number): Matrix {
  return { ...x, data: x.data.map(change) };
}

const signOf = (value: number): number => (value > 0 ? 1 : -1);

/** The nearest float16: 10 bits after the first one, and no step smaller than 2^-24. */
function toHalf(value: number): number {
  if (value === 0) return 0;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  const rounded = Math.round(value / step) * step;
  return Math.abs(rounded) > 65504 ? Math.sign(value) * Infinity : rounded;
}

/** One byte per component, of points and of queries, with one range for all components. */
function scalarCodes(base: Matrix, queries: Matrix): { base: Matrix; queries: Matrix } {
  let [low, high] = [Infinity, -Infinity];
  for (const value of base.data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const step = (high - low) / SCALAR_STEPS;
  if (!(step > 0)) return { base, queries };
  const decoded = (value: number): number =>
    low + step * Math.round(Math.min(SCALAR_STEPS, Math.max(0, (value - low) / step)));
  return { base: mapped(base, decoded), queries: mapped(queries, decoded) };
}

/** Queries in 8 bits per component, the range being that of each query. */
function queryCodes(queries: Matrix): Matrix {
  const data = new Float32Array(queries.data.length);
  for (let q = 0; q < queries.rows; q++) {
    const query = row(queries, q);
    const largest = query.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const step = (2 * largest) / QUERY_CODE_MAX;
    for (let j = 0; j < query.length; j++) {
      const code = step > 0 ? Math.round((query[j]! + largest) / step) : 0;
      data[q * queries.cols + j] = code - QUERY_CODE_MAX / 2;
    }
  }
  return { ...queries, data };
}

/** For each component whether it is below, near or above its mean: two signs, those of "near" cancel each other. */
function twoBits(base: Matrix): Matrix {
  const { first, second } = signsAroundMean(base);
  return sideBySide(first, second);
}

/** As `twoBits`, but two components share the second sign: it is set if it is set for one of them. */
function pairedBits(base: Matrix): Matrix {
  const { first, second } = signsAroundMean(base);
  return sideBySide(first, pairMaxima(second));
}

function withPairMaxima(queries: Matrix): Matrix {
  return sideBySide(queries, pairMaxima(queries));
}

function signsAroundMean(x: Matrix): { readonly first: Matrix; readonly second: Matrix } {
  const [first, second] = [x.data.slice(), x.data.slice()];
  for (let j = 0; j < x.cols; j++) {
    const { mean, deviation } = columnSpread(x, j);
    for (let at = j; at < x.data.length; at += x.cols) {
      const value = x.data[at]!;
      const distance = (value - mean) / deviation;
      const constant = deviation < 1.2e-7;
      first[at] = (constant ? value > 0 : distance > -ZERO_SIGMAS) ? 1 : -1;
      second[at] = !constant && distance >= ZERO_SIGMAS ? 1 : -1;
    }
  }
  return { first: { ...x, data: first }, second: { ...x, data: second } };
}

function columnSpread(x: Matrix, j: number): { readonly mean: number; readonly deviation: number } {
  let [sum, squares] = [0, 0];
  for (let at = j; at < x.data.length; at += x.cols) sum += x.data[at]!;
  const mean = sum / x.rows;
  for (let at = j; at < x.data.length; at += x.cols) squares += (x.data[at]! - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / Math.max(1, x.rows - 1)) };
}

/** The larger value of each two neighbouring columns; a last column without a neighbour stays. */
function pairMaxima(x: Matrix): Matrix {
  const cols = Math.ceil(x.cols / 2);
  const data = new Float32Array(x.rows * cols);
  for (let i = 0; i < x.rows; i++) {
    for (let j = 0; j < cols; j++) {
      const at = i * x.cols + 2 * j;
      data[i * cols + j] = 2 * j + 1 < x.cols ? Math.max(x.data[at]!, x.data[at + 1]!) : x.data[at]!;
    }
  }
  return { rows: x.rows, cols, data };
}

function sideBySide(left: Matrix, right: Matrix): Matrix {
  const cols = left.cols + right.cols;
  const data = new Float32Array(left.rows * cols);
  for (let i = 0; i < left.rows; i++) {
    data.set(row(left, i), i * cols);
    data.set(row(right, i), i * cols + left.cols);
  }
  return { rows: left.rows, cols, data };
}
