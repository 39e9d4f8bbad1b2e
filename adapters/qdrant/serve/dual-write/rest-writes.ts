import type { PointId } from '../../../../src/core/point-id.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { jsonDepth } from '../../points/payload-depth.js';
import { CONDITION_FORM } from '../../store/condition-form.js';
import type { WriteParts } from './changes.js';
import type { WrittenVector } from './followable.js';
import { scanJson, type JsonNode } from '../json/scan.js';
import { ByteEdits } from '../json/byte-edits.js';
import { numericId, uuidId } from '../point-ids.js';
import {
  badBody,
  elementsOf,
  fieldsOf,
  STRUCTURES,
  stringOf,
  textOf,
  UPDATE_KINDS,
  valueOf,
  type JsonFields,
  type Structure,
} from '../rest/fields.js';
import type { SingleWrite, Write } from '../operations.js';
import { checkPayloadDepth, unknownForm } from '../rules.js';

const WRITES: Readonly<Record<SingleWrite, Structure>> = {
  upsert: STRUCTURES.upsert,
  delete: STRUCTURES.pointsSelector,
  set_payload: STRUCTURES.setPayload,
  overwrite_payload: STRUCTURES.setPayload,
  delete_payload: STRUCTURES.deletePayload,
  clear_payload: STRUCTURES.pointsSelector,
  update_vectors: STRUCTURES.updateVectors,
  delete_vectors: STRUCTURES.deleteVectors,
};

/** The points of a write that names each with an id of its own. */
const POINTS: Readonly<Partial<Record<SingleWrite, Structure>>> = {
  upsert: STRUCTURES.point,
  update_vectors: STRUCTURES.pointVectors,
};

/** One write, of which a batch has several. */
interface One {
  readonly name: SingleWrite;
  readonly fields: JsonFields;
  readonly source: ByteEdits;
}

/**
 * Returns what a write changes: every point that may change, each once, and every dense vector in a known form.
 * @throws Refusal for an unknown form, for ids that the server would not accept, and for a payload that no
 * request could write to the target
 */
export function restWriteParts(name: Write['name'], body: Uint8Array): WriteParts {
  const writes = singleWrites(name, scanJson(body), new ByteEdits(body));
  for (const write of writes) checkDepth(write);
  const ids = new Set(writes.flatMap(idsOf));
  return {
    touched: { ids: [...ids], conditions: writes.flatMap(conditionOf) },
    written: writes.flatMap(writtenBy),
  };
}

function singleWrites(name: Write['name'], node: JsonNode, source: ByteEdits): One[] {
  if (name !== 'batch') return [{ name, fields: fieldsOf(node, WRITES[name], source), source }];
  const operations = valueOf(fieldsOf(node, STRUCTURES.operations, source), 'operations');
  return elementsOf(operations, source).flatMap((operation) => {
    const [first] = [...fieldsOf(operation, UPDATE_KINDS, source)];
    // The known servers ignore a second kind in one operation, but other versions might not.
    const isSingle = operation.kind === 'object' && operation.entries.length === 1;
    if (first === undefined || !isSingle || !isSingleWrite(first[0])) throw unknownForm('operation');
    return singleWrites(first[0], first[1].value, source);
  });
}

function isSingleWrite(name: string): name is SingleWrite {
  return Object.hasOwn(WRITES, name);
}

/**
 * Checks the depth of a payload that is set under a key. Only a key can make a payload too deep: the server
 * accepts no body with a deeper payload. If a write replaces the payload, the server ignores the key.
 */
function checkDepth({ name, fields, source }: One): void {
  if (name !== 'set_payload') return;
  const payload = valueOf(fields, 'payload');
  const key = textOf(fields, 'key', source);
  if (payload !== undefined && key !== undefined)
    checkPayloadDepth({ key, payloadDepth: jsonDepth(source.raw(payload)) });
}

/** Returns the ids that a write names. If it has a filter, too, both count: the server decides between them. */
function idsOf(write: One): PointId[] {
  const { name, fields, source } = write;
  const selected =
    POINTS[name] === undefined
      ? elementsOf(valueOf(fields, 'points'), source)
      : pointsOf(write).map((point) => {
          const id = point.get('id');
          if (id === undefined) throw badBody('missing field `id`');
          return id.value;
        });
  const inBatch = elementsOf(batchValue(write, 'ids'), source);
  return [...selected, ...inBatch].map((node) => idOf(node, source));
}

function conditionOf({ fields, source }: One): PointCondition[] {
  const filter = valueOf(fields, 'filter');
  const text = filter === undefined ? 'null' : source.raw(filter);
  // The scan skips filters, and a filter that it skipped may be null.
  return text === 'null' ? [] : [{ form: CONDITION_FORM.json, bytes: Buffer.from(text, 'latin1') }];
}

function writtenBy(write: One): WrittenVector[] {
  const ofPoints = pointsOf(write).flatMap((point) => byName(valueOf(point, 'vector')).flatMap(denseOf));
  return [...ofPoints, ...byName(batchValue(write, 'vectors')).flatMap(rowsOf)];
}

/** Returns the points that a write names each with an id of its own. */
function pointsOf({ name, fields, source }: One): readonly JsonFields[] {
  const structure = POINTS[name];
  if (structure === undefined) return [];
  return elementsOf(valueOf(fields, 'points'), source).map((point) => fieldsOf(point, structure, source));
}

/** Returns a list of an upsert whose points are given as lists of ids, vectors and payloads. */
function batchValue({ fields, source }: One, list: 'ids' | 'vectors'): JsonNode | undefined {
  const batch = valueOf(fields, 'batch');
  return batch === undefined ? undefined : valueOf(fieldsOf(batch, STRUCTURES.batch, source), list);
}

interface NamedNode {
  readonly name: string;
  readonly node: JsonNode;
}

/** Returns the value under each vector name. A value that is no object belongs to the default vector. */
function byName(node: JsonNode | undefined): readonly NamedNode[] {
  if (node === undefined) return [];
  return node.kind === 'object'
    ? node.entries.map(({ key, value }) => ({ name: key, node: value }))
    : [{ name: '', node }];
}

function denseOf({ name, node }: NamedNode): WrittenVector[] {
  return node.kind === 'numbers' ? [{ name, values: node.values }] : [];
}

function rowsOf({ name, node }: NamedNode): WrittenVector[] {
  return node.kind === 'array' ? node.items.flatMap((item) => denseOf({ name, node: item })) : [];
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
