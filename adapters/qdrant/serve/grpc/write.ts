import type { ServedJob } from './rewrite-job.js';
import { isSparse, readDense, vectorOf } from './vector.js';
import { COLLECTION } from '../search-fields.js';
import { BATCH_OPERATIONS, holdsVectors, type MessageFields } from '../operations.js';
import { renamedDeletions } from '../hidden-vector.js';
import { Ambiguous, decodeText, ProtoMessage } from '../protobuf/message.js';
import { readNames, vectorName } from './vector-selectors.js';
import { physicalName } from './stage.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { Refusal, unknownForm } from '../rules.js';

/** Vectors: vector 1 or vectors 2 (NamedVectors: vectors 1, a map of name 1 to Vector 2). */
const VECTOR = 1;
const VECTORS = 2;
const MAP = 1;
const KEY = 1;
const VALUE = 2;

/** Returns a write with the target's name and compact vectors. @throws Refusal */
export function rewriteWrite(message: ProtoMessage, fields: MessageFields, job: ServedJob): ProtoBuilder {
  return edited(message, new Map([[COLLECTION, physicalName(job)], ...vectorEdits(message, fields, job)]));
}

/** Returns the edits of the parts of a write that hold vectors or their names. */
function vectorEdits(
  message: ProtoMessage,
  { points, vectors, names, operations }: MessageFields,
  job: ServedJob,
): [number, FieldEdit][] {
  const edits: [number, FieldEdit][] = [];
  if (points !== undefined && vectors !== undefined) edits.push([points, pointEdit(vectors, job)]);
  if (names !== undefined) {
    message.bytes(names);
    edits.push([names, (bytes) => deleteVectors(bytes, job)]);
  }
  if (operations !== undefined) edits.push([operations, (bytes) => operation(bytes, job)]);
  return edits;
}

/** Rewrites a PointsUpdateOperation, which has one field. */
function operation(bytes: Uint8Array, job: ServedJob): Uint8Array | ProtoBuilder {
  const message = new ProtoMessage(bytes);
  const [span] = message.spans;
  if (message.spans.length > 1) throw new Ambiguous('an operation of several variants');
  if (span === undefined) return bytes;
  const write = BATCH_OPERATIONS.get(span.field);
  if (write === undefined) throw unknownForm('operation');
  const rewrite: FieldEdit = (value) => {
    const inner = new ProtoMessage(value);
    return edited(inner, new Map(vectorEdits(inner, write.fields, job)));
  };
  return holdsVectors(write) ? edited(message, new Map([[span.field, rewrite]])) : bytes;
}

function pointEdit(vectors: number, job: ServedJob): FieldEdit {
  const edits = new Map<number, FieldEdit>([[vectors, (bytes) => writeVectors(bytes, job)]]);
  return (bytes) => {
    const point = new ProtoMessage(bytes);
    point.bytes(vectors);
    return edited(point, edits);
  };
}

/** Rewrites the vectors of one point: adds the compact vector, or replaces the full one by it. */
function writeVectors(bytes: Uint8Array, job: ServedJob): Uint8Array | ProtoBuilder {
  const message = new ProtoMessage(bytes);
  if (message.spans.some(({ field }) => field > VECTORS)) throw unknownForm('vectors');
  const span = message.variant([VECTOR, VECTORS]);
  if (span === null) return bytes;
  if (span.field === VECTOR) return writeDefault(message, job);
  return edited(message, new Map([[VECTORS, (named) => writeNamed(named, job)]]));
}

function writeDefault(message: ProtoMessage, job: ServedJob): Uint8Array | ProtoBuilder {
  const { served } = job;
  const vector = message.bytes(VECTOR);
  if (vector === null || served.vector !== '') return message.raw;
  const content = new ProtoMessage(vector);
  if (isSparse(content)) throw new Refusal(400, 'Sparse vector must be named');
  const compact = compactOf(content, job);
  if (served.layout === 'compact') return edited(message, new Map([[VECTOR, () => compact]]));
  const named = new ProtoBuilder().raw(entry('', vector)).raw(entry(served.compact, compact));
  return new ProtoBuilder().bytes(VECTORS, named);
}

function writeNamed(bytes: Uint8Array, job: ServedJob): Uint8Array | ProtoBuilder {
  const { served } = job;
  const message = new ProtoMessage(bytes);
  const found: ProtoBuilder[] = [];
  const change: FieldEdit = (value) => {
    const pair = new ProtoMessage(value);
    const name = pair.textOrEmpty(KEY);
    if (name !== served.vector) return edited(pair, new Map([[KEY, vectorName(served)]]));
    // The later of two values for one name would count. No client sends this.
    if (found.length > 0) throw new Refusal(400, `Bad request: vector "${name}" is given twice`);
    const compact = compactOf(new ProtoMessage(pair.bytesOrEmpty(VALUE)), job);
    found.push(compact);
    if (served.layout === 'two-stage') return value;
    return new ProtoBuilder().text(KEY, name).bytes(VALUE, compact);
  };
  const out = edited(message, new Map([[MAP, change]]));
  const [compact] = found;
  if (compact === undefined) return out;
  return served.layout === 'two-stage' ? out.raw(entry(served.compact, compact)) : out;
}

function compactOf(vector: ProtoMessage, job: ServedJob): ProtoBuilder {
  const { values, form } = readDense(vector, job.served);
  return vectorOf(job.slots.add(values), form);
}

function entry(name: string, vector: Uint8Array | ProtoBuilder): ProtoBuilder {
  return new ProtoBuilder().bytes(MAP, new ProtoBuilder().text(KEY, name).bytes(VALUE, vector));
}

/** Rewrites the VectorsSelector of a deletion: names 1. The compact vector is deleted with the full one. */
function deleteVectors(bytes: Uint8Array, job: ServedJob): Uint8Array | ProtoBuilder {
  const { served } = job;
  const message = new ProtoMessage(bytes);
  const names = readNames(message);
  const rename = renamedDeletions(names, served);
  const known = edited(message, new Map([[1, (name) => Buffer.from(rename(decodeText(name)))]]));
  if (served.layout === 'compact' || !names.map(rename).includes(served.vector)) return known;
  return known.text(1, served.compact);
}
