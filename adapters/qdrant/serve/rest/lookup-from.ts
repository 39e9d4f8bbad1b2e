import type { ServedCollection } from '../../../../src/store/served.js';
import type { LookupAnswer, RestRequest } from '../../../../src/serve/protocol.js';
import { scanJson, type JsonNode } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { elementsOf, entryOf, fieldsOf, STRUCTURES, stringOf, textOf, valueOf } from './structures.js';
import { lookupPlace, Refusal, refuseImpossible, type LookupPlace } from '../rules.js';

/** The place of the vectors of ids, if it is not the searched collection. */
export interface RestLookupPlace extends LookupPlace {
  /** The shard key as the client wrote it; '' for none. */
  readonly shardKey: string;
}

/**
 * @param otherwise the vector to look up if none is named
 * @throws Refusal for a collection or a vector that clients must not see
 */
export function readLookup(
  node: JsonNode | undefined,
  otherwise: string,
  { collections, source }: { readonly collections: readonly ServedCollection[]; readonly source: ByteEdits },
): RestLookupPlace | null {
  if (node === undefined) return null;
  const fields = fieldsOf(node, STRUCTURES.lookup, source);
  const name = textOf(fields, 'collection', source);
  if (name === undefined) return null;
  const shardKey = valueOf(fields, 'shard_key');
  return {
    ...lookupPlace(name, textOf(fields, 'vector', source) ?? otherwise, collections),
    shardKey: shardKey === undefined ? '' : source.raw(shardKey),
  };
}

/** Returns a place as JSON, with `vector` in place of its vector if given. */
export function lookupPlaceJson(
  { collection, shardKey, ...place }: RestLookupPlace,
  vector = place.vector,
): string {
  const key = shardKey === '' ? '' : `,"shard_key":${shardKey}`;
  return `{"collection":${asciiJson(collection)},"vector":${asciiJson(vector)}${key}}`;
}

/** Points of a collection, with one of their vectors or without any. */
type Sought = Pick<RestLookupPlace, 'collection' | 'shardKey'> & { readonly vector: string | null };

interface Group {
  readonly place: Sought;
  readonly ids: string[];
  answer: ReadonlyMap<string, Float32Array | null> | null;
}

/** Vectors of points of other collections: requested in a first pass over the request, used in the second. */
export class Lookups {
  readonly #groups = new Map<string, Group>();
  readonly #answers: readonly LookupAnswer[] | undefined;
  /** Query string of the client's address. Its consistency and timeout apply to these reads too. */
  readonly #search: string;
  #described: string | null = null;

  constructor(answers: readonly LookupAnswer[] | undefined, search: string) {
    this.#answers = answers;
    this.#search = search;
  }

  /**
   * Returns the vector of a point; null in the first pass.
   * @throws Refusal in the server's words when the point has none
   */
  vectorOf(place: RestLookupPlace, id: JsonNode, source: ByteEdits): Float32Array | null {
    const vector = this.#find(place, id, source);
    if (vector === 'missing')
      throw new Refusal(404, `Not found: Vector with name "${place.vector}" for point not found`);
    return vector;
  }

  /** Checks in the second pass that a point exists. @throws Refusal in the server's words */
  require({ collection, shardKey }: Omit<Sought, 'vector'>, id: JsonNode, source: ByteEdits): void {
    this.#find({ collection, shardKey, vector: null }, id, source);
  }

  /** Returns a point's vector, or 'missing' if it has none; null in the first pass. */
  #find(place: Sought, id: JsonNode, source: ByteEdits): Float32Array | 'missing' | null {
    refuseImpossible(place.collection);
    const { collection, vector, shardKey } = place;
    const key = JSON.stringify([collection, vector, shardKey]);
    const group = this.#groups.get(key) ?? {
      place,
      ids: [],
      answer: this.#answered(this.#groups.size, vector),
    };
    this.#groups.set(key, group);
    if (group.answer === null) {
      group.ids.push(source.raw(id));
      return null;
    }
    const idText = id.kind === 'string' ? stringOf(id, source) : source.read(id);
    const found = group.answer.get(canonicalId(idText));
    if (found === undefined) throw new Refusal(404, `Not found: No point with id ${idText} found`);
    return found ?? 'missing';
  }

  /** Returns the answer to GET of a collection; null in the first pass. Not combined with `vectorOf`. */
  descriptionOf(collection: string): Uint8Array | null {
    const answer = this.#answers?.[0];
    if (answer !== undefined) return answer.body;
    this.#described = collection;
    return null;
  }

  /** Returns the requests that must be answered before the second pass. */
  requests(): readonly RestRequest[] {
    if (this.#answers !== undefined) return [];
    if (this.#described !== null) {
      const url = `/collections/${encodeURIComponent(this.#described)}`;
      return [{ method: 'GET', url, body: new Uint8Array(0) }];
    }
    return [...this.#groups.values()].map(({ place, ids }) => ({
      method: 'POST',
      url: `/collections/${encodeURIComponent(place.collection)}/points${this.#search}`,
      body: Buffer.from(
        `{"ids":[${ids.join()}],"with_payload":false,"with_vector":${place.vector === null ? 'false' : `[${asciiJson(place.vector)}]`}${place.shardKey === '' ? '' : `,"shard_key":${place.shardKey}`}}`,
        'latin1',
      ),
    }));
  }

  #answered(index: number, vector: string | null): Group['answer'] {
    const answer = this.#answers?.[index];
    if (answer === undefined) return null;
    const source = new ByteEdits(answer.body);
    const result = entryOf(scanJson(answer.body), 'result');
    const found = new Map<string, Float32Array | null>();
    for (const point of elementsOf(result, source)) {
      const id = entryOf(point, 'id');
      if (id === undefined) continue;
      const vectors = entryOf(point, 'vector');
      const named = vectors?.kind === 'object' && vector !== null ? entryOf(vectors, vector) : vectors;
      const idText = id.kind === 'string' ? stringOf(id, source) : source.read(id);
      found.set(canonicalId(idText), named?.kind === 'numbers' ? named.values : null);
    }
    return found;
  }
}

/** Returns the same text for all forms of an id. */
function canonicalId(text: string): string {
  return /^\d+$/.test(text)
    ? text.replace(/^0+(?=\d)/, '')
    : text.replace(/^urn:uuid:|[{}-]/gi, '').toLowerCase();
}
