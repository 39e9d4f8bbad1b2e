import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleFile } from '../../../src/cli/train/sample.js';
import { npyBytes } from '../../support/cli/npy-fixtures.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-sample-'));
afterAll(() => rm(folder, { recursive: true }));
const path = join(folder, 'x.npy');

/** A file of zeros that takes no room on the disk. */
async function zeros(rows: number, cols: number): Promise<void> {
  const head = npyBytes(
    `{'descr': '<f2', 'fortran_order': False, 'shape': (${rows}, ${cols}), }\n`,
    new Uint8Array(),
  );
  const file = await open(path, 'w');
  await file.writeFile(head);
  await file.truncate(head.length + rows * cols * 2);
  await file.close();
}

test('a sample of more rows than can be shuffled begins at once, and a signal ends it', async () => {
  await zeros(2 ** 34, 2);
  const controller = new AbortController();
  const reading = sampleFile(
    path,
    { size: 1000, seed: 1, distance: 'cosine' },
    { signal: controller.signal, onProgress: () => controller.abort() },
  );
  await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
});
