import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { hashedName } from '../../core/bounded-name.js';
import { parseMigrationState, type MigrationIdentity } from './migration-state.js';
import { readIfThere } from './replace-file.js';

type Pair = Pick<MigrationIdentity, 'sourceCollection' | 'targetCollection'>;

const ENDING = '.json';
/** Longest file name on common systems. */
const FILE_NAME_BYTES_MAX = 255;
/** Longest name of a new file. Files beside it have longer names, and encrypted folders allow 143 bytes. */
const NEW_NAME_BYTES_MAX = 100;

/**
 * Returns the path of a migration state in a folder. Two migrations never have the same path, whatever their
 * collections' names are, even if the file system ignores case. Files of an earlier version are found under
 * their old names.
 */
export async function stateFileIn(folder: string, pair: Pair): Promise<string> {
  const { sourceCollection: source, targetCollection: target } = pair;
  const spelled = `${spell(source)}--${spell(target)}`;
  const spelledPath = join(folder, `${spelled}${ENDING}`);
  // The part before the hash is for people only.
  const start = spelled.replaceAll(/%[0-9A-F]{2}|[^\w-]/g, '_');
  const maxBytes = NEW_NAME_BYTES_MAX - ENDING.length;
  const hashed = hashedName(JSON.stringify([source, target]), { start, maxBytes });
  const hashedPath = join(folder, `${hashed}${ENDING}`);
  if (spelled.length + ENDING.length > FILE_NAME_BYTES_MAX || (await isThere(hashedPath))) return hashedPath;
  const found = await stateAt(spelledPath, pair);
  if (found === 'none') return isUnmistakable(pair, spelled) ? spelledPath : hashedPath;
  return found === 'other' ? hashedPath : spelledPath;
}

/** Returns whether no other pair has the same spelling, ignoring case. */
function isUnmistakable({ sourceCollection, targetCollection }: Pair, spelled: string): boolean {
  const parts = spelled.split('--');
  return (
    spelled.length + ENDING.length <= NEW_NAME_BYTES_MAX &&
    // Windows does not allow an asterisk in file names.
    !/[A-Z*]/.test(sourceCollection + targetCollection) &&
    parts.length === 2 &&
    !spelled.includes('---')
  );
}

/** Returns whose state is at the path. 'own' also if it cannot be read: reading it later reports why. */
async function stateAt(path: string, pair: Pair): Promise<'none' | 'own' | 'other'> {
  try {
    const text = await readIfThere(path);
    if (text === null) return 'none';
    const { sourceCollection, targetCollection } = parseMigrationState(text, path);
    const same = sourceCollection === pair.sourceCollection && targetCollection === pair.targetCollection;
    return same ? 'own' : 'other';
  } catch {
    return 'own';
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Returns the unique spelling of a collection's name that earlier versions used in file names. */
function spell(name: string): string {
  return encodeURIComponent(name).replaceAll('.', '%2E');
}
