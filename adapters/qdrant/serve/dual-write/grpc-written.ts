import { expectDefined } from '../../../../src/core/errors.js';
import type { WrittenVector } from './followable.js';
import type { MethodRule } from '../grpc/methods.js';
import { denseValues } from '../grpc/vector.js';
import { ProtoMessage } from '../protobuf/message.js';

/** Vectors in a PointStruct and in a PointVectors. */
const POINT_STRUCT = 4;
const POINT_VECTORS = 2;

/**
 * Operations of a PointsUpdateOperation that write vectors (points 1 of each), and the field of the vectors.
 */
const OPERATIONS: ReadonlyMap<number, number> = new Map([
  [1, POINT_STRUCT],
  [7, POINT_VECTORS],
]);

/**
 * Returns every dense vector that a request writes.
 * @throws Refusal for a message that the server cannot decode
 */
export function grpcWrittenVectors(message: ProtoMessage, rule: MethodRule | undefined): WrittenVector[] {
  if (rule?.kind === 'write') return ofPoints(message, rule.points, rule.vectors);
  if (rule?.kind !== 'updateBatch') return [];
  return message.all(rule.operations).flatMap((bytes) => {
    const operation = new ProtoMessage(bytes);
    return [...OPERATIONS].flatMap(([field, vectors]) =>
      operation.all(field).flatMap((value) => ofPoints(new ProtoMessage(value), 1, vectors)),
    );
  });
}

function ofPoints(message: ProtoMessage, points: number, vectors: number): WrittenVector[] {
  return message.all(points).flatMap((bytes) => {
    const found = new ProtoMessage(bytes).bytes(vectors);
    return found === null ? [] : ofVectors(new ProtoMessage(found));
  });
}

/** Returns the vectors in a Vectors: default one 1, or NamedVectors 2 with a map 1 of name 1 to Vector 2. */
function ofVectors(message: ProtoMessage): WrittenVector[] {
  const span = message.variant([1, 2]);
  if (span === null) return [];
  if (span.field === 1) return dense('', message.bytes(1));
  return new ProtoMessage(expectDefined(message.bytes(2), 'the named vectors')).all(1).flatMap((bytes) => {
    const entry = new ProtoMessage(bytes);
    return dense(entry.textOrEmpty(1), entry.bytes(2));
  });
}

function dense(name: string, bytes: Uint8Array | null): WrittenVector[] {
  const values = bytes === null ? null : denseValues(new ProtoMessage(bytes));
  return values === null ? [] : [{ name, values }];
}
