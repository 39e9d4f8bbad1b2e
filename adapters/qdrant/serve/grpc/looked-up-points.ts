import { expectDefined, TldrError } from '../../../../src/core/errors.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import type { GrpcCall } from '../../../../src/serve/protocol.js';
import { eachVector, retrievedId, selector } from '../../transport/wire.js';
import { readDense } from './vector.js';
import { uuidId } from '../point-ids.js';
import { ProtoMessage } from '../protobuf/message.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import { Refusal, refuseImpossible } from '../rules.js';

/** The place of the vectors of ids: a LookupLocation with resolved names. */
export interface GrpcLookupPlace {
  readonly collection: string;
  readonly vector: string;
  readonly shardKeys: Uint8Array | null;
}

/** Points of a collection, with one of their vectors or without any. */
type Sought = Omit<GrpcLookupPlace, 'vector'> & { readonly vector: string | null };

interface Lookup {
  readonly place: Sought;
  readonly ids: Map<string, Uint8Array>;
}

/**
 * The points of other collections that a request compares with, one call for each place. A request that needs
 * such points is rewritten twice: the first pass collects their ids, the second uses the answers.
 */
export class GrpcLookups {
  readonly #answers: readonly Uint8Array[] | undefined;
  readonly #lookups = new Map<string, Lookup>();
  readonly #found = new Map<string, ReadonlyMap<string, Uint8Array | null>>();

  constructor(answers: readonly Uint8Array[] | undefined) {
    this.#answers = answers;
  }

  /** Returns the calls whose answers are needed first. */
  calls(): GrpcCall[] {
    if (this.#answers !== undefined) return [];
    return [...this.#lookups.values()].map((lookup) => ({
      path: '/qdrant.Points/Get',
      message: getPoints(lookup),
    }));
  }

  /**
   * Returns the full vector of a point; zeros in the first pass.
   * @throws Refusal in the server's words when the point has none
   */
  vector(place: GrpcLookupPlace, pointId: Uint8Array, served: ServedCollection): Float32Array {
    const found = this.#find(place, pointId);
    if (found === 'unasked') return new Float32Array(served.inputDim);
    if (found === null)
      throw new Refusal(404, `Not found: Vector with name "${place.vector}" for point not found`);
    return readDense(new ProtoMessage(found), served).values;
  }

  /** Checks in the second pass that a point exists. @throws Refusal in the server's words */
  require({ collection, shardKeys }: Omit<Sought, 'vector'>, pointId: Uint8Array): void {
    this.#find({ collection, shardKeys, vector: null }, pointId);
  }

  /** Returns the bytes of a point's vector; null if it has none. */
  #find(place: Sought, pointId: Uint8Array): Uint8Array | 'unasked' | null {
    refuseImpossible(place.collection);
    const key = idKey(pointId);
    this.#lookup(place).ids.set(key, pointId);
    if (this.#answers === undefined) return 'unasked';
    const found = this.#points(place).get(key);
    if (found === undefined) throw new Refusal(404, `Not found: No point with id ${key} found`);
    return found;
  }

  #lookup(place: Sought): Lookup {
    const key = placeKey(place);
    const known = this.#lookups.get(key) ?? { place, ids: new Map<string, Uint8Array>() };
    this.#lookups.set(key, known);
    return known;
  }

  /** Returns the points of a place. Answers have the order in which both passes meet the places. */
  #points(place: Sought): ReadonlyMap<string, Uint8Array | null> {
    const key = placeKey(place);
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const answer = this.#answers?.[[...this.#lookups.keys()].indexOf(key)];
    if (answer === undefined) throw new TldrError('INTERNAL', 'a lookup was not answered');
    const points = new Map<string, Uint8Array | null>();
    for (const result of new ProtoMessage(answer).all(1)) {
      let found: Uint8Array | null = null;
      eachVector(result, (name, value) => {
        if (name === place.vector) found = value;
      });
      points.set(String(retrievedId(result)), found);
    }
    this.#found.set(key, points);
    return points;
  }
}

function placeKey({ collection, vector, shardKeys }: Sought): string {
  return JSON.stringify([collection, vector, Buffer.from(shardKeys ?? []).toString('latin1')]);
}

/** GetPoints: collection_name 1, ids 2, with_payload 4, with_vectors 5 (include 2: names 1), shard_key_selector 7. */
function getPoints({ place, ids }: Lookup): Uint8Array {
  const out = new ProtoBuilder().text(1, place.collection);
  for (const id of ids.values()) out.bytes(2, id);
  out.bytes(4, selector(false).finish());
  if (place.vector === null) out.bytes(5, selector(false).finish());
  else out.bytes(5, new ProtoBuilder().bytes(2, new ProtoBuilder().text(1, place.vector)));
  if (place.shardKeys !== null) out.bytes(7, place.shardKeys);
  return out.finish();
}

/** Returns a PointId (num 1, uuid 2) as the server writes it in answers and errors. */
function idKey(pointId: Uint8Array): string {
  const message = new ProtoMessage(pointId);
  const span = message.variant([1, 2]);
  if (span === null) throw new Refusal(400, 'No ID options provided');
  if (span.field === 1) return String(expectDefined(message.varint(1), 'the number of an id'));
  const text = expectDefined(message.text(2), 'the UUID of an id');
  const id = uuidId(text);
  if (id === null) throw new Refusal(400, `Unable to parse UUID: ${text}`);
  return String(id);
}
