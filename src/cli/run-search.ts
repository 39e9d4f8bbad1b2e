import { isTldrError, messageOf, TldrError } from '../core/errors.js';
import { checkFinite, checkMagnitude, matrixFromRows, row, type Matrix } from '../core/matrix.js';
import { compactSearch, rescoredSearch } from '../store/projected-search.js';
import { throwIfAborted, type RunOptions } from '../core/run-options.js';
import type { VectorSource } from '../store/vector-source.js';
import type { ScoredPoint } from '../store/search.js';
import { exactSearchByReading } from './exact-search.js';
import { openInput } from '../files/input-stream.js';
import { parseVector } from '../files/json-vector.js';
import { evaluationLine, nextCommand, servingLine } from './console/next-commands.js';
import { hasProxy } from './adapters.js';
import { describeCompact } from './migrate/migrated-target.js';
import { openVectors } from '../files/open-vectors.js';
import { isVectorFile } from '../files/vector-file-names.js';
import { decodedText } from '../files/text-lines.js';
import { withConsole, withSource } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';
import { Encoder } from '../encoder/model.js';

/** The largest vector that a server takes is far smaller. */
const QUERY_BYTES_MAX = 16 * 1024 ** 2;

export interface SearchFlags extends GlobalFlags {
  readonly encoder: string;
  readonly query: string;
  readonly queryColumn?: string;
  readonly row: number;
  readonly limit: number;
  readonly rescore?: number;
  readonly exact?: boolean;
  /** Of a table, the column of vectors. */
  readonly vector?: string;
}

/** Runs `search`. */
export function runSearch(collection: string, flags: SearchFlags): Promise<void> {
  return withConsole(flags, async (run, config) => {
    const encoder = await Encoder.load(flags.encoder);
    const query = await readQuery(flags, encoder.inputDim, run.signal);
    if (encoder.metadata.distance !== 'cosine') checkMagnitude(query, () => nameOf(flags));
    await withSource(config, run, async (store) => {
      const { results, source, notes } = await searchCompact(store, collection, {
        ...flags,
        encoder,
        query,
        run,
      });
      for (const { id, score, payloadJson } of results)
        run.sayCode(`${score.toFixed(6)}  ${store.keys.format(id)}  ${payloadJson ?? ''}`);
      for (const note of notes) run.say(`note: ${note}`);
      const made = { source, target: collection, encoderFile: flags.encoder };
      run.next(
        [evaluationLine(made), ...(hasProxy(config.url) ? [servingLine(made)] : [])].map((line) =>
          nextCommand(flags, line),
        ),
      );
      run.result({ collection, results });
    });
  });
}

/**
 * Projects a full-size query and searches a migration's target with it.
 * @throws MISMATCH when the collection was made with another encoder
 */
async function searchCompact(
  store: VectorSource,
  collection: string,
  options: {
    readonly encoder: Encoder;
    readonly query: Matrix;
    readonly limit: number;
    readonly rescore?: number;
    readonly exact?: boolean;
    readonly vector?: string;
    readonly run: RunOptions;
  },
): Promise<{
  readonly results: readonly ScoredPoint[];
  readonly source: string;
  readonly notes: readonly string[];
}> {
  const { encoder, query, limit, rescore, exact, vector, run } = options;
  const { description, notes } = await describeCompact(store, collection, { encoder, rescore, vector });
  const { source } = description;
  const projected = row(encoder.projectQueries(query), 0);
  const shared = { withPayload: true, ...(exact === undefined ? {} : { exact }) };
  const request =
    rescore === undefined
      ? compactSearch(description, projected, limit)
      : rescoredSearch(description, { full: row(query, 0), projected }, { limit, rescore });
  try {
    return { results: await store.search(collection, { ...request, ...shared }), source, notes };
  } catch (error) {
    if (exact !== true || !isTldrError(error, 'UNSUPPORTED')) throw error;
    run.log?.('warn', `all of ${collection} is read for the exact search: ${messageOf(error)}`);
    const how = { collection, description, encoder, query, limit, rescore };
    return { results: await exactSearchByReading(store, how, run), source, notes };
  }
}

/** Returns the query's name for messages. */
function nameOf({ query, row: at }: SearchFlags): string {
  if (query === '-') return 'standard input';
  return isVectorFile(query) ? `row ${at} of ${query}` : query;
}

/**
 * @throws MISMATCH when the query does not have `dim` numbers
 * @throws INVALID_ARGUMENT when the file lacks the row; NOT_FOUND, INVALID_DATA, ABORTED
 */
async function readQuery(flags: SearchFlags, dim: number, signal: AbortSignal): Promise<Matrix> {
  const check = (found: number): void => {
    if (found !== dim)
      throw new TldrError(
        'MISMATCH',
        `${nameOf(flags)}: the query has ${found} numbers, the encoder expects ${dim}: give a full-size vector`,
      );
  };
  if (isVectorFile(flags.query)) {
    const file = await openVectors(flags.query, flags.queryColumn);
    try {
      if (flags.row >= file.rows)
        throw new TldrError('INVALID_ARGUMENT', `--row ${flags.row}: ${flags.query} has ${file.rows} rows`);
      check(file.cols);
      const query = await file.read(flags.row, flags.row + 1);
      checkFinite(query, () => nameOf(flags));
      return query;
    } finally {
      await file.close();
    }
  }
  const vector = parseVector(await readText(flags.query, signal), nameOf(flags));
  check(vector.length);
  return matrixFromRows([vector]);
}

/**
 * @throws NOT_FOUND when the file cannot be read
 * @throws INVALID_DATA when it is not text, or too long for a vector
 * @throws ABORTED when the signal fires
 */
async function readText(path: string, signal: AbortSignal): Promise<string> {
  const { name, stream } = await openInput(path, signal);
  const limit = {
    sizeBytes: QUERY_BYTES_MAX,
    why: `longer than ${QUERY_BYTES_MAX} bytes, expected one vector`,
  };
  try {
    let text = '';
    for await (const part of decodedText(stream as AsyncIterable<Uint8Array>, name, limit)) text += part;
    return text;
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throwIfAborted(signal);
    throw new TldrError('NOT_FOUND', `cannot read ${name}: ${messageOf(cause)}`, { cause });
  }
}
