import type { ServedCollection } from '../../../../src/store/served.js';
import type { SlotForm, VectorSlots } from '../vector-slots.js';
import type { GrpcLookups } from './looked-up-points.js';

/** The bytes of a compact vector. They may be built into messages at once, but not read before they are written. */
export const FLOAT_SLOTS: SlotForm<Uint8Array> = {
  create: (outputDim) => new Uint8Array(outputDim * Float32Array.BYTES_PER_ELEMENT),
  write: (slot, { buffer, byteOffset, byteLength }) =>
    slot.set(new Uint8Array(buffer, byteOffset, byteLength)),
};

/** One request that is being rewritten. */
export interface Job {
  readonly collections: readonly ServedCollection[];
  /** The collection that the request addresses; null if it is not served. */
  readonly served: ServedCollection | null;
  readonly lookups: GrpcLookups;
}

/** A request to a served collection. */
export interface ServedJob extends Job {
  readonly served: ServedCollection;
  readonly slots: VectorSlots<Uint8Array>;
}

export function isServed(job: Job): job is ServedJob {
  return job.served !== null;
}
