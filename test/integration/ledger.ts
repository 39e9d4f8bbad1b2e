import type { Rng } from '../../src/core/rng.js';
import { fetchOnce } from './fetch-once.js';

const FIRST_ID = 6_000_000;
const IDS = 40;

/** A write of a point that nobody else writes. */
export interface LedgerWrite {
  readonly method: string;
  /** Below the collection. */
  readonly path: string;
  readonly body: string;
  /** To be called when the write was acknowledged. */
  readonly acknowledged: () => void;
}

/**
 * What points of one writer may hold: what was acknowledged last, and every write since then of which nobody knows
 * whether it was made.
 */
export class Ledger {
  /** By id, the number written, or null for a point that is gone. */
  readonly #may = new Map<number, ReadonlySet<number | null>>();
  #written = 0;

  next(rng: Rng): LedgerWrite {
    const id = FIRST_ID + rng.int(IDS);
    const value = rng.uniform() < 0.25 ? null : ++this.#written;
    this.#may.set(id, new Set([...(this.#may.get(id) ?? [null]), value]));
    const acknowledged = (): void => void this.#may.set(id, new Set([value]));
    if (value === null)
      return { method: 'POST', path: '/points/delete', body: `{"points":[${id}]}`, acknowledged };
    const point = { id, vector: {}, payload: { value } };
    return { method: 'PUT', path: '/points', body: JSON.stringify({ points: [point] }), acknowledged };
  }

  /** A line for every point that holds something else. */
  async differences(url: string, collection: string): Promise<string[]> {
    const ids = [...this.#may.keys()];
    if (ids.length === 0) return [];
    const response = await fetchOnce(`${url}/collections/${collection}/points`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ ids, with_payload: true }),
    });
    const { result } = (await response.json()) as {
      result: { id: number; payload: { value: number } }[];
    };
    const found = new Map(result.map(({ id, payload }) => [id, payload.value]));
    return [...this.#may].flatMap(([id, may]) => {
      const value = found.get(id) ?? null;
      return may.has(value)
        ? []
        : [`${id} holds ${String(value)}, acknowledged was ${[...may].join(' or ')}`];
    });
  }
}
