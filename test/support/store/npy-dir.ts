import { parse, stringify } from 'lossless-json';
import { randomUUID } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DISTANCES, score, type Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import { gatherRows, matrixFromRows, row, type Matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { Rng } from '../../../src/core/rng.js';
import { throwIfAborted } from '../../../src/core/run-options.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import type { Adapter } from '../../../src/store/adapter.js';
import type { IdRange, PointBatch, SampleOptions, ScanOptions } from '../../../src/store/points.js';
import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import type { ContractCollection } from '../../../src/store/testing/index.js';
import type { VectorSource } from '../../../src/store/vector-source.js';

/**
 * A third adapter: a folder of .npy files. A collection `docs` is `docs.npy` with one row for each point,
 * `docs.jsonl` with one line `{"id": "any text", "payload": {...}}` for each, in order of ids, and `docs.json` with its
 * distance and metadata. A line with `"vector": false` is a point without the vector. The folder is only read.
 */
export const NPY_DIR: Adapter = {
  name: 'npy-dir',
  schemes: ['npy+dir'],
  settings: [],
  open: async ({ url }) => openNpyDir(decodeURIComponent(new URL(url).pathname)),
};

const BATCH_POINTS = 256;
/** The collections' one vector. Such a file has no place for a name. */
const VECTOR_NAME = '';

/** What `docs.json` holds. */
export interface NpyDirSettings {
  readonly distance: Distance;
  /** JSON text per key. */
  readonly metadata: Readonly<Record<string, string>>;
}

interface Line {
  readonly id: string;
  readonly payloadJson: string;
  readonly hasVector: boolean;
}

/** A collection as it is held in memory. */
interface Loaded extends NpyDirSettings {
  readonly vectors: Matrix;
  readonly lines: readonly Line[];
}

/** Texts in the order of their code units. */
function compareTexts(a: PointId, b: PointId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isSettings(value: unknown): value is NpyDirSettings {
  if (typeof value !== 'object' || value === null || !('metadata' in value)) return false;
  const { metadata } = value;
  if (typeof metadata !== 'object' || metadata === null || !('distance' in value)) return false;
  return (
    DISTANCES.some((one) => one === value.distance) &&
    Object.values(metadata).every((text) => typeof text === 'string')
  );
}

function parseLine(text: string): Line {
  const value = parse(text);
  if (typeof value !== 'object' || value === null || !('id' in value) || typeof value.id !== 'string')
    throw new TldrError('INVALID_DATA', `a line without an id: ${text}`);
  const payload: unknown = 'payload' in value ? value.payload : {};
  const hasVector = !('vector' in value) || value.vector !== false;
  return { id: value.id, payloadJson: stringify(payload) ?? '{}', hasVector };
}

/** The files of one folder. Each collection is read once. */
class NpyDir {
  readonly #loaded = new Map<string, Promise<Loaded>>();

  constructor(readonly dir: string) {}

  load(name: string): Promise<Loaded> {
    const found = this.#loaded.get(name) ?? this.#read(name);
    this.#loaded.set(name, found);
    found.catch(() => this.#loaded.delete(name));
    return found;
  }

  async #read(name: string): Promise<Loaded> {
    const path = join(this.dir, basename(name));
    const texts = await Promise.all([
      readFile(`${path}.json`, 'utf8'),
      readFile(`${path}.jsonl`, 'utf8'),
    ]).catch((cause: unknown) => {
      throw new TldrError('NOT_FOUND', `there is no collection ${name} in ${this.dir}`, { cause });
    });
    const settings: unknown = JSON.parse(texts[0]);
    if (!isSettings(settings))
      throw new TldrError('INVALID_DATA', `${path}.json has no distance or metadata`);
    const lines = texts[1]
      .split('\n')
      .filter((text) => text !== '')
      .map(parseLine);
    const vectors = await readNpy(`${path}.npy`);
    if (vectors.rows !== lines.length)
      throw new TldrError('INVALID_DATA', `${path}.npy has ${vectors.rows} rows, expected ${lines.length}`);
    if (lines.some(({ id }, i) => i > 0 && compareTexts(lines[i - 1]!.id, id) >= 0))
      throw new TldrError('INVALID_DATA', `${path}.jsonl is not in order of ids`);
    return { ...settings, vectors, lines };
  }

  /** @throws NOT_FOUND for a vector other than the one */
  async vectorsOf(name: string, vectorName: string): Promise<Loaded> {
    const loaded = await this.load(name);
    if (vectorName === VECTOR_NAME) return loaded;
    throw new TldrError('NOT_FOUND', `collection ${name} has no dense vector "${vectorName}"`);
  }
}

function batchOf({ lines, vectors }: Loaded, rows: readonly number[]): PointBatch {
  const chosen = rows.map((i) => lines[i]!);
  const extra = chosen.map(({ payloadJson }) => Buffer.from(payloadJson));
  const own = gatherRows(vectors, rows);
  return {
    ids: chosen.map(({ id }) => id),
    vectors: own,
    hasVector: Uint8Array.from(chosen, ({ hasVector }) => (hasVector ? 1 : 0)),
    extra,
    sizeBytes: own.data.byteLength + extra.reduce((sum, bytes) => sum + bytes.length, 0),
  };
}

function inRange(id: string, { from, to }: IdRange): boolean {
  return (from === null || compareTexts(id, from) >= 0) && (to === null || compareTexts(id, to) < 0);
}

/** Opens a folder as a store that is only read: it has no facets. */
export async function openNpyDir(dir: string): Promise<VectorSource> {
  const found = await stat(dir).catch(() => null);
  if (found?.isDirectory() !== true) throw new TldrError('UNAVAILABLE', `there is no folder ${dir}`);
  const files = new NpyDir(dir);
  return {
    kind: 'npy-dir',
    endpoint: `npy+dir://${dir}`,
    keys: { parse: (text) => text, format: String, compare: compareTexts },
    listCollections: () => collectionsOf(dir),
    exists: async (name) => (await collectionsOf(dir)).includes(name),
    describe: async (name) => {
      const { vectors, distance, metadata } = await files.load(name);
      const vector = {
        name: VECTOR_NAME,
        dim: vectors.cols,
        distance,
        multivector: false,
        componentBytes: 4,
      };
      return { name, vectors: [vector], otherVectors: [], partitions: [], metadata, native: '{}' };
    },
    count: async (name) => (await files.load(name)).lines.length,
    scan: (name, options) => scanned(files, name, options),
    retrieve: async (name, ids, { vectorName }) => {
      const loaded = await files.vectorsOf(name, vectorName);
      const wanted = new Set(ids);
      return batchOf(
        loaded,
        loaded.lines.flatMap(({ id }, i) => (wanted.has(id) ? [i] : [])),
      );
    },
    sample: (name, options) => sampled(files, name, options),
    search: (name, request) => searched(files, name, request),
    payloadJson: (extra) => Buffer.from(extra).toString(),
    close: () => Promise.resolve(),
  };
}

async function collectionsOf(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith('.npy')).map((name) => name.slice(0, -4));
}

async function* scanned(
  files: NpyDir,
  name: string,
  { vectorName, range = { from: null, to: null }, batchSize = BATCH_POINTS, signal }: ScanOptions,
): AsyncGenerator<PointBatch> {
  const loaded = await files.vectorsOf(name, vectorName);
  const rows = loaded.lines.flatMap(({ id }, i) => (inRange(id, range) ? [i] : []));
  for (let start = 0; start < rows.length; start += batchSize) {
    throwIfAborted(signal);
    yield batchOf(loaded, rows.slice(start, start + batchSize));
  }
}

async function sampled(
  files: NpyDir,
  name: string,
  { vectorName, size, signal }: SampleOptions,
): Promise<{ ids: readonly PointId[]; vectors: Matrix }> {
  const loaded = await files.vectorsOf(name, vectorName);
  throwIfAborted(signal);
  const having = loaded.lines.flatMap(({ hasVector }, i) => (hasVector ? [i] : []));
  const seed = randomUUID().replaceAll('-', '').slice(0, 8);
  const order = new Rng(Number.parseInt(seed, 16)).permutation(having.length);
  const { ids, vectors } = batchOf(
    loaded,
    [...order.subarray(0, size)].map((i) => having[i]!),
  );
  return { ids, vectors };
}

async function searched(
  files: NpyDir,
  name: string,
  { vectorName, vector, limit, withPayload = false, prefetch }: SearchRequest,
): Promise<readonly ScoredPoint[]> {
  if (prefetch !== undefined) throw new TldrError('UNSUPPORTED', 'a collection here has one vector only');
  const { lines, vectors, distance } = await files.vectorsOf(name, vectorName);
  const sign = distance === 'cosine' || distance === 'dot' ? -1 : 1;
  return lines
    .flatMap(({ id, payloadJson, hasVector }, i) =>
      hasVector ? [{ id, score: score(vector, row(vectors, i), distance), payloadJson }] : [],
    )
    .sort((a, b) => sign * (a.score - b.score))
    .slice(0, limit)
    .map(({ id, score: found, payloadJson }) =>
      withPayload ? { id, score: found, payloadJson } : { id, score: found },
    );
}

/** Writes the files of a collection. */
export async function writeNpyDir(
  dir: string,
  { name, dim, distance, points }: Omit<ContractCollection, 'vectorName'>,
  metadata: NpyDirSettings['metadata'] = {},
): Promise<void> {
  const sorted = [...points].sort((a, b) => compareTexts(a.id, b.id));
  const none = new Float32Array(dim);
  const all = matrixFromRows(sorted.map(({ vector }) => vector ?? none));
  const lines = sorted.map(({ id, payloadJson, vector }) => {
    const lacks = vector === null ? ',"vector":false' : '';
    return `{"id":${JSON.stringify(String(id))},"payload":${payloadJson}${lacks}}\n`;
  });
  const path = join(dir, name);
  await writeNpy(`${path}.npy`, { rows: sorted.length, cols: dim }, [all]);
  await writeFile(`${path}.jsonl`, lines.join(''));
  await writeFile(`${path}.json`, JSON.stringify({ distance, metadata }));
}
