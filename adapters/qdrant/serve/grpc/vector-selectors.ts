import type { ServedCollection } from '../../../../src/store/served.js';
import type { Job } from './rewrite-job.js';
import { renameIn } from './lookup-from.js';
import { serverVector } from '../hidden-vector.js';
import { decodeText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { lookedUp, treatWithVector } from '../rules.js';

/** WithVectorsSelector: enable 1 or include 2 (VectorsSelector: names 1). */
const ENABLE = 1;
const INCLUDE = 2;

/** Returns the names in a VectorsSelector: names 1. */
export function readNames(message: ProtoMessage): string[] {
  return message.all(1).map((name) => decodeText(name));
}

/** Returns the edit of a vector's name into the server's name. */
export function vectorName(served: ServedCollection): FieldEdit {
  return (bytes) => {
    const name = decodeText(bytes);
    const known = serverVector(name, served);
    return known === name ? bytes : Buffer.from(known);
  };
}

/** Returns the edit of a WithVectorsSelector for a served collection. */
export function withVectors(served: ServedCollection): FieldEdit {
  return (bytes) => {
    const selection = treatWithVector(readSelector(new ProtoMessage(bytes)), served);
    if (selection === 'keep') return bytes;
    const names = new ProtoBuilder();
    for (const name of selection.names) names.text(1, name);
    return new ProtoBuilder().bytes(INCLUDE, names);
  };
}

function readSelector(message: ProtoMessage): boolean | readonly string[] {
  const span = message.variant([ENABLE, INCLUDE]);
  if (span === null) return false;
  if (span.field === ENABLE) return message.varint(ENABLE) !== 0n;
  if (span.wireType !== 2) throw new Malformed('field 2: invalid wire type');
  return readNames(new ProtoMessage(message.value(span)));
}

/**
 * Returns the edit of a WithLookup of groups, which returns points of another collection: collection 1,
 * with_vectors 3.
 */
export function withLookup(job: Job): FieldEdit {
  return (bytes) => {
    const message = new ProtoMessage(bytes);
    const other = lookedUp(message.textOrEmpty(1), job.collections);
    if (other === null) return bytes;
    message.bytes(3);
    const renamed = renameIn(message, 1, other.target);
    const again = renamed === bytes ? message : new ProtoMessage(finished(renamed));
    return edited(again, new Map([[3, withVectors(other)]]));
  };
}

function finished(value: Uint8Array | ProtoBuilder): Uint8Array {
  return value instanceof ProtoBuilder ? value.finish() : value;
}
