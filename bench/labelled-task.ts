import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gatherRows, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import type { Relevance } from '../src/evaluate/relevance.js';
import { readNpy, readNpyIntegers } from '../src/files/npy.js';

/** Rows to train on and to search, queries apart from them, and the labels of both; null where there are none. */
export interface LabelledTask {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly labels: Extract<Relevance, { readonly kind: 'labels' }> | null;
}

export async function readIntegers(path: string): Promise<Int32Array> {
  return Int32Array.from(await readNpyIntegers(path, () => undefined), Number);
}

/** Reads base.npy and queries.npy of a folder, with labels.npy and query_labels.npy, and takes so many rows at random. */
export async function labelledTask({
  folder,
  rows,
}: {
  readonly folder: string;
  readonly rows: number;
}): Promise<LabelledTask> {
  const all = await readNpy(join(folder, 'base.npy'));
  const order = new Rng(7).permutation(all.rows).slice(0, rows).sort();
  const labels = existsSync(join(folder, 'labels.npy'))
    ? await readIntegers(join(folder, 'labels.npy'))
    : null;
  return {
    base: gatherRows(all, order),
    queries: await readNpy(join(folder, 'queries.npy')),
    labels: labels && {
      kind: 'labels',
      base: Int32Array.from(order, (row) => labels[row] ?? -1),
      queries: await readIntegers(join(folder, 'query_labels.npy')),
    },
  };
}
