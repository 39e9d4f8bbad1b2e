import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  Registry,
  collectDefaultMetrics,
  type MetricObjectWithValues,
  type MetricValue,
} from 'prom-client';
import type { DriftCount } from './drift-meter.js';
import { SecondsHistogram, type Tally } from './seconds-histogram.js';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1];

/** `rest` or `grpc`. */
export type Transport = 'rest' | 'grpc';
const TRANSPORTS: readonly Transport[] = ['rest', 'grpc'];

/** Part of a request's time: reading and rewriting it, waiting for the database, or all of it. */
export type Stage = 'rewrite' | 'upstream' | 'total';

/** How a request ended. */
export interface RequestEnd {
  /** How it was handled: pass, forward, rewrite, follow, answer. */
  readonly kind: string;
  readonly status: string;
  readonly seconds: number;
  /** Bytes of the request's body as received. `bytesOut`: of the answer's body as sent. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A search that was repeated on the full collection. */
interface ShadowedSearch {
  readonly overlap: number;
  readonly servedSeconds: number;
  readonly fullSeconds: number;
  /** Whether the query lies far from the encoder's training sample; null if that is not known. */
  readonly isFar: boolean | null;
}

/** The metrics of one process as plain data. */
export type Counts = MetricObjectWithValues<MetricValue<string>>[];

/** Returns the sum of the metrics of several processes in Prometheus' text format. */
export function countedTogether(counts: readonly Counts[]): Promise<string> {
  return AggregatorRegistry.aggregate([...counts]).metrics();
}

/** Counts reloads of the configuration by result: each once, however many processes serve. */
export class Reloads {
  readonly registry = new Registry();
  readonly #counter = new Counter({
    name: 'tldr_reloads_total',
    help: 'Configurations read again',
    registers: [this.registry],
    labelNames: ['outcome'],
  });

  constructor() {
    // A counter is shown from 0 on: its first increase would go unnoticed otherwise.
    for (const outcome of ['taken', 'refused']) this.#counter.inc({ outcome }, 0);
  }

  ended(outcome: 'taken' | 'refused'): void {
    this.#counter.inc({ outcome });
  }
}

/** Counters of one transport. Plain numbers, read on demand, since finding a label costs more than adding. */
class Tallies {
  inFlight = 0;
  projected = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Requests by kind and status. */
  readonly requests = new Map<string, { readonly kind: string; readonly status: string; count: number }>();
  readonly seconds: Readonly<Record<Stage, Tally>>;

  constructor(transport: Transport, seconds: SecondsHistogram) {
    const tally = (stage: Stage): Tally => seconds.tally({ transport, stage });
    this.seconds = { rewrite: tally('rewrite'), upstream: tally('upstream'), total: tally('total') };
  }

  requestEnded({ kind, status, seconds, bytesIn, bytesOut }: RequestEnd): void {
    this.inFlight--;
    this.seconds.total.observe(seconds);
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
    const key = `${kind} ${status}`;
    const requests = this.requests.get(key);
    if (requests === undefined) this.requests.set(key, { kind, status, count: 1 });
    else requests.count++;
  }
}

