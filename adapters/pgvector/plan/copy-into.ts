import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { Matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { COPY_HEADER } from '../read/copy-rows.js';

/** Bytes of one row before its vector: two columns, and a number with its length. */
const ROW_HEAD_BYTES = 2 + 4 + 8 + 4;
const VECTOR_HEAD_BYTES = 4;

/** Copies numbered vectors into the columns `id` and `v` of a table, where `v` is of type `vector`. */
export async function copyInto(
  client: pg.Client,
  table: string,
  ids: readonly PointId[],
  vectors: Matrix,
): Promise<void> {
  const stream = client.query(copyFrom(`copy ${table} (id, v) from stdin (format binary)`));
  await pipeline(Readable.from([copyBytes(ids, vectors)]), stream);
}

/** Returns the rows as COPY in binary form takes them (`vector_recv` for the vectors). */
function copyBytes(ids: readonly PointId[], { cols, data }: Matrix): Buffer {
  const vectorBytes = VECTOR_HEAD_BYTES + 4 * cols;
  const bytes = Buffer.alloc(COPY_HEADER.length + ids.length * (ROW_HEAD_BYTES + vectorBytes) + 2);
  let at = COPY_HEADER.copy(bytes);
  ids.forEach((id, i) => {
    if (typeof id !== 'bigint') throw new TldrError('INVALID_ARGUMENT', 'rows for measurements have numbers');
    at = bytes.writeInt16BE(2, at);
    at = bytes.writeInt32BE(8, at);
    at = bytes.writeBigInt64BE(id, at);
    at = bytes.writeInt32BE(vectorBytes, at);
    at = bytes.writeUInt16BE(cols, at);
    at = bytes.writeUInt16BE(0, at);
    for (let d = 0; d < cols; d++)
      at = bytes.writeFloatBE(expectDefined(data[i * cols + d], 'a component'), at);
  });
  bytes.writeInt16BE(-1, at);
  return bytes;
}
