import { row, type Matrix } from '../core/matrix.js';
import { rotateRows } from '../encoder/rotation.js';

/**
 * Levels to which a component of a standard normal distribution is rounded with the smallest mean squared error (Max
 * 1960, table I), those above zero; `zero` adds a level at zero.
 */
const LEVELS = {
  'turbo-1bit': { above: [0.7979], zero: false },
  // Three levels: a code of one and a half bits for each component holds no more.
  'turbo-1.5bit': { above: [1.224], zero: true },
  'turbo-2bit': { above: [0.4528, 1.51], zero: false },
  'turbo-4bit': { above: [0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733], zero: false },
} as const;
/** The rotation. Every seed serves as well as another. */
const SEED = 1;

/** A kind of TurboQuant codes. */
export type TurboKind = keyof typeof LEVELS;

/**
 * Returns points whose components are rounded as TurboQuant does it (Zandieh et al. 2025): rotated, so that components
 * are nearly normally distributed, and rounded to a few levels of the vector's own length.
 */
export function turboCodes(base: Matrix, kind: TurboKind): Matrix {
  const { above, zero } = LEVELS[kind];
  const levels = zero ? [0, ...above] : above;
  const rotated = rotateRows(base, SEED);
  for (let i = 0; i < rotated.rows; i++) {
    const values = row(rotated, i);
    const squares = values.reduce((sum, value) => sum + value * value, 0);
    const unit = Math.sqrt(squares / rotated.cols);
    if (unit === 0) continue;
    for (let j = 0; j < values.length; j++) {
      const value = values[j]! / unit;
      values[j] = Math.sign(value) * unit * nearest(levels, Math.abs(value));
    }
  }
  return rotated;
}

/** Returns queries that are compared with `turboCodes`. The database keeps their values as they are. */
export function turboQueries(queries: Matrix): Matrix {
  return rotateRows(queries, SEED);
}

function nearest(levels: readonly number[], value: number): number {
  return levels.reduce((best, level) => (Math.abs(level - value) < Math.abs(best - value) ? level : best));
}
