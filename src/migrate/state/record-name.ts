import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { hashedName } from '../../core/bounded-name.js';
import { parseRecord, type MigrationIdentity } from './migration-state.js';
import { readIfThere } from './whole-file.js';

type Pair = Pick<MigrationIdentity, 'sourceCollection' | 'targetCollection'>;

const ENDING = '.json';
/** Longest name of a file on common systems. */
const FILE_NAME_BYTES_MAX = 255;
/** Longest name of a new record. Names of files beside it are longer, and encrypted folders allow 143 bytes. */
const RECORD_NAME_BYTES_MAX = 100;

/**
 * The path of a migration's record in a folder. Two migrations never have the same, whatever their collections are
 * called, also on a file system that takes upper and lower case for the same. A record of an earlier version is found
 * under the name that it has.
 */
export async function recordFileIn(folder: string, pair: Pair): Promise<string> {
  const { sourceCollection: source, targetCollection: target } = pair;
  const spelled = `${spell(source)}--${spell(target)}`;
  const spelledPath = join(folder, `${spelled}${ENDING}`);
  // The part before the hash is for people alone.
  const start = spelled.replaceAll(/%[0-9A-F]{2}|[^\w-]/g, '_');
  const maxBytes = RECORD_NAME_BYTES_MAX - ENDING.length;
  const hashed = hashedName(JSON.stringify([source, target]), { start, maxBytes });
  const hashedPath = join(folder, `${hashed}${ENDING}`);
  if (spelled.length + ENDING.length > FILE_NAME_BYTES_MAX || (await isThere(hashedPath))) return hashedPath;
  const found = await recordAt(spelledPath, pair);
  if (found === 'none') return isUnmistakable(pair, spelled) ? spelledPath : hashedPath;
  return found === 'other' ? hashedPath : spelledPath;
}

/** Whether no other pair is spelled the same, case aside. */
function isUnmistakable({ sourceCollection, targetCollection }: Pair, spelled: string): boolean {
  const parts = spelled.split('--');
  return (
    spelled.length + ENDING.length <= RECORD_NAME_BYTES_MAX &&
    // Windows takes no asterisk.
    !/[A-Z*]/.test(sourceCollection + targetCollection) &&
    parts.length === 2 &&
    !spelled.includes('---')
  );
}

/** 'own' also for what cannot be read: whoever reads the record says why. */
async function recordAt(path: string, pair: Pair): Promise<'none' | 'own' | 'other'> {
  try {
    const text = await readIfThere(path);
    if (text === null) return 'none';
    const { sourceCollection, targetCollection } = parseRecord(text, path);
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

/** A collection's name as earlier versions spelled it in the name of a file: no two are spelled the same. */
function spell(name: string): string {
  return encodeURIComponent(name).replaceAll('.', '%2E');
}
