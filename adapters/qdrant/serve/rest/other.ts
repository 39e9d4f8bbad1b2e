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

/** Searches that may look up points of another collection, with their structures. */
const STRUCTURE: Readonly<Partial<Record<BodyKind, Structure>>> = {
  query: STRUCTURES.query,
  'query batch': STRUCTURES.query,
  'query groups': STRUCTURES.query,
  'search groups': STRUCTURES.search,
  recommend: STRUCTURES.recommend,
  'recommend batch': STRUCTURES.recommend,
  'recommend groups': STRUCTURES.recommend,
  discover: STRUCTURES.discover,
  'discover batch': STRUCTURES.discover,
};

/** Returns whether a search of a collection that is not served may look up points in a served one. */
export function mayLookUp(kind: BodyKind): boolean {
  return STRUCTURE[kind] !== undefined;
}

/**
 * Returns a search of a collection that is not served, with the server's names of the places in which it
 * looks up points. A body that the server could not read stays unchanged.
 * @throws Refusal when the full vectors to look up are not stored
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
  if (from !== undefined && place?.served === true) source.replace(from, lookupPlaceJson(place));
  const lookup = valueOf(fields, 'with_lookup');
  const text = lookup === undefined ? null : withLookupText(lookup, collections, source);
  if (lookup !== undefined && text !== null) source.replace(lookup, text);
  for (const inner of oneOrMany(valueOf(fields, 'prefetch'), source))
    rewriteSearch(inner, STRUCTURES.prefetch, places);
}
