import type { ServedCollection } from '../../../../src/store/served.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan.js';
import { ByteEdits } from '../json/byte-edits.js';
import {
  BadBody,
  elementsOf,
  fieldsOf,
  oneOrMany,
  STRUCTURES,
  textOf,
  valueOf,
  type Structure,
} from './fields.js';
import { lookupPlaceJson, readLookup } from './lookup.js';
import type { BodyKind } from './routes.js';
import { withLookupText } from './stage.js';
import { fullNotStored } from '../rules.js';

/** Searches that may take points of another collection, and how each is written. */
const STRUCTURE: Readonly<Partial<Record<BodyKind, Structure>>> = {
  ...{ query: STRUCTURES.query, 'query batch': STRUCTURES.query, 'query groups': STRUCTURES.query },
  ...{ 'search groups': STRUCTURES.search, recommend: STRUCTURES.recommend },
  ...{ 'recommend batch': STRUCTURES.recommend, 'recommend groups': STRUCTURES.recommend },
  ...{ discover: STRUCTURES.discover, 'discover batch': STRUCTURES.discover },
};

/** Whether a search of a collection that is not served may look points up in one that is. */
export function mayLookUp(kind: BodyKind): boolean {
  return STRUCTURE[kind] !== undefined;
}

/**
 * A search of a collection that is not served, with the places where it looks points up as the server knows them.
 * What the server could not read stays as it is.
 * @throws Refusal where the vectors looked up are not stored at full size
 */
export function rewriteOther(
  kind: BodyKind,
  body: Uint8Array,
  collections: readonly ServedCollection[],
): Uint8Array {
  const structure = STRUCTURE[kind];
  if (structure === undefined || !namesServed(body, collections)) return body;
  const source = new ByteEdits(body);
  try {
    const root = scanJson(body);
    const searches = kind.endsWith(' batch')
      ? elementsOf(valueOf(fieldsOf(root, STRUCTURES.searches, source), 'searches'), source)
      : [root];
    for (const search of searches) rewriteSearch(search, structure, { collections, source });
  } catch (error) {
    if (error instanceof JsonError || error instanceof BadBody) return body;
    throw error;
  }
  return source.apply();
}

/** Hardly any body does: the others are not parsed. A name with escapes could be any. */
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
  if (from !== undefined && place?.served === true) source.replace(from, lookupPlaceJson(place));
  const lookup = valueOf(fields, 'with_lookup');
  const text = lookup === undefined ? null : withLookupText(lookup, collections, source);
  if (lookup !== undefined && text !== null) source.replace(lookup, text);
  for (const inner of oneOrMany(valueOf(fields, 'prefetch'), source))
    rewriteSearch(inner, STRUCTURES.prefetch, places);
}
