import type { AffectedPoints } from '../../../../src/store/write-guard.js';
import type { PointId } from '../../../../src/core/point-id.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { CONDITION_FORM } from '../../store/condition-form.js';
import type { JsonNode } from '../json/scan.js';
import type { ByteEdits } from '../json/byte-edits.js';
import { numericId, uuidId } from '../point-ids.js';
import {
  badBody,
  elementsOf,
  fieldsOf,
  STRUCTURES,
  stringOf,
  UPDATE_KINDS,
  valueOf,
  type JsonFields,
  type Structure,
} from '../rest/fields.js';
import { unknownForm } from '../rules.js';

/** The form in which a body names the points that it changes. */
export type AffectKind =
  'upsert' | 'points' | 'set payload' | 'delete payload' | 'update vectors' | 'delete vectors' | 'operations';

const SELECTORS: Readonly<Partial<Record<AffectKind, Structure>>> = {
  points: STRUCTURES.pointsSelector,
  'set payload': STRUCTURES.setPayload,
  'delete payload': STRUCTURES.deletePayload,
  'delete vectors': STRUCTURES.deleteVectors,
};

const KINDS: Readonly<Record<string, AffectKind>> = {
  upsert: 'upsert',
  delete: 'points',
  set_payload: 'set payload',
  overwrite_payload: 'set payload',
  delete_payload: 'delete payload',
  clear_payload: 'points',
  update_vectors: 'update vectors',
  delete_vectors: 'delete vectors',
};

/**
 * Returns every point that a body may change.
 * @throws Refusal for an unknown form, and for ids that the server would not accept
 */
export function restAffectedPoints(kind: AffectKind, root: JsonNode, source: ByteEdits): AffectedPoints {
  const found: Found = { ids: new Set(), conditions: [], source };
  touch(kind, root, found);
  return { ids: [...found.ids], conditions: found.conditions };
}

interface Found {
  /** Each id once, even if the request repeats it. */
  readonly ids: Set<PointId>;
  readonly conditions: PointCondition[];
  readonly source: ByteEdits;
}

function touch(kind: AffectKind, node: JsonNode, found: Found): void {
  const { source } = found;
  if (kind === 'operations') {
    const operations = valueOf(fieldsOf(node, STRUCTURES.operations, source), 'operations');
    for (const operation of elementsOf(operations, source)) touchOperation(operation, found);
  } else if (kind === 'upsert') touchUpsert(node, found);
  else if (kind === 'update vectors')
    touchPoints(
      valueOf(fieldsOf(node, STRUCTURES.updateVectors, source), 'points'),
      STRUCTURES.pointVectors,
      found,
    );
  else touchSelected(fieldsOf(node, SELECTORS[kind] ?? STRUCTURES.pointsSelector, source), found);
}

function touchOperation(operation: JsonNode, found: Found): void {
  if (operation.kind !== 'object') throw unknownForm('operation');
  // The known servers ignore a second kind in one operation, but other versions might not.
  const [first] = [...fieldsOf(operation, UPDATE_KINDS, found.source)];
  const kind = first === undefined ? undefined : KINDS[first[0]];
  if (first === undefined || kind === undefined || operation.entries.length > 1)
    throw unknownForm('operation');
  touch(kind, first[1].value, found);
}

function touchUpsert(node: JsonNode, found: Found): void {
  const { source } = found;
  const fields = fieldsOf(node, STRUCTURES.upsert, source);
  touchPoints(valueOf(fields, 'points'), STRUCTURES.point, found);
  const batch = valueOf(fields, 'batch');
  if (batch !== undefined) touchIds(valueOf(fieldsOf(batch, STRUCTURES.batch, source), 'ids'), found);
}

function touchPoints(points: JsonNode | undefined, structure: Structure, found: Found): void {
  for (const point of elementsOf(points, found.source)) {
    const id = fieldsOf(point, structure, found.source).get('id');
    if (id === undefined) throw badBody('missing field `id`');
    found.ids.add(idOf(id.value, found.source));
  }
}

/**
 * Adds the points of ids and filter. If both are given, both count, since the server decides between them.
 */
function touchSelected(fields: JsonFields, found: Found): void {
  touchIds(valueOf(fields, 'points'), found);
  const filter = valueOf(fields, 'filter');
  const text = filter === undefined ? 'null' : found.source.raw(filter);
  if (text !== 'null')
    found.conditions.push({ form: CONDITION_FORM.json, bytes: Buffer.from(text, 'latin1') });
}

function touchIds(node: JsonNode | undefined, found: Found): void {
  for (const item of elementsOf(node, found.source)) found.ids.add(idOf(item, found.source));
}

function idOf(node: JsonNode, source: ByteEdits): PointId {
  const id =
    node.kind === 'number'
      ? numericId(source.raw(node))
      : node.kind === 'string'
        ? uuidId(stringOf(node, source))
        : null;
  if (id === null) throw badBody('data did not match any variant of untagged enum ExtendedPointId');
  return id;
}
