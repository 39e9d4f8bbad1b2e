import type { Rng } from '../../../src/core/rng.js';
import { fieldOf, listOf, readExactJson, textOf } from '../store/exact-json.js';
import { fetchOnce } from '../server/fetch-once.js';

const FIRST_ID = 6_000_000;
const IDS = 40;
/** Numbers from here to 2^64-1 exist in JSON, and in no signed integer. */
const FIRST_VALUE = 2n ** 63n;

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
  /** By id, the payload written, or null for a point that is gone. */
  readonly #may = new Map<number, ReadonlySet<string | null>>();
  #written = FIRST_VALUE;

  next(rng: Rng): LedgerWrite {
    const id = FIRST_ID + rng.int(IDS);
    const value = rng.uniform() < 0.25 ? null : `{"value":${++this.#written}}`;
    this.#may.set(id, new Set([...(this.#may.get(id) ?? [null]), value]));
    const acknowledged = (): void => void this.#may.set(id, new Set([value]));
    if (value === null)
      return { method: 'POST', path: '/points/delete', body: `{"points":[${id}]}`, acknowledged };
    const body = `{"points":[{"id":${id},"vector":{},"payload":${value}}]}`;
    return { method: 'PUT', path: '/points', body, acknowledged };
  }

  /** A line for every point that holds something else. */
  async differences(url: string, collection: string): Promise<string[]> {
    const ids = [...this.#may.keys()];
    if (ids.length === 0) return [];
    const response = await fetchOnce(`${url}/collections/${collection}/points`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ids, with_payload: true }),
    });
    const points = listOf(fieldOf(readExactJson(await response.text()), 'result'));
    const found = new Map(
      points.map((point) => [textOf(fieldOf(point, 'id')), textOf(fieldOf(point, 'payload'))]),
    );
    return [...this.#may].flatMap(([id, may]) => {
      const value = found.get(String(id)) ?? null;
      return may.has(value)
        ? []
        : [`${id} holds ${String(value)}, acknowledged was ${[...may].join(' or ')}`];
    });
  }
}
