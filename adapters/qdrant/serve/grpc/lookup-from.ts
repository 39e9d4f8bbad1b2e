import type { ServedCollection } from '../../../../src/store/served.js';
import type { Job, ServedJob } from './batch-projector.js';
import type { GrpcLookupPlace } from './lookups.js';
import { serverVector } from '../hidden-vector.js';
import { ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { fullNotStored, refuseTargetLookup, findServed } from '../rules.js';

/** LookupLocation: collection_name 1, vector_name 2 (default: the stage's `using`), shard_key_selector 3. */
const COLLECTION = 1;
export const LOOKUP_VECTOR = 2;
const SHARD_KEYS = 3;

interface LookupFrom {
  readonly place: GrpcLookupPlace;
  /** The location with the server's names. */
  readonly renamed: Uint8Array | ProtoBuilder;
  /** The served collection whose reduced vector is looked up; null for any other vector. */
  readonly source: ServedCollection | null;
}

function readLookupFrom(bytes: Uint8Array, using: string, job: Job): LookupFrom {
  const message = new ProtoMessage(bytes);
  const name = message.textOrEmpty(COLLECTION);
  const asked = message.text(LOOKUP_VECTOR) ?? using;
  const shardKeys = message.bytes(SHARD_KEYS);
  const other = findServed(name, job.collections);
  if (other === null) {
    refuseTargetLookup(name, job.collections);
    return { place: { collection: name, vector: asked, shardKeys }, renamed: bytes, source: null };
  }
  const vector = serverVector(asked, other);
  const renamed = renameIn(message, COLLECTION, other.target);
  return {
    place: { collection: other.target, vector, shardKeys },
    // If a field is repeated, the last one counts.
    renamed: vector === asked ? renamed : new ProtoBuilder().raw(renamed).text(LOOKUP_VECTOR, vector),
    source: vector === other.vector ? other : null,
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
    const { renamed, source } = readLookupFrom(bytes, using, job);
    if (source?.layout === 'compact') throw fullNotStored(source);
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
  const { place, source } = readLookupFrom(bytes, served.vector, job);
  if (source === null) return { ids: place, lookupFrom: null };
  const sameSpace = source.projector.fingerprint === served.projector.fingerprint;
  if (source.layout === 'compact' && (served.layout === 'two-stage' || !sameSpace))
    throw fullNotStored(source);
  if (!sameSpace) return { ids: place, lookupFrom: null };
  const lookupFrom = new ProtoBuilder()
    .text(COLLECTION, place.collection)
    .text(LOOKUP_VECTOR, source.compact);
  if (place.shardKeys !== null) lookupFrom.bytes(SHARD_KEYS, place.shardKeys);
  return { ids: 'keep', lookupFrom };
}
