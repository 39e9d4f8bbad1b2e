import type { Matrix } from '../core/matrix.js';
import type { CompactVectors } from './kept-vectors.js';
import type { ProjectionJob } from './protocol.js';
import { VectorSample } from './vector-sample.js';

const INTERVAL_MS = 1_000;
/** Most vectors of one collection and kind that are compared in an interval. */
const GROUP_MAX = 32;
/** Most vectors that a process compares in an interval: about a hundredth of a processor's time. */
const TOTAL_MAX = 128;
/** Vectors compared at once, before the event loop runs again: about half a millisecond. */
const AT_ONCE = 8;

/** Compares compact vectors with the sample that an encoder was fitted to. */
export interface SampleComparison {
  /** Fingerprint of the encoder. */
  readonly encoder: string;
  /** Share of the sample's own kind that is far. */
  readonly expectedShare: number;
  /** Returns 1 for each vector (n x outputDim) that lies far from the sample, 0 for the others. */
  readonly farFromSample: (compact: Matrix, as: ProjectionJob['as']) => Uint8Array;
}

/** How many vectors were compared with the sample, and how many of them lie far from it. */
export interface DriftCount {
  /** The configured name of the served collection. */
  readonly collection: string;
  readonly as: ProjectionJob['as'];
  readonly compared: number;
  readonly far: number;
  /** Share of the sample's own kind that is far. */
  readonly expectedShare: number;
}

/** Vectors of one collection and kind that wait to be compared. */
interface Group extends Pick<DriftCount, 'collection' | 'as'> {
  readonly comparison: SampleComparison;
  readonly sample: VectorSample;
}

/** Compares a bounded random part of the vectors that clients write and search for with the encoder's sample. */
export class DriftMeter {
  readonly #onCompared: (count: DriftCount) => void;
  /** In the order in which they are compared. */
  readonly #groups = new Map<string, Group>();
  #comparisons: ReadonlyMap<string, SampleComparison> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #comparing: Promise<void> | null = null;
  #samples = 0;

  constructor(onCompared: (count: DriftCount) => void) {
    this.#onCompared = onCompared;
  }

  /** Compares later vectors in this way. @param comparisons by the configured names of collections */
  use(comparisons: ReadonlyMap<string, SampleComparison>): void {
    this.#comparisons = comparisons;
  }

  /** Adds vectors of an accepted request. They are compared within seconds, or are left out. */
  add({ collection, as, encoder, rows, seen }: CompactVectors): void {
    const comparison = this.#comparisons.get(collection);
    // After a reload, a request may end that was projected by the encoder before.
    if (comparison?.encoder !== encoder) return;
    this.#timer ??= setInterval(() => {
      this.#comparing ??= this.#compareSome().finally(() => (this.#comparing = null));
    }, INTERVAL_MS).unref();
    const key = `${as} ${encoder} ${collection}`;
    const group = this.#groups.get(key) ?? this.#opened({ collection, as, comparison }, rows[0]?.length ?? 1);
    this.#groups.set(key, group);
    group.sample.merge({ rows, seen });
  }

  /** Compares what still waits, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#comparing;
    for (const group of this.#groups.values()) {
      const { rows } = group.sample.take();
      this.#report(group, rows.length, farAmong(group, rows));
    }
    this.#groups.clear();
  }

  #opened(group: Omit<Group, 'sample'>, cols: number): Group {
    return { ...group, sample: new VectorSample({ cols, rowsMax: GROUP_MAX, seed: ++this.#samples }) };
  }

  /** A group that has had its turn comes back at the end, with its next vectors. */
  async #compareSome(): Promise<void> {
    let left = TOTAL_MAX;
    for (const [key, group] of [...this.#groups]) {
      if (left < GROUP_MAX) break;
      this.#groups.delete(key);
      const { rows } = group.sample.take();
      left -= rows.length;
      let far = 0;
      for (let at = 0; at < rows.length; at += AT_ONCE) {
        far += farAmong(group, rows.slice(at, at + AT_ONCE));
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.#report(group, rows.length, far);
    }
  }

  #report({ collection, as, comparison }: Group, compared: number, far: number): void {
    const { expectedShare } = comparison;
    if (compared > 0) this.#onCompared({ collection, as, compared, far, expectedShare });
  }
}

/** Returns how many of the vectors lie far from the sample. */
export function farAmong(
  { comparison, as }: Pick<Group, 'comparison' | 'as'>,
  rows: readonly Float32Array[],
): number {
  const [first] = rows;
  if (first === undefined) return 0;
  const data = new Float32Array(rows.length * first.length);
  rows.forEach((values, i) => data.set(values, i * first.length));
  const isFar = comparison.farFromSample({ rows: rows.length, cols: first.length, data }, as);
  return isFar.reduce((sum, far) => sum + far, 0);
}
