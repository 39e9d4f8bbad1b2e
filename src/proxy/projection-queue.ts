import { matrix, rowRange, type Matrix } from '../core/matrix.js';
import type { VectorProjector } from '../core/served-collection.js';
import { projected, type ProjectionJob } from '../core/wire.js';

/** Vectors of one product: more would hold the event loop for long, and gain nothing. */
const ROWS_MAX = 64;

interface Waiting {
  readonly job: ProjectionJob;
  readonly resolve: (y: Matrix) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Projects the vectors of requests that arrive together in one product each: the weights, far more bytes than a
 * vector, are then read from memory once for all of them. A request waits no longer than until the event loop has
 * taken what had arrived with it. Each row is what it would be by itself, to the bit.
 */
export class ProjectionQueue {
  #waiting: Waiting[] = [];

  project(job: ProjectionJob): Promise<Matrix> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#run());
      this.#waiting.push({ job, resolve, reject });
    });
  }

  #run(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const group of together(waiting)) runTogether(group);
  }
}

/** In products of one projector each, none of more rows than it may have unless one request does by itself. */
function together(waiting: readonly Waiting[]): readonly Waiting[][] {
  const groups: Waiting[][] = [];
  const open = new Map<VectorProjector, Map<ProjectionJob['as'], { group: Waiting[]; rows: number }>>();
  for (const one of waiting) {
    const { projector, as, x } = one.job;
    const kinds = open.get(projector) ?? new Map<ProjectionJob['as'], { group: Waiting[]; rows: number }>();
    open.set(projector, kinds);
    const last = kinds.get(as);
    if (last !== undefined && last.rows + x.rows <= ROWS_MAX) {
      last.group.push(one);
      last.rows += x.rows;
    } else {
      const group = [one];
      kinds.set(as, { group, rows: x.rows });
      groups.push(group);
    }
  }
  return groups;
}

function runTogether(group: readonly Waiting[]): void {
  const [first] = group;
  if (first === undefined) return;
  try {
    const y = projected({ ...first.job, x: group.length === 1 ? first.job.x : stacked(group) });
    let at = 0;
    for (const { job, resolve } of group) resolve(rowRange(y, at, (at += job.x.rows)));
  } catch (error) {
    for (const { reject } of group) reject(error);
  }
}

function stacked(group: readonly Waiting[]): Matrix {
  const rows = group.reduce((sum, { job }) => sum + job.x.rows, 0);
  const x = matrix(rows, group[0]?.job.x.cols ?? 0);
  let at = 0;
  for (const { job } of group) {
    x.data.set(job.x.data, at);
    at += job.x.data.length;
  }
  return x;
}
