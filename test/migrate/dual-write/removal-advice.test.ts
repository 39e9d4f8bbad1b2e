import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkIdentity,
  FRESH,
  type MigrationIdentity,
  type MigrationState,
} from '../../../src/migrate/state/migration-state.js';
import { lockRecord } from '../../../src/migrate/state/lock.js';
import { recordFile } from '../../../src/migrate/state/in-file.js';
import { wholeRecord } from '../../../src/migrate/state/shares.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-advice-'));
  path = join(folder, 'record.json');
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

function record(ranges: MigrationState['ranges']): MigrationState {
  const counts = { copiedPoints: 0, startedAt: '2026-01-01T00:00:00.000Z' };
  return { ...counts, ...FRESH, ...IDENTITY, version: 3, phase: 'copying', ranges };
}

describe('what is said of files that cannot be used names what is lost with them', () => {
  test.each(['{', '[]', '{"version": 1}', '{"version": 3}'])('a record that is %s', async (text) => {
    await writeFile(path, text);
    await expect(recordFile(path).read()).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringMatching(
        /restore the record from a backup.*which journal holds their writes.*do not delete the source/,
      ),
    });
  });

  test('the record of another migration', () => {
    const other = { ...IDENTITY, sourceCollection: 'other' };
    expect(() => checkIdentity(record([]), other, path)).toThrow(
      /another --record for this one, and keep that record until the other migration is complete/,
    );
  });

  test('a part of another record', async () => {
    const place = recordFile(path);
    const range = { partition: null, from: null, to: null, cursor: null, complete: false, points: 0 };
    const whole = { ...record([range]), split: 1 };
    const of = { index: 1, of: 1 };
    await place.share(of).write(record([{ ...range, to: '7' }]));
    await expect(wholeRecord(whole, place)).rejects.toThrow(/is copied again, nothing else is lost/);
  });

  test('settings of the load', async () => {
    await writeFile(`${path}.tuning`, '{');
    await expect(recordFile(path).readTuning()).rejects.toThrow(
      /it holds these two settings, nothing else is lost/,
    );
  });

  test('a lock that is no file, and one of an earlier version', async () => {
    await mkdir(`${path}.lock`);
    await expect(lockRecord(path)).rejects.toThrow(path);
    await rm(`${path}.lock`, { recursive: true });
    await writeFile(`${path}.lock`, JSON.stringify({ pid: 1, host: 'h', startedAt: 'then' }));
    await expect(lockRecord(path)).rejects.toThrow(
      /two processes write .*, and what one of them records there is lost/,
    );
  });
});
