import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkCheckpointSize,
  CHECKPOINT_BYTES_MAX,
  readCheckpoint,
  writeCheckpoint,
} from '../../../src/cli/train/checkpoint.js';

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
    sampleIds: ['18446744073709551615', '0', '936da01f-9abd-4d9d-80c7-02af85c822a8'],
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
  await writeCheckpoint(path, { sampleIds: ['1'], states: new Map([['tldr', state(1)]]) });
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

describe('no checkpoint is written that could not be read again', () => {
  const small = { sampleIds: null, states: new Map([['tldr', state(1)]]) };

  test('writer and reader take the same number of bytes', async () => {
    await writeCheckpoint(path, small);
    const { size } = await stat(path);
    await writeCheckpoint(path, { ...small, sampleIds: ['1'] });
    const before = await readFile(path);
    await expect(writeCheckpoint(path, small, size - 1)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(`${size} bytes, and checkpoints may have ${size - 1}`),
    });
    expect(await readFile(path)).toEqual(before);
    await writeCheckpoint(path, small, size);
    expect(await readCheckpoint(path, size)).toEqual(small);
    await expect(readCheckpoint(path, size - 1)).rejects.toThrow('too large');
  });

  test('weights that are too large are refused before they are copied, and the old checkpoint stays', async () => {
    await writeCheckpoint(path, small);
    const array = new Float32Array(2 ** 25);
    const parameters = Array.from({ length: 16 }, () => array);
    const large = { ...state(1), parameters, slots: parameters.map(() => []) };
    const before = process.memoryUsage().arrayBuffers;
    await expect(
      writeCheckpoint(path, { sampleIds: null, states: new Map([['tldr', large]]) }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('--checkpoint') });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(array.byteLength);
    expect(await readCheckpoint(path)).toEqual(small);
    // The bytes after the first ones are holes, so that this takes no space.
    await truncate(path, CHECKPOINT_BYTES_MAX + 1);
    await expect(readCheckpoint(path)).rejects.toThrow('too large');
    await rm(path);
  });

  test('a training whose states cannot fit is refused before it begins', () => {
    const check = (dim: number, more = {}) => checkCheckpointSize(path, { dim, ...more }, 65_536);
    expect(() => check(1000)).not.toThrow();
    // Two trainings at least, with three values for each weight.
    expect(() => check(1400)).toThrow(/2202009600 bytes, and checkpoints may have 2147483647/);
    expect(() => check(1400, { encoder: 'linear' })).not.toThrow();
    expect(() => check(3000, { encoder: 'residual-16' })).toThrow('bytes');
    expect(() => check(3000, { encoder: 'linear', optimizer: 'lars' })).not.toThrow();
    expect(() => check(8, { optimizer: 'adam', encoder: 'mlp-1-3000' })).toThrow('bytes');
  });
});

test.each([
  ['a header longer than the file', 2 ** 21, 100, 2 ** 20],
  ['a header longer than any text', 2 ** 30, 100, 2 ** 30 + 100],
  ['more bytes than any checkpoint', 2, 100, 2 ** 32],
])('%s is refused before it is read', async (_, headerBytes, written, sizeBytes) => {
  const head = Buffer.alloc(written);
  head.write('TLDRCKP1');
  head.writeUInt32LE(headerBytes, 8);
  await writeFile(path, head);
  await truncate(path, sizeBytes);
  const before = process.resourceUsage().maxRSS;
  await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  expect(process.resourceUsage().maxRSS - before).toBeLessThan(200 * 1024);
});

test.each([
  ['a size that is no whole number', { sizes: [0.5], slots: 0 }],
  ['a negative size', { sizes: [-1, 1], slots: 0 }],
  ['too many slots', { sizes: [0], slots: 2 ** 40 }],
  ['no size', { sizes: [null], slots: 0 }],
])('a state with %s is refused', async (_, { sizes, slots }) => {
  const header = Buffer.from(JSON.stringify({ step: 1, fingerprint: 'f', lossHistory: [], sizes, slots }));
  const inner = framed('TLDRTRN1', header);
  const outer = Buffer.from(
    JSON.stringify({ sampleIds: null, states: [{ name: 'tldr', sizeBytes: inner.length }] }),
  );
  await writeFile(path, Buffer.concat([framed('TLDRCKP1', outer), inner]));
  await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
});

test('a signal ends the reading', async () => {
  await writeCheckpoint(path, { sampleIds: null, states: new Map([['tldr', state(1)]]) });
  await expect(readCheckpoint(path, undefined, AbortSignal.abort())).rejects.toMatchObject({
    code: 'ABORTED',
  });
});

function framed(magic: string, header: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([Buffer.from(magic), length, header]);
}
