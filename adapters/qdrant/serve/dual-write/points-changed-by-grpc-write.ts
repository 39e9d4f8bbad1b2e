import { expectDefined } from '../../../../src/core/errors.js';
import type { PointId } from '../../../../src/core/point-id.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { PAYLOAD_DEPTH_MAX } from '../../points/payload-depth.js';
import { CONDITION_FORM } from '../../points/condition-form.js';
import type { WriteParts } from './find-changes.js';
import type { WrittenVector } from './check-written-vectors.js';
import { denseValues } from '../grpc/vector.js';
import { BATCH_OPERATIONS, type MessageFields } from '../operations.js';
import { uuidId } from '../point-ids.js';
import { decodeText, ProtoMessage } from '../protobuf/message.js';
import { checkPayloadDepth, Refusal, unknownForm } from '../rules.js';

/** Value: struct_value, and list_value with values 1. */
const STRUCT = 6;
const LIST = 7;

/** One write, of which a batch has several. */
interface One {
  readonly message: ProtoMessage;
  readonly fields: MessageFields;
  /** The points that it gives each with an id of its own. */
  readonly points: readonly ProtoMessage[];
  /** Its PointsSelector: points 1 (ids 1) or filter 2. If both are present, both count. */
  readonly selector: ProtoMessage | null;
}

/**
 * Returns what a write changes: every point that may change, each once, and every dense vector.
 * @throws Refusal for an unknown operation, and for a payload that no request could write to the target
 */
export function grpcWriteParts(message: ProtoMessage, fields: MessageFields): WriteParts {
  const writes = singleWrites(message, fields);
  for (const write of writes) checkDepth(write);
  const ids = new Set(writes.flatMap(idsOf));
  return {
    touched: { ids: [...ids], conditions: writes.flatMap(conditionOf) },
    written: writes.flatMap(writtenBy),
  };
}

function singleWrites(message: ProtoMessage, fields: MessageFields): One[] {
  if (fields.operations === undefined) return [singleWrite(message, fields)];
  return message.all(fields.operations).map((bytes) => {
    const operation = new ProtoMessage(bytes);
    const [span, second] = operation.spans;
    const write = span === undefined ? undefined : BATCH_OPERATIONS.get(span.field);
    if (span === undefined || write === undefined || second !== undefined || span.wireType !== 2)
      throw unknownForm('operation');
    return singleWrite(new ProtoMessage(operation.value(span)), write.fields);
  });
}

function singleWrite(message: ProtoMessage, fields: MessageFields): One {
  const { points, selector } = fields;
  return {
    message,
    fields,
    points: points === undefined ? [] : message.all(points).map((bytes) => new ProtoMessage(bytes)),
    selector: selector === undefined ? null : selectorOf(message, selector),
  };
}

/** Checks the depth of a payload that is set under a key. A write that replaces the payload ignores the key. */
function checkDepth({ message, fields: { payload, key: keyField } }: One): void {
  const key = keyField === undefined ? null : message.text(keyField);
  if (key !== null && payload !== undefined)
    checkPayloadDepth({ key, payloadDepth: 1 + entriesDepth(message.all(payload), 1) });
}

/** Returns the nesting depth in the values of map entries. It stops as soon as the limit is exceeded. */
function entriesDepth(entries: readonly Uint8Array[], above: number): number {
  return deepest(
    entries.flatMap((entry) => new ProtoMessage(entry).all(2)),
    above,
  );
}

function deepest(values: readonly Uint8Array[], above: number): number {
  if (above > PAYLOAD_DEPTH_MAX) return 0;
  let most = 0;
  for (const value of values) {
    const message = new ProtoMessage(value);
    for (const struct of message.all(STRUCT))
      most = Math.max(most, 1 + entriesDepth(new ProtoMessage(struct).all(1), above + 1));
    for (const list of message.all(LIST))
      most = Math.max(most, 1 + deepest(new ProtoMessage(list).all(1), above + 1));
  }
  return most;
}

function idsOf({ points, selector }: One): PointId[] {
  return [...points.map(idOfPoint), ...(selector === null ? [] : selectedIds(selector))];
}

/** Returns the id 1 of a PointStruct or PointVectors. */
function idOfPoint(point: ProtoMessage): PointId {
  const id = point.bytes(1);
  if (id === null) throw new Refusal(400, 'Wrong input: a point without an id');
  return idOf(id);
}

function selectorOf(message: ProtoMessage, field: number | 'itself'): ProtoMessage | null {
  const bytes = field === 'itself' ? message.raw : message.bytes(field);
  if (bytes === null) return null;
  const selector = new ProtoMessage(bytes);
  if (selector.spans.some(({ field: at }) => at !== 1 && at !== 2)) throw unknownForm('selector of points');
  return selector;
}

function selectedIds(selector: ProtoMessage): PointId[] {
  const list = selector.bytes(1);
  return list === null ? [] : new ProtoMessage(list).all(1).map(idOf);
}

function conditionOf({ selector }: One): PointCondition[] {
  const filter = selector?.bytes(2);
  return filter == null ? [] : [{ form: CONDITION_FORM.message, bytes: Uint8Array.from(filter) }];
}

/** Returns the id in a PointId: num 1 or uuid 2. */
function idOf(bytes: Uint8Array): PointId {
  const message = new ProtoMessage(bytes);
  const span = message.variant([1, 2]);
  const id =
    span?.field === 1 ? message.varint(1) : span === null ? null : uuidId(decodeText(message.value(span)));
  if (id === null) throw new Refusal(400, 'Wrong input: an id that is neither a number nor a UUID');
  return id;
}

function writtenBy({ points, fields: { vectors } }: One): WrittenVector[] {
  if (vectors === undefined) return [];
  return points.flatMap((point) => {
    const found = point.bytes(vectors);
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
