import type { AffectedPoints } from '../../../../src/store/write-guard.js';
import type { PointId } from '../../../../src/core/point-id.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { CONDITION_FORM } from '../../store/condition-form.js';
import { uuidId } from '../point-ids.js';
import { decodeText, ProtoMessage } from '../protobuf/message.js';
import { Refusal, unknownForm } from '../rules.js';

/** The field that names the affected points: points with an id 1 each, a selector, or operations. */
export interface AffectRule {
  readonly kind: 'points' | 'selector' | 'operations';
  readonly field: number;
}

/**
 * PointsUpdateOperation: upsert 1 (points 1), delete_deprecated 2 and clear_payload_deprecated 6 (selectors
 * themselves), set_payload 3, overwrite_payload 4 and delete_payload 5 (points_selector 2), update_vectors 7
 * (points 1), delete_vectors 8, delete_points 9 and clear_payload 10 (selector 1).
 */
const OPERATIONS: Readonly<Record<number, AffectRule | 'itself'>> = {
  1: { kind: 'points', field: 1 },
  2: 'itself',
  3: { kind: 'selector', field: 2 },
  4: { kind: 'selector', field: 2 },
  5: { kind: 'selector', field: 2 },
  6: 'itself',
  7: { kind: 'points', field: 1 },
  8: { kind: 'selector', field: 1 },
  9: { kind: 'selector', field: 1 },
  10: { kind: 'selector', field: 1 },
};

interface Found {
  /** Each id once, even if the request repeats it. */
  readonly ids: Set<PointId>;
  readonly conditions: PointCondition[];
}

/** Returns every point that a request may change. @throws Refusal for an unknown operation */
export function grpcAffectedPoints(message: ProtoMessage, rule: AffectRule): AffectedPoints {
  const found: Found = { ids: new Set(), conditions: [] };
  touch(message, rule, found);
  return { ids: [...found.ids], conditions: found.conditions };
}

function touch(message: ProtoMessage, { kind, field }: AffectRule, found: Found): void {
  if (kind === 'selector') {
    const selector = message.bytes(field);
    if (selector !== null) touchSelected(selector, found);
    return;
  }
  for (const bytes of message.all(field)) {
    if (kind === 'operations') touchOperation(new ProtoMessage(bytes), found);
    else {
      const id = new ProtoMessage(bytes).bytes(1);
      if (id === null) throw new Refusal(400, 'Wrong input: a point without an id');
      found.ids.add(idOf(id));
    }
  }
}

function touchOperation(operation: ProtoMessage, found: Found): void {
  const [span, second] = operation.spans;
  const rule = span === undefined ? undefined : OPERATIONS[span.field];
  if (span === undefined || rule === undefined || second !== undefined || span.wireType !== 2)
    throw unknownForm('operation');
  const value = operation.value(span);
  if (rule === 'itself') touchSelected(value, found);
  else touch(new ProtoMessage(value), rule, found);
}

/** Adds the points of a PointsSelector: points 1 (ids 1) or filter 2. If both are present, both count. */
function touchSelected(bytes: Uint8Array, found: Found): void {
  const selector = new ProtoMessage(bytes);
  if (selector.spans.some(({ field }) => field !== 1 && field !== 2)) throw unknownForm('selector of points');
  const list = selector.bytes(1);
  if (list !== null) for (const id of new ProtoMessage(list).all(1)) found.ids.add(idOf(id));
  const filter = selector.bytes(2);
  if (filter !== null)
    found.conditions.push({ form: CONDITION_FORM.message, bytes: Uint8Array.from(filter) });
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
