import leven from 'leven';
import { TldrError } from '../core/errors.js';

/** Most names that an error suggests. */
const SUGGESTED_MAX = 3;
/** A store with so few collections has them all named if none is near. */
const LISTED_MAX = 5;

/**
 * Returns the error for a collection that does not exist, with the names that may have been meant.
 * @param known the names of the store's collections and aliases; null if they cannot be read
 */
export function missingCollection(
  name: string,
  { endpoint, known }: { readonly endpoint: string; readonly known: readonly string[] | null },
): TldrError {
  const nearest = known === null ? [] : nearestNames(name, known);
  const fields = { collection: name, nearest };
  return new TldrError(
    'NOT_FOUND',
    `collection ${name} does not exist on ${endpoint}${suggestion(nearest, known)}`,
    fields,
  );
}

/** Returns the names that are like this one, the nearest first. */
function nearestNames(name: string, known: readonly string[]): string[] {
  const plain = comparable(name);
  const allowed = Math.max(1, Math.ceil(plain.length / 3));
  return known
    .map((other) => ({ other, edits: leven(plain, comparable(other), { maxDistance: allowed + 1 }) }))
    .filter(({ other, edits }) => other !== name && edits <= allowed && edits < other.length)
    .sort((a, b) => a.edits - b.edits || (a.other < b.other ? -1 : 1))
    .slice(0, SUGGESTED_MAX)
    .map(({ other }) => other);
}

/** A name without case, hyphens and the like, which are easily mistaken. */
function comparable(name: string): string {
  return name.toLowerCase().replace(/[\s._-]+/g, '_');
}

function suggestion(nearest: readonly string[], known: readonly string[] | null): string {
  if (nearest.length > 0) return `: did you mean ${listed(nearest, 'or')}?`;
  if (known === null) return '';
  if (known.length === 0) return ': it has no collections';
  return known.length <= LISTED_MAX ? `: it has ${listed([...known].sort(), 'and')}` : '';
}

function listed(names: readonly string[], word: 'or' | 'and'): string {
  const quoted = names.map((name) => `"${name}"`);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} ${word} ${last}`;
}
