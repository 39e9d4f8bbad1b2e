import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { FRESH, type MigrationState } from '../../../src/migrate/state/migration-state.js';
import { readIfThere, replaceFile, STATE_FILE_BYTES_MAX } from '../../../src/migrate/state/replace-file.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-size-'));
afterAll(() => rm(folder, { recursive: true }));
const path = join(folder, 'state.json');
const place = stateFile(path);

/** A state whose size the length of a name decides. */
function state(nameLength: number): MigrationState {
  return {
    ...FRESH,
    version: 3,
    phase: 'copying',
    ranges: [],
    journal: 'j'.repeat(nameLength),
    sourceEndpoint: 'http://a',
    targetEndpoint: 'http://a',
    sourceCollection: 's',
    targetCollection: 't',
    vectorName: '',
    compactName: '',
    layout: 'compact',
    encoderFingerprint: 'e',
  };
}

test('the largest migration state can be read again, a larger one is refused and the old one stays', async () => {
  await place.write(state(1));
  const largest = STATE_FILE_BYTES_MAX - (await stat(path)).size + 1;
  await expect(place.write(state(largest + 1))).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringMatching(/state\.json is not written: it would have 268435457 bytes/),
  });
  expect((await place.read())?.journal).toBe('j');
  await place.write(state(largest));
  expect((await stat(path)).size).toBe(STATE_FILE_BYTES_MAX);
  expect((await place.read())?.journal).toHaveLength(largest);
  await truncate(path, STATE_FILE_BYTES_MAX + 1);
  await expect(place.read()).rejects.toThrow('too large');
  await rm(path);
});

test('bytes are counted, not characters', async () => {
  const half = STATE_FILE_BYTES_MAX / 2;
  await expect(replaceFile(path, 'é'.repeat(half + 1))).rejects.toMatchObject({ hint: 'fewer-ranges' });
  expect(await readIfThere(path)).toBeNull();
});
