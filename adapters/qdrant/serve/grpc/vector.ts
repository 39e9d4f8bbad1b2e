import type { ServedCollection } from '../../../../src/store/served.js';
import { Malformed, ProtoMessage, readFloats } from '../protobuf/message.js';
import { ProtoBuilder } from '../protobuf/builder.js';
import { inferenceRefused, notDense, notSingle, unknownForm } from '../rules.js';

/**
 * Vector (writes, legacy requests) and VectorOutput (answers): an older flat form of data 1, indices 2 and
 * vectors_count 3, and a newer one of which at most one is set: dense 101, sparse 102, multi_dense 103, document 104,
 * image 105, object 106. If both are given, the newer one counts.
 */
const DATA = 1;
const INDICES = 2;
const VECTORS_COUNT = 3;
const DENSE = 101;
const SPARSE = 102;
const MULTI_DENSE = 103;
const NEWER = [DENSE, SPARSE, MULTI_DENSE, 104, 105, 106] as const;
const KNOWN: readonly number[] = [DATA, INDICES, VECTORS_COUNT, ...NEWER];

/** A dense vector and the form it came in. */
export interface DenseValue {
  readonly values: Float32Array;
  readonly form: 'flat' | 'dense';
}

/**
 * Returns the dense vector in a value for the reduced vector.
 * @throws Refusal in the server's words for every other kind
 */
export function readDense(message: ProtoMessage, served: ServedCollection): DenseValue {
  const newer = message.variant(NEWER);
  if (message.spans.some(({ field }) => !KNOWN.includes(field)))
    throw unknownForm(`vector "${served.vector}"`);
  if (newer !== null && newer.wireType !== 2) throw new Malformed(`field ${newer.field}: invalid wire type`);
  switch (newer?.field) {
    case undefined:
      if (message.has(INDICES)) throw notDense('sparse');
      if (message.has(VECTORS_COUNT)) throw notSingle(flatRows(message), served);
      return { values: readFloats(message, DATA), form: 'flat' };
    case DENSE:
      return { values: readFloats(new ProtoMessage(message.value(newer)), 1), form: 'dense' };
    case SPARSE:
      throw notDense('sparse');
    case MULTI_DENSE:
      throw notSingle(rowsOf(message.value(newer)), served);
    default:
      throw inferenceRefused(served);
  }
}

/** Returns the values of a dense vector in either form; null for any other kind. @throws Malformed */
export function denseValues(message: ProtoMessage): Float32Array | null {
  const newer = message.variant(NEWER);
  if (newer === null)
    return message.has(INDICES) || message.has(VECTORS_COUNT) ? null : readFloats(message, DATA);
  return newer.field === DENSE && newer.wireType === 2
    ? readFloats(new ProtoMessage(message.value(newer)), 1)
    : null;
}

/** Returns whether a Vector is sparse. */
export function isSparse(message: ProtoMessage): boolean {
  const newer = message.variant(NEWER);
  return newer === null ? message.has(INDICES) : newer.field === SPARSE;
}

/** Returns the rows of a MultiDenseVector: vectors 1, of data 1 each. */
export function rowsOf(bytes: Uint8Array): Float32Array[] {
  return new ProtoMessage(bytes).all(1).map((row) => readFloats(new ProtoMessage(row), 1));
}

/**
 * Returns the first row of the older form. It is enough to check the size, since all rows are equally long.
 */
function flatRows(message: ProtoMessage): Float32Array[] {
  const values = readFloats(message, DATA);
  const count = Number(message.varint(VECTORS_COUNT) ?? 1n);
  return [values.subarray(0, Math.floor(values.length / Math.max(count, 1)))];
}

/** Returns a Vector of packed floats in the form of the original. */
export function vectorOf(floats: Uint8Array, form: DenseValue['form']): ProtoBuilder {
  const data = new ProtoBuilder().bytes(DATA, floats);
  return form === 'flat' ? data : new ProtoBuilder().bytes(DENSE, data);
}
