import type { ServedCollection } from '../../../../src/store/served.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan-body.js';
import { ByteEdits } from '../json/byte-edits.js';
import { BadBody, fieldsOf, oneOrMany, STRUCTURES, textOf, valueOf, type Structure } from './structures.js';
import { lookupPlaceJson, readLookup } from './lookup-from.js';
import { searchesOf } from './query.js';
import { withLookupText } from './stage.js';
import { isSearch, type ApiOperation, type Search } from '../operations.js';
import { fullNotStored } from '../rules.js';

/** Returns whether a search of a collection that is not served may look up points in a served one. */
export function mayLookUp(operation: ApiOperation): operation is ApiOperation & Search {
  if (!isSearch(operation)) return false;
  const { lookupFrom, withLookup } = operation.fields;
  return lookupFrom !== undefined || withLookup !== undefined;
}

/**
 * Returns a search of a collection that is not served, with the server's names of the places in which it
 * looks up points. A body that the server could not read stays unchanged.
 * @throws Refusal when the full vectors to look up are not stored
 */
export function rewriteOther(
  search: Search,
  body: Uint8Array,
  collections: readonly ServedCollection[],
): Uint8Array {
  if (!namesServed(body, collections)) return body;
  const structure = STRUCTURES[search.kind === 'query' ? 'query' : search.call];
  const source = new ByteEdits(body);
  try {
    const root = scanJson(body);
    for (const one of searchesOf(root, search.form, source))
      rewriteSearch(one, structure, { collections, source });
  } catch (error) {
    if (error instanceof JsonError || error instanceof BadBody) return body;
    throw error;
  }
  return source.apply();
}

/**
 * Returns whether a body may name a served collection. Few do, and the others are not parsed. Escapes may
 * hide a name.
 */
function namesServed(body: Uint8Array, collections: readonly ServedCollection[]): boolean {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  if (bytes.includes(0x5c)) return true;
  return collections.some(({ names, target }) => [...names, target].some((name) => bytes.includes(name)));
}

function rewriteSearch(
  node: JsonNode,
  structure: Structure,
  places: { readonly collections: readonly ServedCollection[]; readonly source: ByteEdits },
): void {
  const { collections, source } = places;
  const fields = fieldsOf(node, structure, source);
  const from = valueOf(fields, 'lookup_from');
  const place = readLookup(from, textOf(fields, 'using', source) ?? '', places);
  if (place?.reduced?.layout === 'compact') throw fullNotStored(place.reduced);
  if (from !== undefined && place !== null && place.served !== null)
    source.replace(from, lookupPlaceJson(place));
  const lookup = valueOf(fields, 'with_lookup');
  const text = lookup === undefined ? null : withLookupText(lookup, collections, source);
  if (lookup !== undefined && text !== null) source.replace(lookup, text);
  for (const inner of oneOrMany(valueOf(fields, 'prefetch'), source))
    rewriteSearch(inner, STRUCTURES.prefetch, places);
}
