import type { Matrix } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import type { RequestPacer } from '../core/request-pacer.js';
import { throwIfAborted, type RunOptions } from '../core/run-options.js';
import type { ScoredPoint } from '../store/search.js';
import type { Latency, RankedLists } from './fidelity.js';
import { percentile } from './ranking.js';

/** Queries sent to each form before latency is measured, to warm up connections and caches. */
const WARM_UP_QUERIES = 5;
/**
 * Most attempts to time a search. If other clients use up the rate limit, each attempt may include a wait.
 */
const TIMINGS_MAX = 5;

/** Full query vectors. If `ids` is set, they are stored points, which are removed from their own results. */
export interface QuerySet {
  readonly vectors: Matrix;
  readonly ids: readonly PointId[] | null;
}

/** A form of search: the source as configured, or the target with or without rescoring. */
export interface Form {
  readonly name: string;
  readonly dim: number;
  /** Waits for the rate limit before the time of a search is taken. */
  readonly turns: RequestPacer;
  /** Number of calls that this form's store has refused because of its rate limit. */
  readonly refusals: () => number;
  readonly ask: (query: number, limit: number) => Promise<readonly ScoredPoint[]>;
}

/** Gives each point id a row number; the same id always gets the same number. */
export class IdNumbers {
  readonly #numbers = new Map<PointId, number>();
  readonly #ids: PointId[] = [];

  of(id: PointId): number {
    let number = this.#numbers.get(id);
    if (number === undefined) {
      number = this.#ids.push(id) - 1;
      this.#numbers.set(id, number);
    }
    return number;
  }

  id(number: number): PointId | undefined {
    return this.#ids[number];
  }
}

/** Parameters that all searches share. */
export interface Asking extends RunOptions {
  readonly queries: QuerySet;
  readonly ids: IdNumbers;
}

/**
 * Sends every query to every form, one request at a time. The form that goes first changes with each query.
 */
export async function sendQueries(
  forms: readonly Form[],
  limit: number,
  { queries, ids, step, signal, onProgress }: Asking & { readonly step: string },
): Promise<{ lists: RankedLists[]; latencies: Latency[] }> {
  const total = queries.vectors.rows;
  const places = limit + (queries.ids === null ? 0 : 1);
  const lists = forms.map(() => ({
    k: limit,
    rows: new Int32Array(total * limit).fill(-1),
    scores: new Float64Array(total * limit).fill(Number.NaN),
  }));
  const times = forms.map(() => new Float64Array(total));
  for (let q = 0; q < Math.min(total, WARM_UP_QUERIES); q++) {
    throwIfAborted(signal);
    for (const form of forms) {
      await timedSearch(form, { q, places }, signal);
    }
  }
  for (let q = 0; q < total; q++) {
    throwIfAborted(signal);
    for (let turn = 0; turn < forms.length; turn++) {
      const f = (q + turn) % forms.length;
      const { answer, ms } = await timedSearch(forms[f]!, { q, places }, signal);
      times[f]![q] = ms;
      const self = queries.ids?.[q];
      answer
        .filter(({ id }) => id !== self)
        .slice(0, limit)
        .forEach(({ id, score }, i) => {
          lists[f]!.rows[q * limit + i] = ids.of(id);
          lists[f]!.scores[q * limit + i] = score;
        });
    }
    onProgress?.({ step, done: q + 1, total, unit: 'queries' });
  }
  const latencies = times.map((ms) => ({
    p50: percentile(ms, 50),
    p95: percentile(ms, 95),
    p99: percentile(ms, 99),
  }));
  return { lists, latencies };
}

/**
 * Searches and returns the answer with the time it took. If the store refused the search at first, the time
 * includes a wait for the rate limit, so the search is timed again. That can happen because earlier reads,
 * such as the sample and the counts, used up an unknown part of the limit.
 */
async function timedSearch(
  form: Form,
  { q, places }: { readonly q: number; readonly places: number },
  signal: AbortSignal | undefined,
): Promise<{ readonly answer: readonly ScoredPoint[]; readonly ms: number }> {
  for (let timing = 1; ; timing++) {
    await form.turns.next(signal);
    const refusals = form.refusals();
    const startedAtMs = performance.now();
    const answer = await form.ask(q, places);
    const ms = performance.now() - startedAtMs;
    if (form.refusals() === refusals) return { answer, ms };
    form.turns.useUp();
    if (timing === TIMINGS_MAX) return { answer, ms };
  }
}
