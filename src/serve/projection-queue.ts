import { expectDefined } from '../core/errors.js';
import { matrix, rowRange, type Matrix } from '../core/matrix.js';
import { projected, type ProjectionJob } from './protocol.js';

/** Most vectors in one product. More would block the event loop for long and gain little. */
const ROWS_MAX = 32;

interface Waiting {
  readonly job: ProjectionJob;
  readonly resolve: (y: Matrix) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Projects the vectors of requests that arrive together in one matrix product. The weights are far larger
 * than a vector, and are then read from memory once for all requests. A request waits only until the event
 * loop has taken the requests that arrived with it. The event loop also runs between two products. Each row
 * is bit for bit the same as if it were projected alone.
 */
export class ProjectionQueue {
  /** Waiting products, one projector each, in the order in which they were begun. */
  readonly #products: { readonly requests: Waiting[]; rows: number }[] = [];

  project(job: ProjectionJob): Promise<Matrix> {
    return new Promise((resolve, reject) => {
      if (this.#products.length === 0) this.#schedule();
      const fits = this.#products.find(
        ({ requests, rows }) =>
          requests[0]?.job.projector === job.projector &&
          requests[0].job.as === job.as &&
          rows + job.x.rows <= ROWS_MAX,
      );
      const waiting = { job, resolve, reject };
      if (fits === undefined) {
        // One request is never split: large bodies are rewritten in other threads.
        this.#products.push({ requests: [waiting], rows: job.x.rows });
      } else {
        fits.requests.push(waiting);
        fits.rows += job.x.rows;
      }
    });
  }

  #schedule(): void {
    setImmediate(() => {
      const next = this.#products.shift();
      if (this.#products.length > 0) this.#schedule();
      if (next !== undefined) projectTogether(next.requests);
    });
  }
}

function projectTogether(requests: readonly Waiting[]): void {
  const [first] = requests;
  if (first === undefined) return;
  try {
    const { projector, as, x } = first.job;
    const y = projected({ projector, as, x: requests.length === 1 ? x : stacked(requests) });
    let at = 0;
    for (const { job, resolve } of requests) resolve(rowRange(y, at, (at += job.x.rows)));
  } catch (error) {
    for (const { reject } of requests) reject(error);
  }
}

function stacked(requests: readonly Waiting[]): Matrix {
  const rows = requests.reduce((sum, { job }) => sum + job.x.rows, 0);
  const x = matrix(rows, expectDefined(requests[0], 'the first request').job.x.cols);
  let at = 0;
  for (const { job } of requests) {
    x.data.set(job.x.data, at);
    at += job.x.data.length;
  }
  return x;
}
