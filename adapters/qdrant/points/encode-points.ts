import { TldrError } from '../../../src/core/errors.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import type { VectorColumn, WriteBatch } from '../../../src/store/points.js';
import { payloadStart } from './payload-and-other-vectors.js';
import { encodePointId, fieldBytes } from '../transport/wire.js';

/** One vector column in encoded form. */
interface Column {
  /** Bytes in front of the values of every point. */
  readonly head: Uint8Array;
  /** The values of all rows. `rowBytes`: bytes of one row. */
  readonly values: Uint8Array;
  readonly rowBytes: number;
  readonly has: Uint8Array;
}

/**
 * Encodes NamedVectors: entries 1 of key 1 and value 2 (Vector: data 1, packed). '' is the default vector.
 */
function columnOf({ name, matrix: { data, cols }, has }: VectorColumn): Column {
  const rowBytes = cols * Float32Array.BYTES_PER_ELEMENT;
  const vectorBytes = fieldBytes(rowBytes);
  const key = new ProtoWriter().string(1, name).finish();
  const head = new ProtoWriter()
    .size(1, key.length + fieldBytes(vectorBytes))
    .raw(key)
    .size(2, vectorBytes)
    .size(1, rowBytes)
    .finish();
  const values = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { head, values, rowBytes, has };
}

/**
 * Writes the points of a batch directly into their messages. The sizes of all parts are known, and the parts
 * are copied unchanged.
 */
export class PointStructs {
  readonly #batch: WriteBatch;
  readonly #columns: readonly Column[];
  /** Upper estimate of the bytes that all points take in the message. */
  readonly sizeBytes: number;

  constructor(batch: WriteBatch) {
    this.#batch = batch;
    this.#columns = batch.vectors.map(columnOf);
    const columnBytes = this.#columns.reduce((sum, { head, rowBytes }) => sum + head.length + rowBytes, 0);
    this.sizeBytes = batch.extra.reduce((sum, rest) => sum + rest.length + columnBytes + HEAD_BYTES, 0);
  }

  /**
   * Returns a function that writes point `i`, and the number of bytes without the head of its field.
   * PointStruct: id 1, payload 3, vectors 4 (vectors 2: NamedVectors).
   */
  point(i: number): {
    readonly sizeBytes: number;
    readonly write: (out: ProtoWriter, field: number) => void;
  } {
    const id = this.#batch.ids[i];
    const rest = this.#batch.extra[i];
    if (id === undefined || rest === undefined)
      throw new TldrError('INVALID_ARGUMENT', 'a batch has ids without points');
    const columns = this.#columns.filter(({ has }) => has[i] !== 0);
    const idMessage = encodePointId(id).finish();
    const payloadAt = payloadStart(rest);
    const payload = rest.subarray(payloadAt);
    let namedBytes = payloadAt;
    for (const { head, rowBytes } of columns) namedBytes += head.length + rowBytes;
    const sizeBytes = fieldBytes(idMessage.length) + payload.length + fieldBytes(fieldBytes(namedBytes));
    const write = (out: ProtoWriter, field: number): void => {
      out.size(field, sizeBytes).bytes(1, idMessage).raw(payload);
      out.size(4, fieldBytes(namedBytes)).size(2, namedBytes);
      for (const { head, values, rowBytes } of columns)
        out.raw(head).raw(values.subarray(i * rowBytes, (i + 1) * rowBytes));
      out.raw(rest.subarray(0, payloadAt));
    };
    return { sizeBytes, write };
  }
}

/** Upper limit for the heads of a point's fields and its id. */
const HEAD_BYTES = 80;
