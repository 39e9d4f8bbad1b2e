import { matrix, row } from '../../../src/core/matrix.js';
import type { Encoder } from '../../../src/encoder/model.js';
import type { PostgresServer } from './postgres-server.js';

/** The cosine distance of the compact vectors of two rows, which the encoder itself computes, not the database. */
export async function distanceBetween(
  server: PostgresServer,
  table: string,
  encoder: Encoder,
  ids: readonly [number, number],
): Promise<number> {
  const [a, b] = await Promise.all(
    ids.map(async (id) => {
      const [found = {}] = await server.sql(`select embedding::text as v from ${table} where id = $1`, [id]);
      const values = JSON.parse(String(found['v'])) as number[];
      return row(encoder.project(matrix(1, values.length, Float32Array.from(values))), 0);
    }),
  );
  const product = (x: Float32Array, y: Float32Array): number =>
    x.reduce((sum, value, i) => sum + value * (y[i] ?? NaN), 0);
  if (a === undefined || b === undefined) throw new Error('two rows are needed');
  return 1 - product(a, b) / Math.sqrt(product(a, a) * product(b, b));
}
