import { textIn } from '../catalog/values.js';
import type { ReadTransaction } from '../connect/connections.js';
import type { StoredWeights, WeightsType } from './encoder-script.js';

/** Returns the types of an encoder's weights that are in the database. @param tables of points, and of queries if there is one */
export async function storedWeights(
  transaction: Pick<ReadTransaction, 'query'>,
  [points, queries]: readonly string[],
): Promise<StoredWeights> {
  return {
    points: points === undefined ? null : await typeOfWeights(transaction, points),
    queries: queries === undefined ? null : await typeOfWeights(transaction, queries),
  };
}

async function typeOfWeights(
  { query }: Pick<ReadTransaction, 'query'>,
  table: string,
): Promise<WeightsType | null> {
  const [row] = await query(
    `select y.typname::pg_catalog.text as type from pg_catalog.pg_attribute a join pg_catalog.pg_type y on y.oid = a.atttypid
     where a.attrelid = pg_catalog.to_regclass($1) and a.attname = 'weights' and not a.attisdropped`,
    [table],
  );
  if (row === undefined) return null;
  return textIn(row, 'type') === 'halfvec' ? 'halfvec' : 'vector';
}
