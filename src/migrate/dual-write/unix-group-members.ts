import { join } from 'node:path';
import { messageOf } from '../../core/errors.js';
import { readIfThere } from '../state/replace-file.js';

const ROOT_UID = 0;
/** The group of root. Often its members have root's rights, and in containers it is every user's group. */
const ROOT_GID = 0;
/** Account sources that are `passwd` and `group`, or whose accounts have a group of their own. */
const LOCAL_SOURCES = ['files', 'compat', 'systemd', 'mymachines'];

/**
 * Returns the members of a group other than the user and root, for an error; null if there are none. A user's
 * private group has no other members (the rule of ssh), and neither has a group that only a container's
 * volume knows.
 * @param etc folder of `passwd`, `group` and `nsswitch.conf`
 */
export async function otherMembers(gid: number, uid: number, etc = '/etc'): Promise<string | null> {
  if (gid === ROOT_GID) return null;
  try {
    const elsewhere = await otherSource(etc);
    if (elsewhere !== null) return `users that ${elsewhere} may name`;
    const users = (await rowsOf(join(etc, 'passwd'))).map(([name = '', , id, group]) => ({
      name,
      isOther: Number(id) !== uid && Number(id) !== ROOT_UID,
      isIn: Number(group) === gid,
    }));
    const harmless = new Set(users.filter(({ isOther }) => !isOther).map(({ name }) => name));
    const listed = (await rowsOf(join(etc, 'group')))
      .filter(([, , id]) => Number(id) === gid)
      .flatMap(([, , , members = '']) => members.split(','))
      .filter((name) => name !== '' && !harmless.has(name));
    const primary = users.filter(({ isOther, isIn }) => isOther && isIn).map(({ name }) => name);
    const names = [...new Set([...listed, ...primary])];
    return names.length === 0
      ? null
      : `${names.slice(0, 3).join(', ')}${names.length > 3 ? ' and others' : ''}`;
  } catch (error) {
    return `anybody (its members cannot be read: ${messageOf(error)})`;
  }
}

/** Returns a source of users or groups other than the files, such as a company's directory; null if none. */
async function otherSource(etc: string): Promise<string | null> {
  if (process.platform === 'darwin') return 'the directory service';
  const rows = await rowsOf(join(etc, 'nsswitch.conf'));
  const sources = rows
    .filter(([database]) => database === 'passwd' || database === 'group')
    .flatMap(([, text = '']) => text.replaceAll(/\[[^\]]*\]/g, ' ').split(/\s+/));
  return sources.find((source) => source !== '' && !LOCAL_SOURCES.includes(source)) ?? null;
}

/** Returns the fields of a file's lines; none if there is no file. */
async function rowsOf(path: string): Promise<string[][]> {
  const text = (await readIfThere(path)) ?? '';
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(':').map((field) => field.trim()));
}
