import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TldrError } from '../../core/errors.js';
import type { Matrix } from '../../core/matrix.js';
import { readNpy } from '../../files/npy.js';

/** What the demo trains and measures. */
export const DEMO = { reduction: 8, top: 10, seed: 1, budgetSeconds: 40 } as const;

/** Embeddings of sentences, with the sentences. */
export interface DemoData {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly texts: readonly string[];
  readonly queryTexts: readonly string[];
}

/** Returns the demo's data. @throws NOT_FOUND when the package was installed without it */
export async function loadDemoData(): Promise<DemoData> {
  const folder = fileURLToPath(new URL('../../../../demo/data/', import.meta.url));
  if (!existsSync(join(folder, 'base.npy'))) {
    throw new TldrError(
      'NOT_FOUND',
      `the demo's data is missing in ${folder}: reinstall the package or clone the repository`,
    );
  }
  const lines = async (name: string): Promise<string[]> =>
    (await readFile(join(folder, name), 'utf8')).trimEnd().split('\n');
  const [base, queries] = [
    await readNpy(join(folder, 'base.npy')),
    await readNpy(join(folder, 'queries.npy')),
  ];
  return { base, queries, texts: await lines('base.txt'), queryTexts: await lines('queries.txt') };
}
