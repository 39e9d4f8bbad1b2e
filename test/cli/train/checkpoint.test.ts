import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCheckpoint, writeCheckpoint } from '../../../src/cli/train/checkpoint.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-checkpoint-'));
afterAll(() => rm(folder, { recursive: true }));
const path = join(folder, 'state.bin');

const state = (step: number) => ({
  step,
  fingerprint: 'f',
  lossHistory: [3, 2],
  parameters: [Float32Array.of(1, 2), Float32Array.of(-0)],
  slots: [[Float32Array.of(3, 4)], [Float32Array.of(5)]],
});

test('ids and states come back as they were', async () => {
  const checkpoint = {
    sampleIds: [18446744073709551615n, 0n, '936da01f-9abd-4d9d-80c7-02af85c822a8'],
    states: new Map([
      ['tldr', state(1)],
      ['neighbourhood-kl', state(2)],
    ]),
  };
  await writeCheckpoint(path, checkpoint);
  expect(await readCheckpoint(path)).toEqual(checkpoint);
  await writeCheckpoint(path, { sampleIds: null, states: new Map() });
  expect(await readCheckpoint(path)).toEqual({ sampleIds: null, states: new Map() });
});

test('a missing file is no checkpoint yet; damaged ones and folders are refused', async () => {
  expect(await readCheckpoint(join(folder, 'none.bin'))).toBeNull();
  await expect(readCheckpoint(folder)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await writeCheckpoint(path, { sampleIds: [1n], states: new Map([['tldr', state(1)]]) });
  const bytes = await readFile(path);
  for (const damaged of [
    bytes.subarray(0, bytes.length - 1),
    bytes.subarray(0, 20),
    Buffer.from('hello, world!'),
  ]) {
    await writeFile(path, damaged);
    await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  }
});
