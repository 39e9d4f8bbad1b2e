import { TldrError } from '../../../src/core/errors.js';

/** Signature of COPY in binary form, as in the manual's page of COPY. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const HEADER_BYTES = SIGNATURE.length + 8;

/** What stands before the first row of COPY in binary form, without flags and extensions. */
export const COPY_HEADER = Buffer.concat([SIGNATURE, Buffer.alloc(8)]);

/** A row of COPY in binary form: one value per column, null for NULL. */
export type CopiedRow = readonly (Buffer | null)[];

/** Returns the rows of COPY in binary form, from its bytes in pieces. @throws UNAVAILABLE when it ends early */
export async function* copiedRows(pieces: AsyncIterable<Buffer>): AsyncGenerator<CopiedRow> {
  let rest: Buffer = Buffer.alloc(0);
  let at = -1;
  let isEnded = false;
  for await (const piece of pieces) {
    rest = rest.length > Math.max(0, at) ? Buffer.concat([rest.subarray(Math.max(0, at)), piece]) : piece;
    if (at >= 0) at = 0;
    if (at < 0) {
      if (rest.length < HEADER_BYTES) continue;
      at = afterHeader(rest);
      if (at > rest.length) {
        at = -1;
        continue;
      }
    }
    for (let row = rowAt(rest, at); row !== null; row = rowAt(rest, at)) {
      if (row.values === null) {
        isEnded = true;
        break;
      }
      at = row.end;
      yield row.values;
    }
    if (isEnded) at = rest.length;
  }
  if (!isEnded) throw new TldrError('UNAVAILABLE', 'a copy of rows ended before its last row');
}

function afterHeader(bytes: Buffer): number {
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw new TldrError('INTERNAL', 'the server does not send rows in binary form');
  return HEADER_BYTES + bytes.readInt32BE(SIGNATURE.length + 4);
}

/** Returns the row at an offset; null if its bytes are not all there; null values for the end of the copy. */
function rowAt(
  bytes: Buffer,
  start: number,
): { readonly values: CopiedRow | null; readonly end: number } | null {
  if (start + 2 > bytes.length) return null;
  const count = bytes.readInt16BE(start);
  if (count < 0) return { values: null, end: start + 2 };
  const values: (Buffer | null)[] = [];
  let at = start + 2;
  for (let column = 0; column < count; column++) {
    if (at + 4 > bytes.length) return null;
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < 0) {
      values.push(null);
      continue;
    }
    if (at + length > bytes.length) return null;
    values.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { values, end: at };
}

/** Copies a vector from the bytes of pgvector's `vector_send`: its length, two zero bytes, big-endian float32. */
export function readVector(bytes: Buffer, into: Float32Array): void {
  const target = Buffer.from(into.buffer, into.byteOffset, into.byteLength);
  bytes.copy(target, 0, 4);
  target.swap32();
}

/** Returns the length of a vector in the bytes of `vector_send`. */
export function vectorLength(bytes: Buffer): number {
  return bytes.readUInt16BE(0);
}
