import type { Job, ServedJob } from './rewrite-job.js';
import type { GrpcLookupPlace } from './looked-up-points.js';
import { ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { fullNotStored, lookupPlace, type LookupPlace } from '../rules.js';

/** LookupLocation: collection_name 1, vector_name 2 (default: the stage's `using`), shard_key_selector 3. */
const COLLECTION = 1;
export const LOOKUP_VECTOR = 2;
const SHARD_KEYS = 3;

interface LookupFrom {
  readonly place: GrpcLookupPlace & LookupPlace;
  /** The location with the server's names. */
  readonly renamed: Uint8Array | ProtoBuilder;
}

function readLookupFrom(bytes: Uint8Array, using: string, job: Job): LookupFrom {
  const message = new ProtoMessage(bytes);
  const asked = message.text(LOOKUP_VECTOR) ?? using;
  const shardKeys = message.bytes(SHARD_KEYS);
  const place = { ...lookupPlace(message.textOrEmpty(COLLECTION), asked, job.collections), shardKeys };
  if (place.served === null) return { place, renamed: bytes };
  const renamed = renameIn(message, COLLECTION, place.collection);
  // If a field is repeated, the last one counts.
  const isSame = place.vector === asked;
  return {
    place,
    renamed: isSame ? renamed : new ProtoBuilder().raw(renamed).text(LOOKUP_VECTOR, place.vector),
  };
}

/** Returns the place in which `lookup_from` looks up points. */
export function grpcLookupPlaceOf(bytes: Uint8Array, job: Job): GrpcLookupPlace {
  return readLookupFrom(bytes, '', job).place;
}

/** Returns a message with another name in a text field. */
export function renameIn(message: ProtoMessage, field: number, name: string): Uint8Array | ProtoBuilder {
  if (message.text(field) === name) return message.raw;
  return edited(message, new Map([[field, () => Buffer.from(name)]]));
}

/**
 * Returns the edit of `lookup_from` in a stage that compares full vectors.
 * @throws Refusal when these are not stored
 */
export function fullLookup(using: string, job: Job): FieldEdit {
  return (bytes) => {
    const { renamed, place } = readLookupFrom(bytes, using, job);
    if (place.reduced?.layout === 'compact') throw fullNotStored(place.reduced);
    return renamed;
  };
}

/** How ids are resolved in the compact space: by the server, or replaced by vectors. */
export interface CompactIds {
  readonly ids: 'keep' | GrpcLookupPlace;
  readonly lookupFrom: ProtoBuilder | null;
}

/**
 * Returns the compact counterpart of a stage's `lookup_from`; null if the stage has none.
 * @throws Refusal when the full vectors to look up are not stored
 */
export function compactLookup(bytes: Uint8Array | null, job: ServedJob): CompactIds {
  if (bytes === null) return { ids: 'keep', lookupFrom: null };
  const { served } = job;
  const { place } = readLookupFrom(bytes, served.vector, job);
  const { reduced } = place;
  if (reduced === null) return { ids: place, lookupFrom: null };
  const sameSpace = reduced.projector.fingerprint === served.projector.fingerprint;
  if (reduced.layout === 'compact' && (served.layout === 'two-stage' || !sameSpace))
    throw fullNotStored(reduced);
  if (!sameSpace) return { ids: place, lookupFrom: null };
  const lookupFrom = new ProtoBuilder()
    .text(COLLECTION, place.collection)
    .text(LOOKUP_VECTOR, reduced.compact);
  if (place.shardKeys !== null) lookupFrom.bytes(SHARD_KEYS, place.shardKeys);
  return { ids: 'keep', lookupFrom };
}
