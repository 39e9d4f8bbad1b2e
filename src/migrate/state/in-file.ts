import { access, rm } from 'node:fs/promises';
import { messageOf, TldrError } from '../../core/errors.js';
import { parseMigrationState, stateText } from './migration-state.js';
import { holderOf, lockFile } from './lock.js';
import type { StateLocation } from './location.js';
import { parseThrottleSettings, UNTHROTTLED } from '../throttle/settings.js';
import { readIfThere, removeLeftovers, replaceFile } from './replace-file.js';

/**
 * Returns the location of a migration state in a file. Beside it are `<path>.lock`, `<path>.pause` and
 * `<path>.tuning`, and the states of several workers in `<path>.worker-<index>-of-<of>`.
 * @example
 * ```ts
 * import { stateFile } from 'qdrant-tldr';
 *
 * const place = stateFile('docs.migration.json');
 * console.log(await place.read()); // null before the migration
 * ```
 */
export function stateFile(path: string): StateLocation {
  const [pausePath, tuningPath] = [`${path}.pause`, `${path}.tuning`];
  const shared: Pick<StateLocation, 'setPaused' | 'isPaused' | 'readTuning' | 'writeTuning'> = {
    setPaused: async (paused) => {
      if (paused) await writeText(pausePath, () => 'stop at the next batch');
      else await rm(pausePath, { force: true });
    },
    isPaused: () =>
      access(pausePath).then(
        () => true,
        () => false,
      ),
    readTuning: async () => {
      const text = await readText(tuningPath);
      return text === null ? UNTHROTTLED : parseThrottleSettings(text, tuningPath);
    },
    writeTuning: (tuning) => writeText(tuningPath, () => JSON.stringify(tuning)),
  };
  const placeAt = (at: string): Omit<StateLocation, 'share' | 'remove'> => ({
    ...shared,
    label: at,
    kept: 'file',
    read: async () => {
      const text = await readText(at);
      return text === null ? null : parseMigrationState(text, at);
    },
    write: (state) => writeText(at, () => stateText(state, 1)),
    lock: async () => {
      const unlock = await lockFile(at);
      try {
        await removeLeftovers(at);
      } catch (error) {
        await unlock();
        throw error;
      }
      return { unlock, signal: new AbortController().signal };
    },
    holder: () => holderOf(at),
  });
  const share: StateLocation['share'] = ({ index, of }) => {
    const at = `${path}.worker-${index}-of-${of}`;
    return { ...placeAt(at), share, remove: () => rm(at, { force: true }) };
  };
  const remove = async (): Promise<void> => {
    for (const file of [pausePath, tuningPath, path]) await rm(file, { force: true });
  };
  return { ...placeAt(path), share, remove };
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readIfThere(path);
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot read the migration state ${path}: ${why}`, { cause });
  }
}

/** @param text makes the content; for one of more than 512 Mi characters, this throws */
async function writeText(path: string, text: () => string): Promise<void> {
  try {
    await replaceFile(path, `${text()}\n`);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    const why = messageOf(cause);
    throw new TldrError('INVALID_ARGUMENT', `cannot write the migration state ${path}: ${why}`, { cause });
  }
}
