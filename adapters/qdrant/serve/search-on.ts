import { parsePath } from './rest-path.js';

/** The address of the same search on another collection; null where none of these names is searched. */
export function searchOn(
  url: string,
  others: ReadonlyMap<string, string>,
): { readonly name: string; readonly url: string } | null {
  const { segments, raw, search } = parsePath(url);
  const name = segments[1] ?? '';
  const other = others.get(name);
  if (segments[0] !== 'collections' || other === undefined) return null;
  return { name, url: `/collections/${encodeURIComponent(other)}/${raw.slice(2).join('/')}${search}` };
}
