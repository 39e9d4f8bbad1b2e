import type { PointId } from '../../../../src/core/point-id.js';
import type { PointCondition } from '../../../../src/store/points.js';
import { jsonDepth } from '../../points/payload-depth.js';
import { CONDITION_FORM } from '../../points/condition-form.js';
import type { WriteParts } from './find-changes.js';
import type { WrittenVector } from './check-written-vectors.js';
import { scanJson, type JsonNode } from '../json/scan-body.js';
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
} from '../rest/structures.js';
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
  /** The ids that it names. If it has a filter, too, both count: the server decides between them. */
  readonly ids: readonly PointId[];
  /** The points that it gives each with an id of its own. */
  readonly points: readonly JsonFields[];
  /** The lists of an upsert whose points are given as lists of ids, vectors and payloads. */
  readonly batch: JsonFields;
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
  const ids = new Set(writes.flatMap(({ ids: named }) => named));
  return {
    touched: { ids: [...ids], conditions: writes.flatMap(conditionOf) },
    written: writes.flatMap(writtenBy),
  };
}

function singleWrites(name: Write['name'], node: JsonNode, source: ByteEdits): One[] {
  if (name !== 'batch') return [singleWrite(name, node, source)];
  const operations = valueOf(fieldsOf(node, STRUCTURES.operations, source), 'operations');
  return elementsOf(operations, source).map((operation) => {
    const [first] = [...fieldsOf(operation, UPDATE_KINDS, source)];
    // The known servers ignore a second kind in one operation, but other versions might not.
    const isSingle = operation.kind === 'object' && operation.entries.length === 1;
    if (first === undefined || !isSingle || !isSingleWrite(first[0])) throw unknownForm('operation');
    return singleWrite(first[0], first[1].value, source);
  });
}

function singleWrite(name: SingleWrite, node: JsonNode, source: ByteEdits): One {
  const fields = fieldsOf(node, WRITES[name], source);
  const given = elementsOf(valueOf(fields, 'points'), source);
  const structure = POINTS[name];
  const points = structure === undefined ? [] : given.map((point) => fieldsOf(point, structure, source));
  const lists = valueOf(fields, 'batch');
  const batch: JsonFields = lists === undefined ? new Map() : fieldsOf(lists, STRUCTURES.batch, source);
  const ids = structure === undefined ? given : points.map(idIn);
  return {
    name,
    fields,
    ids: [...ids, ...elementsOf(valueOf(batch, 'ids'), source)].map((id) => idOf(id, source)),
    points,
    batch,
    source,
  };
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

function idIn(point: JsonFields): JsonNode {
  const id = point.get('id');
  if (id === undefined) throw badBody('missing field `id`');
  return id.value;
}

function conditionOf({ fields, source }: One): PointCondition[] {
  const filter = valueOf(fields, 'filter');
  const text = filter === undefined ? 'null' : source.raw(filter);
  // The scan skips filters, and a filter that it skipped may be null.
  return text === 'null' ? [] : [{ form: CONDITION_FORM.json, bytes: Buffer.from(text, 'latin1') }];
}

function writtenBy({ points, batch }: One): WrittenVector[] {
  const ofPoints = points.flatMap((point) => byName(valueOf(point, 'vector')).flatMap(denseOf));
  return [...ofPoints, ...byName(valueOf(batch, 'vectors')).flatMap(rowsOf)];
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
