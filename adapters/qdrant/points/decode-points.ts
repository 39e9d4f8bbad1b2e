import { matrix, row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { ProtoWriter, type ProtoReader } from '../../../src/encoder/protobuf.js';
import type { PointBatch } from '../../../src/store/points.js';
import { FLOAT_BYTES } from '../transport/copy-tagged-floats.js';
import { PAYLOAD_ENTRY, VECTOR_ENTRY } from './payload-and-other-vectors.js';
import {
  answerReader,
  decodeDense,
  decodePointId,
  eachOutput,
  encodeEntry,
  retrievedId,
} from '../transport/wire.js';

const EXTRA_BYTES_MIN = 4_096;

/** A RetrievedPoint of an answer. Only its id was read. */
export interface FoundPoint {
  readonly id: PointId;
  readonly bytes: Uint8Array;
}

export function foundPoint(bytes: Uint8Array): FoundPoint {
  return { id: retrievedId(bytes), bytes };
}

/** Returns the points as columns. */
export function toBatch(
  points: readonly FoundPoint[],
  { vectorName, dim }: { readonly vectorName: string; readonly dim: number },
  sizeBytes: number,
): PointBatch {
  const builder = new BatchBuilder(vectorName, { vectors: matrix(points.length, dim), sizeBytes });
  for (const { bytes } of points) builder.add(answerReader(bytes));
  return builder.finish();
}

/**
 * Builds columns from points, one after the other. It keeps no reference to the answer: everything but the
 * vector is copied into one buffer for all points. A buffer for each point would cost the garbage collector
 * more than the copy.
 */
export class BatchBuilder {
  readonly #vectorName: string;
  readonly #vectors: Matrix;
  readonly #sizeBytes: number;
  readonly #ids: PointId[] = [];
  readonly #hasVector: Uint8Array;
  readonly #rest: ProtoWriter;
  /** Offset at which the extra bytes of each point end. */
  readonly #restEnds: number[] = [];

  readonly #visitVector = (name: string, value: Uint8Array): void => {
    const i = this.#ids.length;
    if (name !== this.#vectorName) {
      this.#rest.bytes(VECTOR_ENTRY, encodeEntry(name, value));
      return;
    }
    decodeDense(value, row(this.#vectors, i));
    this.#hasVector[i] = 1;
  };

  /**
   * @param vectors room for the vectors of the largest possible number of points
   * @param sizeBytes bytes of the answers that hold the points
   */
  constructor(
    vectorName: string,
    { vectors, sizeBytes }: { readonly vectors: Matrix; readonly sizeBytes: number },
  ) {
    this.#vectorName = vectorName;
    this.#vectors = vectors;
    this.#sizeBytes = sizeBytes;
    this.#hasVector = new Uint8Array(vectors.rows);
    // About the size of the answer without the vectors. The buffer grows if the vectors are packed.
    this.#rest = new ProtoWriter(Math.max(EXTRA_BYTES_MIN, sizeBytes - FLOAT_BYTES * vectors.data.length));
  }

  /**
   * Adds a RetrievedPoint: id 1, payload 2, vectors 4.
   * @throws UNAVAILABLE when it is malformed, has no id, or is one more than was asked for
   * @throws INVALID_DATA when its vector has another dimension than the collection says
   */
  add(point: ProtoReader): void {
    const i = this.#ids.length;
    if (i === this.#vectors.rows)
      throw new TldrError('UNAVAILABLE', `an answer holds more than the ${i} points that were asked for`);
    let id: PointId | undefined;
    const payload = point.again();
    while (point.next()) {
      if (point.field === 1) id = decodePointId(point.message());
      else if (point.field === 4) eachOutput(point.message(), this.#visitVector);
      else point.skip();
    }
    if (id === undefined) throw new TldrError('UNAVAILABLE', 'a retrieved point has no id');
    if (this.#hasVector[i] === 0) row(this.#vectors, i).fill(0);
    while (payload.next()) {
      if (payload.field === 2) this.#rest.bytes(PAYLOAD_ENTRY, payload.bytes());
      else payload.skip();
    }
    this.#ids.push(id);
    this.#restEnds.push(this.#rest.length);
  }

  finish(): PointBatch {
    const rows = this.#ids.length;
    const all = this.#rest.finish();
    return {
      ids: this.#ids,
      vectors: rowRange(this.#vectors, 0, rows),
      hasVector: this.#hasVector.subarray(0, rows),
      // The same bytes as `packExtra` makes of a point's other vectors and its payload.
      extra: this.#restEnds.map((end, i) => all.subarray(i === 0 ? 0 : this.#restEnds[i - 1]!, end)),
      sizeBytes: this.#sizeBytes,
    };
  }
}