/** The metrics of a proxy. docs/serve.md documents names and labels. */
export class Metrics {
  readonly registry = new Registry();
  readonly #tallies: Readonly<Record<Transport, Tallies>>;
  readonly #upstreamErrors: Counter<'transport'>;
  readonly #roomRefused: Counter;
  readonly #overlap: Histogram<'collection'>;
  readonly #overlapByDistance: Histogram<'collection' | 'query'>;
  readonly #shadowSeconds: Histogram<'collection' | 'side'>;
  readonly #shadowDropped: Counter;
  readonly #driftCompared: Counter<'collection' | 'kind'>;
  readonly #driftFar: Counter<'collection' | 'kind'>;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: 'tldr_' });
    const seconds = new SecondsHistogram({
      name: 'tldr_request_seconds',
      help: 'Time of requests by stage',
      registers,
      labelNames: ['transport', 'stage'],
      buckets: SECONDS,
    });
    this.#tallies = { rest: new Tallies('rest', seconds), grpc: new Tallies('grpc', seconds) };
    this.#show(this.#tallies);
    this.#upstreamErrors = new Counter({
      name: 'tldr_upstream_errors_total',
      help: 'Requests that the database did not answer',
      registers,
      labelNames: ['transport'],
    });
    for (const transport of TRANSPORTS) this.#upstreamErrors.inc({ transport }, 0);
    this.#roomRefused = new Counter({
      name: 'tldr_bytes_refused_total',
      help: 'Requests refused since bodies use all of bytesInFlightMax',
      registers,
    });
    this.#overlap = new Histogram({
      name: 'tldr_shadow_overlap',
      help: 'Share of the full collection’s results that clients also got',
      registers,
      labelNames: ['collection'],
      buckets: SHARES,
    });
    this.#overlapByDistance = new Histogram({
      name: 'tldr_shadow_overlap_by_distance',
      help: 'The overlap of queries near the encoder’s training sample and far from it',
      registers,
      labelNames: ['collection', 'query'],
      buckets: SHARES,
    });
    this.#shadowSeconds = new Histogram({
      name: 'tldr_shadow_seconds',
      help: 'Time of sampled searches on both sides',
      registers,
      labelNames: ['collection', 'side'],
      buckets: SECONDS,
    });
    this.#shadowDropped = new Counter({
      name: 'tldr_shadow_dropped_total',
      help: 'Sampled searches not repeated',
      registers,
    });
    const labelNames = ['collection', 'kind'] as const;
    this.#driftCompared = new Counter({
      name: 'tldr_drift_compared_total',
      help: 'Vectors compared with the encoder’s training sample',
      registers,
      labelNames,
    });
    this.#driftFar = new Counter({
      name: 'tldr_drift_far_total',
      help: 'Compared vectors that lie far from the encoder’s training sample',
      registers,
      labelNames,
    });
  }

  requestStarted(transport: Transport): void {
    this.#tallies[transport].inFlight++;
  }

  requestEnded(transport: Transport, end: RequestEnd): void {
    this.#tallies[transport].requestEnded(end);
  }

  stage(transport: Transport, stage: Stage, seconds: number): void {
    this.#tallies[transport].seconds[stage].observe(seconds);
  }

  projected(transport: Transport, count: number): void {
    this.#tallies[transport].projected += count;
  }

  upstreamError(transport: Transport): void {
    this.#upstreamErrors.inc({ transport });
  }

  /** Counts a request that was refused because others hold all bytes. */
  roomRefused(): void {
    this.#roomRefused.inc();
  }

  /** @param bytes returns the bytes held at the moment */
  showBytesInFlight(bytes: () => number): void {
    new Gauge({
      name: 'tldr_bytes_in_flight',
      help: 'Bytes of bodies held for requests in progress',
      registers: [this.registry],
      collect() {
        this.set(bytes());
      },
    });
  }

  shadow(collection: string, { overlap, servedSeconds, fullSeconds, isFar }: ShadowedSearch): void {
    this.#overlap.observe({ collection }, overlap);
    if (isFar !== null)
      this.#overlapByDistance.observe({ collection, query: isFar ? 'far' : 'near' }, overlap);
    this.#shadowSeconds.observe({ collection, side: 'served' }, servedSeconds);
    this.#shadowSeconds.observe({ collection, side: 'full' }, fullSeconds);
  }

  shadowDropped(): void {
    this.#shadowDropped.inc();
  }

  /** Counts vectors that were compared with the encoder's training sample. A count of 0 shows the metrics. */
  drift({ collection, as: kind, compared, far }: Omit<DriftCount, 'expectedShare'>): void {
    this.#driftCompared.inc({ collection, kind }, compared);
    this.#driftFar.inc({ collection, kind }, far);
  }

  counts(): Promise<Counts> {
    return this.registry.getMetricsAsJSON();
  }

  #show(tallies: Readonly<Record<Transport, Tallies>>): void {
    const registers = [this.registry];
    new Counter({
      name: 'tldr_requests_total',
      help: 'Requests answered',
      registers,
      labelNames: ['transport', 'kind', 'status'],
      collect() {
        this.reset();
        for (const transport of TRANSPORTS)
          for (const { kind, status, count } of tallies[transport].requests.values())
            this.inc({ transport, kind, status }, count);
      },
    });
    new Counter({
      name: 'tldr_projected_vectors_total',
      help: 'Vectors projected',
      registers,
      labelNames: ['transport'],
      collect() {
        this.reset();
        for (const transport of TRANSPORTS) this.inc({ transport }, tallies[transport].projected);
      },
    });
    new Gauge({
      name: 'tldr_requests_in_flight',
      help: 'Requests in progress',
      registers,
      labelNames: ['transport'],
      collect() {
        for (const transport of TRANSPORTS) this.set({ transport }, tallies[transport].inFlight);
      },
    });
    new Counter({
      name: 'tldr_body_bytes_total',
      help: 'Bytes of bodies from and to clients',
      registers,
      labelNames: ['transport', 'direction'],
      collect() {
        this.reset();
        for (const transport of TRANSPORTS) {
          this.inc({ transport, direction: 'in' }, tallies[transport].bytesIn);
          this.inc({ transport, direction: 'out' }, tallies[transport].bytesOut);
        }
      },
    });
  }
}
