import type { SearchRequest } from '../../../src/store/search.js';
import { quoted } from '../catalog/identifiers.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import {
  FULL_TABLE,
  inIndexForm,
  storedNamed,
  type ScratchSettings,
  type StoredVector,
} from './stored-vectors.js';

/** A search as a statement. */
export interface SearchStatement {
  readonly text: string;
  readonly values: readonly string[];
  /** Results of the index that the search begins with. */
  readonly candidates: number;
}

/** Returns the statement of a search in a scratch schema, in one pass or in two. */
export function searchStatement(
  schema: string,
  settings: ScratchSettings,
  { vectorName, vector, limit, quantized, prefetch }: SearchRequest,
): SearchStatement {
  const { extension } = settings;
  const place = { schema: quoted(schema), extension };
  const own = storedNamed(settings, vectorName);
  if (prefetch !== undefined) {
    const first = storedNamed(settings, prefetch.vectorName);
    const distance = plainDistance(own, 'f', '$2', extension);
    const text = `select f.id::pg_catalog.text as id, (${distance})::pg_catalog.text as distance from (${firstStage(first, place, prefetch.limit, 't.id')}) first
      join ${place.schema}.${quoted(FULL_TABLE)} f on f.id = first.id order by ${distance} limit ${limit}`;
    return { text, values: [vectorText(prefetch.vector), vectorText(vector)], candidates: prefetch.limit };
  }
  const isExact = own.prefix === null && own.form !== 'bit';
  if (!isExact && quantized?.rescore === true) {
    const { oversampling = 1 } = quantized;
    const candidates = Math.ceil(limit * oversampling);
    const distance = plainDistance(own, 'first', '$1', extension);
    const text = `select first.id::pg_catalog.text as id, (${distance})::pg_catalog.text as distance from (${firstStage(own, place, candidates, 't.id, t.v')}) first
      order by ${distance} limit ${limit}`;
    return { text, values: [vectorText(vector)], candidates };
  }
  const distance = indexDistance(own, extension);
  const text = `select t.id::pg_catalog.text as id, (${distance})::pg_catalog.text as distance from ${place.schema}.${quoted(own.table)} t order by ${distance} limit ${limit}`;
  return { text, values: [vectorText(vector)], candidates: limit };
}

/** The rows that the index finds, by the first parameter. */
function firstStage(
  vector: StoredVector,
  { schema, extension }: { readonly schema: string; readonly extension: string },
  limit: number,
  columns: string,
): string {
  return `select ${columns} from ${schema}.${quoted(vector.table)} t order by ${indexDistance(vector, extension)} limit ${limit}`;
}

/** The distance as the index has it. */
function indexDistance(vector: StoredVector, extension: string): string {
  const operator = vector.form === 'bit' ? '<~>' : OPERATORS[vector.distance].sign;
  const query = `$1::${extension}.${vector.columnType}`;
  return `${inIndexForm(vector, 't.v', extension)} operator(${extension}.${operator}) ${inIndexForm(vector, query, extension)}`;
}

/** The distance of whole vectors. */
function plainDistance(
  { columnType, distance }: StoredVector,
  table: string,
  parameter: string,
  extension: string,
): string {
  return `${table}.v operator(${extension}.${OPERATORS[distance].sign}) ${parameter}::${extension}.${columnType}`;
}

function vectorText(vector: Float32Array): string {
  return `[${vector.join(',')}]`;
}
