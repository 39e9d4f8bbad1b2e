import { isLosslessNumber, parse } from 'lossless-json';
import type { PointId } from '../core/point-id.js';
import type { VectorSource } from '../store/vector-source.js';
import { mean, percentile } from './ranking.js';

/** A stratum with fewer queries is not meaningful, so such values are counted together. */
const STRATUM_QUERIES_MIN = 5;

/** Queries that share one value of a payload field. */
export interface Stratum {
  readonly value: string;
  readonly queries: number;
  /** Mean recall of each form. */
  readonly recall: Readonly<Record<string, number>>;
  /** Recall of the worst query and 5th percentile, for the served form. */
  readonly min: number;
  readonly p5: number;
}

/** Recall by payload field, the worst stratum of the served form first. */
export interface Strata {
  readonly field: string;
  /** The point whose payload decides. */
  readonly of: 'query point' | 'first true result';
  readonly k: number;
  readonly strata: readonly Stratum[];
  /** All values of fewer than five queries together; null if there are none. */
  readonly rare: (Stratum & { readonly values: number }) | null;
}

/**
 * Groups queries by their values. A query with several values counts in each group, a query without values in
 * "(none)".
 * @param values the values of each query
 * @param options.recall the recall of each query, by form
 */
export function stratify(
  values: readonly (readonly string[])[],
  options: Pick<Strata, 'field' | 'of' | 'k'> & {
    readonly served: string;
    readonly recall: ReadonlyMap<string, Float64Array>;
  },
): Strata {
  const { served, recall, ...what } = options;
  const members = new Map<string, Set<number>>();
  values.forEach((ofQuery, q) => {
    for (const value of ofQuery.length === 0 ? ['(none)'] : ofQuery) {
      const queries = members.get(value) ?? new Set();
      members.set(value, queries.add(q));
    }
  });
  const judge = (value: string, queries: ReadonlySet<number>): Stratum => {
    const pick = (all: Float64Array): Float64Array => Float64Array.from(queries, (q) => all[q]!);
    const own = pick(recall.get(served)!);
    return {
      value,
      queries: queries.size,
      recall: Object.fromEntries([...recall].map(([name, all]) => [name, mean(pick(all))])),
      min: percentile(own, 0),
      p5: percentile(own, 5),
    };
  };
  const entries = [...members];
  const rare = entries.filter(([, queries]) => queries.size < STRATUM_QUERIES_MIN);
  const together = new Set(rare.flatMap(([, queries]) => [...queries]));
  return {
    ...what,
    strata: entries
      .filter(([, queries]) => queries.size >= STRATUM_QUERIES_MIN)
      .map(([value, queries]) => judge(value, queries))
      .sort((a, b) => a.recall[served]! - b.recall[served]! || (a.value < b.value ? -1 : 1)),
    rare: rare.length === 0 ? null : { ...judge('(rare)', together), values: rare.length },
  };
}

/** The values of a payload field of stored points, by id. */
export async function valuesOfPoints(
  place: { readonly store: VectorSource; readonly collection: string; readonly vectorName: string },
  ids: readonly (PointId | null)[],
  field: string,
): Promise<ReadonlyMap<PointId, readonly string[]>> {
  const { store, collection, vectorName } = place;
  const wanted = [...new Set(ids)].filter((id) => id !== null);
  const found = await store.retrieve(collection, wanted, { vectorName });
  return new Map(found.ids.map((id, i) => [id, fieldValues(store.payloadJson(found.extra[i]!), field)]));
}

/**
 * The values of a payload field as text, with numbers as they are written. Each element of a list is one
 * value.
 * @param field a key of the payload, or a path with dots
 */
export function fieldValues(payloadJson: string, field: string): readonly string[] {
  const payload = parse(payloadJson);
  let value: unknown = property(payload, field);
  if (value === undefined) value = field.split('.').reduce<unknown>(property, payload);
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((one) => {
    if (typeof one === 'string') return [one];
    if (typeof one === 'boolean') return [String(one)];
    return isLosslessNumber(one) ? [one.value] : [];
  });
}

function property(from: unknown, key: string): unknown {
  return typeof from === 'object' && from !== null && Object.hasOwn(from, key)
    ? (from as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
