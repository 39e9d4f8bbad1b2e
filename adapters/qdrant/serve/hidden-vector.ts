import type { ServedCollection } from '../../../src/store/served.js';

/**
 * The compact vector of the two-stage layout is hidden: if a client names it, the server gets a name in its place that
 * no vector of the target has. So the server answers as the original collection did, which had no such vector.
 */

type Vectors = Pick<ServedCollection, 'layout' | 'compact' | 'visibleVectors'>;

/** A name that no vector of the target has. */
export function absentVector({
  compact,
  visibleVectors,
}: Pick<Vectors, 'compact' | 'visibleVectors'>): string {
  let name = `${compact}-`;
  while (visibleVectors.includes(name)) name += '-';
  return name;
}

/** The name that the server gets for a vector that a client names. */
export function serverVector(name: string, served: Vectors): string {
  return served.layout === 'two-stage' && name === served.compact ? absentVector(served) : name;
}

/**
 * The same for the names of vectors to delete. The server deletes them in any order until one does not exist. If it
 * stopped between the full vector and the compact one, the point would have only one of them: then none is deleted.
 */
export function renamedDeletions(
  names: readonly string[],
  served: Vectors & Pick<ServedCollection, 'vector'>,
): (name: string) => string {
  const fails = names.some((name) => serverVector(name, served) !== name);
  return (name) => (fails && name === served.vector ? absentVector(served) : serverVector(name, served));
}

const MISSING = 'Not existing vector name error: ';
const NAMED = 'Vector with name ';
const UNCONFIGURED = ' is not configured in this collection';
const AVAILABLE = ', available names: ';

/** An error's text as the server of the original collection would write it, which has no hidden vector. */
export function withClientVector(text: string, served: Vectors): string {
  if (served.layout !== 'two-stage') return text;
  const { compact, visibleVectors } = served;
  const absent = absentVector(served);
  if (text.endsWith(`${MISSING}${absent}`)) return text.slice(0, -absent.length) + compact;
  const named = text.replaceAll(
    `${NAMED}${JSON.stringify(absent)}`,
    () => `${NAMED}${JSON.stringify(compact)}`,
  );
  const [head, names] = named.split(AVAILABLE);
  if (head?.endsWith(UNCONFIGURED) !== true || names === undefined) return named;
  const [before = '', name = ''] =
    /^(.*Vector with name )`(.*)` is not configured/s.exec(head)?.slice(1) ?? [];
  const shown = name === absent ? compact : name;
  // A collection with nothing but a default vector has no names to tell.
  if (visibleVectors.every((visible) => visible === '')) return `${before}${shown}${UNCONFIGURED}`;
  const visible = names.split(', ').filter((one) => one !== compact);
  return `${before}\`${shown}\`${UNCONFIGURED}${AVAILABLE}${visible.join(', ')}`;
}

/** The same where the vector may be that of any of the collections. */
export function withClientVectors(text: string, collections: readonly Vectors[]): string {
  return collections.reduce((changed, served) => withClientVector(changed, served), text);
}
