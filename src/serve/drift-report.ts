import type { Log } from '../core/run-options.js';
import type { DriftCount } from './drift-meter.js';

const WINDOW_MS = 600_000;
/** With fewer vectors, chance alone lifts the share above the threshold often. */
const COMPARED_MIN = 100;

interface DriftReportOptions {
  readonly log: Log;
  /** A larger share of far vectors is logged as a warning. */
  readonly alert: number;
}

/**
 * Logs the share of vectors that lie far from the encoder's training sample, by collection and kind, for every ten
 * minutes and at the end. Vectors of a window with few of them count in the next window.
 */
export class DriftReport {
  /** A larger share of far vectors is logged as a warning. */
  alert: number;
  readonly #log: Log;
  readonly #counts = new Map<string, DriftCount>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ log, alert }: DriftReportOptions) {
    this.#log = log;
    this.alert = alert;
  }

  add(count: DriftCount): void {
    this.#timer ??= setInterval(() => this.#logWindow(), WINDOW_MS).unref();
    const key = `${count.as} ${count.collection}`;
    const { compared, far } = this.#counts.get(key) ?? { compared: 0, far: 0 };
    this.#counts.set(key, { ...count, compared: count.compared + compared, far: count.far + far });
  }

  /** Logs the last window. */
  close(): void {
    clearInterval(this.#timer);
    this.#logWindow();
  }

  #logWindow(): void {
    for (const [key, { collection, as, compared, far, expectedShare }] of [...this.#counts]) {
      if (compared < COMPARED_MIN) continue;
      this.#counts.delete(key);
      const share = far / compared;
      const fields = { collection, kind: as, compared, far, share, expectedShare, driftAlert: this.alert };
      const vectors = as === 'points' ? 'points written to' : 'queries of';
      const found = `${percent(share)} of the ${vectors} ${collection} lie far from the encoder's training sample`;
      if (share > this.alert)
        this.#log(
          'warn',
          `${found}, more than driftAlert (${percent(this.alert)}): measure the recall of such vectors, then fit the encoder again with a sample that holds them`,
          fields,
        );
      else this.#log('info', found, fields);
    }
  }
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}
