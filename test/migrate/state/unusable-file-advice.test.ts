import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorText } from '../../../src/cli/console/advice.js';
import {
  checkIdentity,
  FRESH,
  type MigrationIdentity,
  type MigrationState,
} from '../../../src/migrate/state/migration-state.js';
import { lockFile } from '../../../src/migrate/state/lock.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { wholeState } from '../../../src/migrate/state/shares.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-advice-'));
  path = join(folder, 'state.json');
});

afterEach(() => rm(folder, { recursive: true }));

const IDENTITY: MigrationIdentity = {
  sourceEndpoint: 'http://a',
  targetEndpoint: 'http://a',
  sourceCollection: 's',
  targetCollection: 't',
  vectorName: '',
  compactName: '',
  layout: 'compact',
  encoderFingerprint: 'e',
};

function state(ranges: MigrationState['ranges']): MigrationState {
  const counts = { copiedPoints: 0, startedAt: '2026-01-01T00:00:00.000Z' };
  return { ...counts, ...FRESH, ...IDENTITY, version: 3, phase: 'copying', ranges };
}

/** What a user of the command line reads when a call fails. */
function adviceOn(call: () => void): string {
  try {
    call();
  } catch (error) {
    return errorText(error);
  }
  return '';
}

describe('what is said of files that cannot be used names what is lost with them', () => {
  test.each(['{', '[]', '{"version": 1}', '{"version": 3}'])('a state that is %s', async (text) => {
    await writeFile(path, text);
    const error: unknown = await stateFile(path)
      .read()
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'INVALID_DATA', hint: 'restore-state' });
    expect(errorText(error)).toMatch(
      /restore the migration state from a backup.*which journal holds their writes.*do not delete the source/,
    );
  });

  test('the state of another migration', () => {
    const other = { ...IDENTITY, sourceCollection: 'other' };
    expect(adviceOn(() => checkIdentity(state([]), other, path))).toMatch(
      /another --record for this one, and keep that state until the other migration is complete/,
    );
  });

  test('a part of another state', async () => {
    const place = stateFile(path);
    const range = { partition: null, from: null, to: null, cursor: null, complete: false, points: 0 };
    const whole = { ...state([range]), split: 1 };
    const of = { index: 1, of: 1 };
    await place.share(of).write(state([{ ...range, to: '7' }]));
    await expect(wholeState(whole, place)).rejects.toThrow(/is copied again, nothing else is lost/);
  });

  test('settings of the load', async () => {
    await writeFile(`${path}.tuning`, '{');
    const error: unknown = await stateFile(path)
      .readTuning()
      .catch((cause: unknown) => cause);
    expect(errorText(error)).toMatch(/it holds these two settings, nothing else is lost/);
  });

  test('a lock that is no file, and one of an earlier version', async () => {
    await mkdir(`${path}.lock`);
    await expect(lockFile(path)).rejects.toThrow(path);
    await rm(`${path}.lock`, { recursive: true });
    await writeFile(`${path}.lock`, JSON.stringify({ pid: 1, host: 'h', startedAt: 'then' }));
    await expect(lockFile(path)).rejects.toThrow(
      /two processes write .*, and what one of them writes there is lost/,
    );
  });
});
