import { TldrError } from '../core/errors.js';
import type { SizingRow } from './sizing-row.js';
import { recommended, type Recommended } from './worth-an-encoder.js';

/** Divisors of the memory of the full vectors as float32. */
const SHARES = [8, 16, 32, 64, 128, 256] as const;
const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** An amount of memory, and what finds most within it. */
export interface MemoryBudget {
  /** The full vectors as float32 take this many times as much. */
  readonly divisor: number;
  readonly ramBytes: number;
  /** The configuration with the best recall within the budget; null if none fits. */
  readonly best: SizingRow | null;
  /** The same among configurations that only change how full vectors are stored. */
  readonly bestOfFull: SizingRow | null;
}

/**
 * Reads an amount of memory such as `8GB`, `500 MB` or `2GiB`, as bytes.
 * @throws INVALID_ARGUMENT
 */
export function parseMemory(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]i?)b?|b)\s*$/i.exec(text);
  const bytes = Number(match?.[1]) * (UNIT_BYTES[(match?.[2] ?? '').toLowerCase()] ?? 1);
  if (bytes >= 1) return bytes;
  throw new TldrError('INVALID_ARGUMENT', `memory "${text}": expected something like 8GB, 500MB or 2GiB`);
}

/**
 * Returns the deployable configuration with the best expected recall within this memory, graph and codes included; null
 * if none fits. Of several with this recall, the smallest wins.
 */
export function bestWithin(rows: readonly SizingRow[], ramBytes: number): SizingRow | null {
  return rankedWithin(rows, ramBytes)[0] ?? null;
}

/**
 * Returns the configuration to recommend for this memory: that of `bestWithin`, unless it is a compact one that is not
 * worth an encoder (`recommended`). Null if none fits.
 */
export function recommendedWithin(
  rows: readonly SizingRow[],
  ramBytes: number,
): Recommended<SizingRow> | null {
  return recommended(rankedWithin(rows, ramBytes), rows, { ramBytes });
}

function rankedWithin(rows: readonly SizingRow[], ramBytes: number): SizingRow[] {
  return rows
    .filter((row) => row.deployable && row.ramBytes <= ramBytes)
    .sort((a, b) => b.recallAt10 - a.recallAt10 || a.ramBytes - b.ramBytes || a.diskBytes - b.diskBytes);
}

/** Returns the best configurations within an 8th to a 256th of the memory of the full vectors as float32. */
export function memoryBudgets(
  rows: readonly SizingRow[],
  { points, dim }: { readonly points: number; readonly dim: number },
): MemoryBudget[] {
  const full = rows.filter(({ kind }) => kind !== 'compact');
  return SHARES.map((divisor) => {
    const ramBytes = (points * dim * 4) / divisor;
    return { divisor, ramBytes, best: bestWithin(rows, ramBytes), bestOfFull: bestWithin(full, ramBytes) };
  });
}
