import type { SearchedVectors } from '../../serve/protocol.js';
import { VectorSample, type VectorBatch } from '../../serve/vector-sample.js';

/** Most vectors of a collection in one message, and most bytes of them: a message is made in one go. */
const ROWS_MAX = 2048;
const BYTES_MAX = 2 * 1024 ** 2;
const SEND_INTERVAL_MS = 5_000;

/** A sample of searched vectors, on its way from a serving process to the first process. */
export interface SearchedBatch {
  readonly collection: string;
  /** How many searched vectors the rows were drawn from. */
  readonly seen: number;
  readonly cols: number;
  /** The rows as float32, in base64: messages between processes are JSON. */
  readonly rows: string;
}

/** The message that carries batches. */
interface SearchedMessage {
  readonly kind: 'searched';
  readonly batches: readonly SearchedBatch[];
}

/** Sends samples of what was searched in this process to the first process, which writes the files. */
export class SearchedBatches {
  readonly #samples = new Map<string, { readonly sample: VectorSample; readonly cols: number }>();
  readonly #tell: (message: SearchedMessage) => Promise<void>;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (message: SearchedMessage) => Promise<void>) {
    this.#tell = tell;
  }

  add({ collection, rows }: SearchedVectors): void {
    this.#timer ??= setInterval(() => void this.#send(), SEND_INTERVAL_MS).unref();
    for (const values of rows) this.#sampleOf(collection, values.length).add(values);
  }

  /** Sends what is left. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#send();
  }

  #sampleOf(collection: string, cols: number): VectorSample {
    const existing = this.#samples.get(collection);
    if (existing?.cols === cols) return existing.sample;
    const rowsMax = Math.max(1, Math.min(ROWS_MAX, Math.floor(BYTES_MAX / (4 * cols))));
    const sample = new VectorSample({ cols, rowsMax, seed: process.pid });
    this.#samples.set(collection, { sample, cols });
    return sample;
  }

  async #send(): Promise<void> {
    const batches = [...this.#samples].flatMap(([collection, { sample, cols }]): SearchedBatch[] => {
      if (sample.seen === 0) return [];
      const { data } = sample.held();
      const { seen } = sample.take();
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      return [{ collection, seen, cols, rows: bytes.toString('base64') }];
    });
    if (batches.length > 0) await this.#tell({ kind: 'searched', batches });
  }
}

/** Returns the vectors of a batch. */
export function queriesIn({ seen, cols, rows }: SearchedBatch): VectorBatch {
  // A copy: the bytes of a small buffer lie anywhere in Node's pool.
  const values = new Float32Array(new Uint8Array(Buffer.from(rows, 'base64')).buffer);
  const count = Math.floor(values.length / cols);
  return { seen, rows: Array.from({ length: count }, (_, i) => values.slice(i * cols, (i + 1) * cols)) };
}
