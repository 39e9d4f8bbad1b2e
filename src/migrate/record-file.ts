import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';
import { parseRecord } from './migration-record.js';
import { holderOf, lockRecord } from './record-lock.js';
import type { RecordPlace } from './record-place.js';
import { parseTuning, UNTUNED } from './tuning.js';
import { replaceFile } from './whole-file.js';

/** A record in a file, with `<path>.lock`, `<path>.pause` and `<path>.tuning` beside it. */
export function recordFile(path: string): RecordPlace {
  const pausePath = `${path}.pause`;
  const tuningPath = `${path}.tuning`;
  return {
    label: path,
    read: async () => {
      const text = await readText(path);
      return text === null ? null : parseRecord(text, path);
    },
    write: (record) => writeText(path, JSON.stringify(record, null, 1)),
    remove: async () => {
      await rm(pausePath, { force: true });
      await rm(tuningPath, { force: true });
      await rm(path, { force: true });
    },
    lock: async () => ({ unlock: await lockRecord(path), signal: new AbortController().signal }),
    holder: () => holderOf(path),
    setPaused: async (paused) => {
      if (paused) await writeFile(pausePath, 'stop at the next batch\n');
      else await rm(pausePath, { force: true });
    },
    isPaused: () =>
      access(pausePath).then(
        () => true,
        () => false,
      ),
    readTuning: async () => {
      const text = await readText(tuningPath);
      return text === null ? UNTUNED : parseTuning(text, tuningPath);
    },
    writeTuning: (tuning) => writeText(tuningPath, JSON.stringify(tuning)),
  };
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ENOENT')
      return null;
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot read the migration record ${path}: ${why}`, { cause });
  }
}

async function writeText(path: string, text: string): Promise<void> {
  try {
    await replaceFile(path, `${text}\n`);
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot write the migration record ${path}: ${why}`, { cause });
  }
}
