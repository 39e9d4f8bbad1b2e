import { dirname } from 'node:path';
import type { Config } from '../../config/load.js';
import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import type { Log } from '../../core/run-options.js';
import { turns } from '../../core/run-in-turn.js';
import { checkWritable, destinationOf } from '../../core/write-file.js';
import { checkFinite, row } from '../../core/matrix.js';
import { readEncoderFile } from '../../encoder/file.js';
import { Encoder } from '../../encoder/model.js';
import { readNpy, writeNpy } from '../../files/npy.js';
import type { ShapeCheck } from '../../files/vector-file.js';
import { makeOwnFolder } from '../../migrate/dual-write/private-folder.js';
import { removeLeftovers } from '../../migrate/state/replace-file.js';
import type { SearchedVectors } from '../../serve/protocol.js';
import { VectorSample, type VectorBatch } from '../../serve/vector-sample.js';

const ROWS_MAX = 10_000;
const BYTES_MAX = 64 * 1024 ** 2;
const WRITE_INTERVAL_MS = 60_000;
const SEED = 1;
const OTHERS = 0o077;

interface Recorded {
  readonly collection: string;
  readonly path: string;
  /** Where the path leads to. */
  readonly file: string;
  readonly sample: VectorSample;
  /** `sample.seen` when the file was last written. */
  written: number;
  /** Whether the last attempt to write failed, so that the log says it once. */
  failing: boolean;
}

interface RecordingOptions {
  readonly log: Log;
  readonly intervalMs?: number;
}

/** The files with samples of the vectors that clients search for. One process writes them. */
export class RecordedQueries {
  readonly #recorded: ReadonlyMap<string, Recorded>;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #inTurn = turns();

  private constructor(
    recorded: readonly Recorded[],
    { log, intervalMs = WRITE_INTERVAL_MS }: RecordingOptions,
  ) {
    this.#recorded = new Map(recorded.map((one) => [one.collection, one]));
    this.#log = log;
    if (recorded.length > 0) this.#timer = setInterval(() => void this.write(), intervalMs).unref();
  }

  /**
   * Checks the files and goes on with the samples that are in them.
   * @throws INVALID_ARGUMENT when other users may change a file's folder, a file cannot be written, or it holds
   * anything but vectors of the collection's dimensions; the errors of reading the encoder
   */
  static async open(config: Config, options: RecordingOptions): Promise<RecordedQueries> {
    return new RecordedQueries(await openedAll(config), options);
  }

  /** Checks the same, and writes nothing but missing folders. @throws as `open` */
  static async check(config: Config): Promise<void> {
    await openedAll(config);
  }

  add({ collection, rows }: SearchedVectors): void {
    const sample = this.#recorded.get(collection)?.sample;
    for (const values of rows) sample?.add(values);
  }

  merge(collection: string, batch: VectorBatch): void {
    this.#recorded.get(collection)?.sample.merge(batch);
  }

  /** Writes the files whose samples have changed. Never fails: the log says which file cannot be written. */
  write(): Promise<void> {
    return this.#inTurn(async () => {
      for (const one of this.#recorded.values()) if (one.sample.seen > one.written) await this.#writeOne(one);
    });
  }

  /** Writes the files for the last time. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.write();
  }

  async #writeOne(one: Recorded): Promise<void> {
    const { collection, path, sample } = one;
    const { seen } = sample;
    const x = sample.held();
    try {
      await writeNpy(path, { rows: x.rows, cols: x.cols, isPrivate: true }, [x]);
      one.written = seen;
      one.failing = false;
    } catch (error) {
      if (!one.failing)
        this.#log('warn', `the recorded queries of ${collection} are not written: ${messageOf(error)}`);
      one.failing = true;
    }
  }
}

async function openedAll(config: Config): Promise<Recorded[]> {
  const recorded: Recorded[] = [];
  for (const [collection, { encoder, recordQueries: path }] of Object.entries(config.collections)) {
    if (path === undefined) continue;
    const { inputDim } = Encoder.fromBytes(await readEncoderFile(encoder), encoder);
    const one = await opened(collection, path, inputDim);
    const other = recorded.find(({ file }) => file === one.file);
    if (other !== undefined)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `the queries of ${collection} and of ${other.collection} would be recorded in the same file, ${one.file}: give each collection its own`,
      );
    recorded.push(one);
  }
  return recorded;
}

async function opened(collection: string, path: string, inputDim: number): Promise<Recorded> {
  const use = `the recorded queries of ${collection}`;
  await makeOwnFolder(dirname(path), use);
  const destination = await destinationOf(path);
  if (destination.isDevice)
    throw new TldrError('INVALID_ARGUMENT', `${path} cannot hold ${use}: it is a device, expected a file`);
  await makeOwnFolder(dirname(destination.path), use);
  await checkWritable(path);
  await removeLeftovers(path);
  const rowsMax = Math.max(1, Math.min(ROWS_MAX, Math.floor(BYTES_MAX / (4 * inputDim))));
  const sample = new VectorSample({ cols: inputDim, rowsMax, seed: SEED });
  const { replaced } = destination;
  if (replaced !== null) await goOnWith(path, { collection, sample, inputDim, rowsMax });
  // A file that others may read is replaced soon.
  const isOpen = replaced !== null && (replaced.mode & OTHERS) !== 0;
  return {
    collection,
    path,
    file: destination.path,
    sample,
    written: isOpen ? -1 : sample.seen,
    failing: false,
  };
}

/** Adds the vectors of an earlier run. */
async function goOnWith(
  path: string,
  wanted: { collection: string; sample: VectorSample; inputDim: number; rowsMax: number },
): Promise<void> {
  const { collection, sample, inputDim, rowsMax } = wanted;
  const refused = (why: string, cause?: unknown): TldrError =>
    new TldrError(
      'INVALID_ARGUMENT',
      `${path} is not replaced by the recorded queries of ${collection}: ${why}. Name a file that does not exist, or one that an earlier recording made`,
      { cause },
    );
  try {
    const check: ShapeCheck = ({ rows, cols }) => {
      if (cols !== inputDim) throw refused(`it holds vectors of ${cols} dimensions, expected ${inputDim}`);
      if (rows > rowsMax) throw refused(`it holds ${rows} vectors, expected at most ${rowsMax}`);
    };
    const x = await readNpy(path, undefined, check);
    checkFinite(x, (i) => `row ${i} of ${path}`);
    for (let i = 0; i < x.rows; i++) sample.add(row(x, i));
  } catch (cause) {
    if (isTldrError(cause, 'INVALID_ARGUMENT')) throw cause;
    throw refused(messageOf(cause), cause);
  }
}
