import { expectDefined } from '../../../src/core/errors.js';
import { row } from '../../../src/core/matrix.js';
import type { WriteBatch } from '../../../src/store/points.js';
import { stringifyJson } from '../transport/json.js';
import { doubleJson, extraVectors } from './payload-and-other-vectors.js';
import { idJson } from './ids-over-rest.js';
import type { ProtoReader } from '../../../src/encoder/protobuf.js';
import { answerReader, decodeFloats } from '../transport/wire.js';

/** Returns point `i` of a batch in the form of the REST interface, with `payload` as its payload. */
export function pointJson(batch: WriteBatch, i: number, payload: string): string {
  const vectors = batch.vectors
    .filter(({ has }) => has[i] !== 0)
    .map(({ name, matrix }) => entryJson(name, floatsJson(row(matrix, i))));
  const others = extraVectors(expectDefined(batch.extra[i], 'the payload of a point')).map(
    ({ name, value }) => entryJson(name, vectorJson(value)),
  );
  const idText = stringifyJson(idJson(expectDefined(batch.ids[i], 'the id of a point')));
  return `{"id":${idText},"vector":{${[...vectors, ...others].join()}},"payload":${payload}}`;
}

function entryJson(name: string, json: string): string {
  return `${JSON.stringify(name)}:${json}`;
}

/**
 * Returns a vector of a gRPC answer as JSON. Servers up to 1.16 send data 1, indices 2 (data 1),
 * vectors_count 3; newer ones dense 101 (data 1), sparse 102 (values 1, indices 2) or multi_dense 104
 * (vectors 1, each with data 1).
 */
function vectorJson(bytes: Uint8Array): string {
  const reader = answerReader(bytes);
  let indices: string | null = null;
  let rows: number | null = null;
  while (reader.next()) {
    if (reader.field === 2) indices = integersJson(reader.message(), 1);
    else if (reader.field === 3) rows = reader.number();
    else if (reader.field === 102) indices = integersJson(reader.message(), 2);
    else if (reader.field === 104) rows = rowsOf(reader.message());
    else reader.skip();
  }
  const values = decodeFloats(bytes);
  if (indices !== null) return `{"indices":${indices},"values":${floatsJson(values)}}`;
  if (rows === null || rows === 0) return floatsJson(values);
  const cols = values.length / rows;
  const lists = Array.from({ length: rows }, (_, i) => floatsJson(values.subarray(i * cols, (i + 1) * cols)));
  return `[${lists.join()}]`;
}

/**
 * Returns floats as JSON with a decimal point: the server would read two rows of integers as a sparse vector.
 */
function floatsJson(values: Float32Array): string {
  return `[${Array.from(values, doubleJson).join()}]`;
}

/** Returns the unsigned integers of a field, packed or one by one, as JSON. */
function integersJson(message: ProtoReader, field: number): string {
  const found: bigint[] = [];
  while (message.next()) {
    if (message.field !== field) message.skip();
    else if (message.wireType === 2) {
      const packed = message.message();
      while (!packed.ended) found.push(packed.uint64());
    } else found.push(message.uint64());
  }
  return `[${found.join()}]`;
}

function rowsOf(message: ProtoReader): number {
  let rows = 0;
  while (message.next()) {
    if (message.field === 1) rows++;
    message.skip();
  }
  return rows;
}
