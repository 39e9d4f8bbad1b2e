import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';
import { parseRecord, type MigrationRecord } from './migration-record.js';
import { holderOf, lockRecord } from './record-lock.js';
import type { RecordPlace } from './record-place.js';
import { replaceFile } from './whole-file.js';

/** A record in a file, with `<path>.lock` and `<path>.pause` beside it. */
export function recordFile(path: string): RecordPlace {
  const pausePath = `${path}.pause`;
  return {
    label: path,
    read: async () => {
      const text = await readText(path);
      return text === null ? null : parseRecord(text, path);
    },
    write: async (record) => writeRecord(path, record),
    remove: async () => {
      await rm(pausePath, { force: true });
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

async function writeRecord(path: string, record: MigrationRecord): Promise<void> {
  try {
    await replaceFile(path, `${JSON.stringify(record, null, 1)}\n`);
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot write the migration record ${path}: ${why}`, { cause });
  }
}
