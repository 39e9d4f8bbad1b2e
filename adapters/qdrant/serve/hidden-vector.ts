import type { ServedCollection } from '../../../src/store/served.js';

/**
 * The compact vector of the two-stage layout is hidden from clients. If a client names it, the proxy sends a
 * name that no vector of the target has. So the server answers as for the original collection, which had no
 * such vector.
 */

type Vectors = Pick<ServedCollection, 'layout' | 'compact' | 'visibleVectors'>;

/** Returns a name that no vector of the target has. */
export function absentVector({
  compact,
  visibleVectors,
}: Pick<Vectors, 'compact' | 'visibleVectors'>): string {
  let name = `${compact}-`;
  while (visibleVectors.includes(name)) name += '-';
  return name;
}

/** Returns the name that the proxy sends for a client's vector name. */
export function serverVector(name: string, served: Vectors): string {
  return served.layout === 'two-stage' && name === served.compact ? absentVector(served) : name;
}

/**
 * Returns a function that gives the server's name for a vector that a client deletes. The server deletes vectors in any order until
 * one does not exist. If it stopped between the full and the compact vector, the point would keep only one of
 * them. If a client names the hidden vector, the full one gets a missing name too, so that neither is
 * deleted.
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

/**
 * Returns an error's text as the server would write it for the original collection, without the hidden
 * vector.
 */
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
  const [, before, name] = /^(.*Vector with name )`(.*)` is not configured/s.exec(head) ?? [];
  if (before === undefined || name === undefined) return named;
  const shown = name === absent ? compact : name;
  // For a collection with only a default vector, the server lists no names.
  if (visibleVectors.every((visible) => visible === '')) return `${before}${shown}${UNCONFIGURED}`;
  const visible = names.split(', ').filter((one) => one !== compact);
  return `${before}\`${shown}\`${UNCONFIGURED}${AVAILABLE}${visible.join(', ')}`;
}

/** Returns an error's text in the same way if the vector may belong to any of the collections. */
export function withClientVectors(text: string, collections: readonly Vectors[]): string {
  return collections.reduce((changed, served) => withClientVector(changed, served), text);
}
