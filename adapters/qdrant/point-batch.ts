import { row } from '../../src/core/matrix.js';
import type { PointId } from '../../src/core/point-id.js';
import { ProtoWriter } from '../../src/core/protobuf.js';
import { RowMemory } from '../../src/core/row-memory.js';
import type { PointBatch } from '../../src/core/vector-store.js';
import { PAYLOAD_ENTRY, VECTOR_ENTRY } from './payload.js';
import { Cursor, decodeDense, eachVector, encodeEntry } from './wire.js';

/** A RetrievedPoint of an answer, of which only the id was read. */
export interface FoundPoint {
  readonly id: PointId;
  readonly bytes: Uint8Array;
}

/**
 * The points as columns. Nothing of the answer they lie in is held on to: what a point has besides is copied into one
 * piece of memory for all of them, since a piece for each would cost the garbage collector more than the copy.
 */
export function toBatch(
  points: readonly FoundPoint[],
  { vectorName, dim }: { readonly vectorName: string; readonly dim: number },
  {
    sizeBytes,
    rowMemory = new RowMemory(),
  }: { readonly sizeBytes: number; readonly rowMemory?: RowMemory | undefined },
): PointBatch {
  const vectors = rowMemory.take(points.length, dim);
  const hasVector = new Uint8Array(points.length);
  let restBytes = 0;
  points.forEach(({ bytes }, i) => {
    restBytes += bytes.length;
    eachVector(bytes, (name, value) => {
      if (name !== vectorName) return;
      decodeDense(value, row(vectors, i));
      hasVector[i] = 1;
      restBytes -= value.length;
    });
    if (hasVector[i] === 0) row(vectors, i).fill(0);
  });
  const out = new ProtoWriter(restBytes);
  const ends = points.map(({ bytes }) => {
    addRest(out, bytes, vectorName);
    return out.length;
  });
  const all = out.finish();
  const rest = ends.map((end, i) => all.subarray(ends[i - 1] ?? 0, end));
  return { ids: points.map(({ id }) => id), vectors, hasVector, rest, sizeBytes };
}

/** What `packRest` makes of the point's other vectors and its payload (field 2). */
function addRest(out: ProtoWriter, bytes: Uint8Array, vectorName: string): void {
  eachVector(bytes, (name, value) => {
    if (name !== vectorName) out.bytes(VECTOR_ENTRY, encodeEntry(name, value));
  });
  const cursor = new Cursor(bytes);
  while (cursor.next()) {
    if (cursor.field === 2) out.bytes(PAYLOAD_ENTRY, cursor.bytes());
    else cursor.skip();
  }
}
