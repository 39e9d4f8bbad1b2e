import { Histogram, type HistogramConfiguration } from 'prom-client';
import { expectDefined } from '../core/errors.js';

/** The series of a histogram, each with a name of its own. */
type Series = Awaited<ReturnType<Histogram['get']>>;
type Labels = Readonly<Record<string, string>>;

/**
 * A histogram that keeps its observations in tallies and reads them only on demand. Finding the series for a
 * set of labels costs more than adding to a tally.
 */
export class SecondsHistogram extends Histogram {
  readonly #name: string;
  readonly #bounds: readonly number[];
  /** Supplies everything but the values. */
  readonly #empty: Histogram;
  readonly #tallies: Tally[] = [];

  constructor(options: HistogramConfiguration<string> & { readonly buckets: number[] }) {
    super(options);
    this.#name = options.name;
    this.#bounds = options.buckets;
    this.#empty = new Histogram({ ...options, registers: [] });
  }

  /** Returns a tally for these labels. The metrics show it from its first observation on. */
  tally(labels: Labels): Tally {
    const tally = new Tally(labels, this.#bounds);
    this.#tallies.push(tally);
    return tally;
  }

  override async get(): Promise<Series> {
    const values = this.#tallies.flatMap((tally) => tally.series(this.#name));
    return { ...(await this.#empty.get()), values };
  }

  /** The registry calls this for its text. */
  getForPromString(): Promise<Series> {
    return this.get();
  }
}

/** The observations of one combination of labels. */
export class Tally {
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  /** Counts by bucket. The last bucket holds everything above the last bound. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(seconds: number): void {
    let bucket = 0;
    while (seconds > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    this.#counts[bucket] = expectDefined(this.#counts[bucket], 'the count of a bucket') + 1;
    this.#sum += seconds;
  }

  /** Returns the series in Prometheus' form: each bucket includes the counts of all lower ones. */
  series(name: string): Series['values'] {
    let count = 0;
    const buckets = this.#counts.map((counted, i) => {
      count += counted;
      const labels: Labels = { le: String(this.#bounds[i] ?? '+Inf'), ...this.#labels };
      return { metricName: `${name}_bucket`, labels, value: count };
    });
    if (count === 0) return [];
    const labels = this.#labels;
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
