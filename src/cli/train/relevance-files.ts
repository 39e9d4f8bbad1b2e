import type { Distance } from '../../core/distance.js';
import { messageOf, TldrError } from '../../core/errors.js';
import { checkMagnitude, matrixFromRows, type Matrix } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import type { StoreKeys } from '../../store/vector-source.js';
import { readNpyIntegers } from '../../files/npy.js';
import { readFiniteVectors } from '../../files/open-vectors.js';
import { isVectorFile } from '../../files/vector-file-names.js';
import { parseVector } from '../../files/json-vector.js';
import { checkReadMemory } from '../console/check-memory.js';
import { textLines } from '../../files/text-lines.js';

/** A map of so many labels stays below a gigabyte. */
const POINT_LABELS_MAX = 5_000_000;
/** Maps of so many judgements stay below two gigabytes. */
const JUDGEMENTS_MAX = 10_000_000;
/** So many float32 components are a gigabyte. */
const QUERY_COMPONENTS_MAX = 2 ** 28;
/** Sums of larger gains could be infinite. */
const GAIN_MAX = 1e15;

/**
 * Query vectors: a .npy file of N x D (float32 or float16), a Parquet file, or text with one JSON array per line.
 * @param of dimensions and distance of the vectors; unless the distance is cosine, values beyond 1e15 are
 * refused. `column` names the column of a Parquet file
 * @throws NOT_FOUND when the file cannot be read
 * @throws INVALID_DATA when a row or line is unusable, naming it
 * @throws MISMATCH when a .npy or Parquet file has another dimension
 */
export async function readQueryVectors(
  path: string,
  of: { readonly dim: number; readonly distance: Distance; readonly column?: string | undefined },
  signal?: AbortSignal,
): Promise<Matrix> {
  const { dim, distance, column } = of;
  if (isVectorFile(path)) {
    const check = ({ rows, cols }: { readonly rows: number; readonly cols: number }): void => {
      if (cols !== dim) throw new TldrError('MISMATCH', `${path} holds ${cols}-d vectors, expected ${dim}-d`);
      if (rows === 0) throw bad(path, 'it holds no vectors');
      checkReadMemory(path, { rows, cols });
    };
    const x = await readFiniteVectors(path, { column, check, signal });
    if (distance !== 'cosine') checkMagnitude(x, (i) => `row ${i} of ${path}`);
    return x;
  }
  const rows: Float32Array[] = [];
  const lines: number[] = [];
  for await (const { number, text } of textLines(path, signal)) {
    if (text.trim() === '') continue;
    rows.push(Float32Array.from(parseVector(text, `${path} line ${number}`, dim)));
    lines.push(number);
    if (rows.length * dim > QUERY_COMPONENTS_MAX)
      throw bad(
        path,
        `it holds more than ${QUERY_COMPONENTS_MAX} numbers: give a .npy or .parquet file, or fewer vectors`,
      );
  }
  if (rows.length === 0) throw bad(path, 'it holds no vectors: expected one JSON array of numbers per line');
  const x = matrixFromRows(rows);
  if (distance !== 'cosine') checkMagnitude(x, (i) => `${path} line ${lines[i]}`);
  return x;
}

/**
 * Labels, one per row: a .npy file of whole numbers with one axis, or a text file with one label per line.
 * @param rows labels expected
 * @throws NOT_FOUND when the file cannot be read
 * @throws INVALID_DATA when a line is unusable, naming the line
 */
export async function readLabels(
  path: string,
  rows: number,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const check = (found: number): void => {
    if (found !== rows) throw bad(path, `it holds ${found} labels, expected ${rows}, one per vector`);
  };
  if (path.endsWith('.npy')) return (await readNpyIntegers(path, check, signal)).map(String);
  const labels = await labelLines(path, rows, signal);
  check(labels.length);
  return labels;
}

async function labelLines(path: string, rows: number, signal?: AbortSignal): Promise<string[]> {
  const labels: string[] = [];
  let empty = 0;
  for await (const { number, text } of textLines(path, signal)) {
    const label = text.trim();
    if (label === '') empty ||= number;
    else if (empty > 0) throw bad(path, `line ${empty} is empty, expected one label per line`);
    else if (labels.push(label) > Math.max(rows, POINT_LABELS_MAX))
      throw bad(path, `it holds more than ${labels.length - 1} labels, expected ${rows}, one per vector`);
  }
  return labels;
}

/**
 * Labels of points, one `id<TAB>label` per line. Blanks belong to the id, since some databases have such ids.
 * @throws NOT_FOUND when the file cannot be read
 * @throws INVALID_DATA when a line is unusable, naming the line
 */
export async function readPointLabels(
  path: string,
  keys: Pick<StoreKeys, 'parse' | 'format'>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<PointId, string>> {
  const expected = 'expected "id<TAB>label", the id as the database writes it';
  if (path.endsWith('.npy')) throw bad(path, `labels of points are text with one per line: ${expected}`);
  const labels = new Map<PointId, string>();
  for await (const { number, text } of textLines(path, signal)) {
    if (text.trim() === '') continue;
    const at = text.indexOf('\t');
    const label = text.slice(at + 1).trim();
    if (at < 0 || label === '') throw bad(path, `line ${number}: got "${excerpt(text)}", ${expected}`);
    let id: PointId;
    try {
      id = keys.parse(text.slice(0, at));
    } catch (cause) {
      throw bad(path, `line ${number}: ${messageOf(cause)}`, cause);
    }
    const earlier = labels.get(id);
    if (earlier !== undefined && earlier !== label)
      throw bad(
        path,
        `line ${number}: point ${keys.format(id)} has label "${excerpt(label)}" here and "${excerpt(earlier)}" before`,
      );
    labels.set(id, label);
    if (labels.size > POINT_LABELS_MAX)
      throw bad(
        path,
        `it labels more than ${POINT_LABELS_MAX.toLocaleString('en-US')} points: give a part of them`,
      );
  }
  if (labels.size === 0) throw bad(path, `it labels nothing: ${expected}`);
  return labels;
}

/**
 * Numbers the labels of two lists: the same text gets the same number. `names` holds the text of each number.
 */
export function labelNumbers(
  base: readonly string[],
  queries: readonly string[],
): { base: Int32Array; queries: Int32Array; names: readonly string[] } {
  const numbers = new Map<string, number>();
  const numberOf = (label: string): number => {
    const number = numbers.get(label) ?? numbers.size;
    numbers.set(label, number);
    return number;
  };
  const [ofBase, ofQueries] = [Int32Array.from(base, numberOf), Int32Array.from(queries, numberOf)];
  return { base: ofBase, queries: ofQueries, names: [...numbers.keys()] };
}

/** The queries and documents that a qrels file may name. */
export interface QrelsShape<Doc> {
  /** Rows of the query file; queries are numbered from 0. */
  readonly queries: number;
  /** Parses a document. @throws an error whose message says what was expected */
  readonly doc: (text: string) => Doc;
}

/**
 * Returns the judgements of each query, from document to gain. The file is one of
 * - a .npy file of whole numbers with one axis: entry i is query i's one relevant document, -1 for none;
 * - TREC text, `query 0 document gain` between blanks, the second field unused;
 * - `query<TAB>document` or `query<TAB>document<TAB>gain`, also for pairs of a query and a click: no gain
 *   means 1. Blanks belong to the document, since some databases have such ids.
 * Query is the row of the query file. The first line decides the form.
 * @throws NOT_FOUND when the file cannot be read
 * @throws INVALID_DATA when a line is unusable, naming the line
 */
export async function readQrels<Doc>(
  path: string,
  shape: QrelsShape<Doc>,
  signal?: AbortSignal,
): Promise<readonly ReadonlyMap<Doc, number>[]> {
  const gains = path.endsWith('.npy')
    ? await qrelsFromNpy(path, shape, signal)
    : await qrelsFromText(path, shape, signal);
  if (!gains.some((ofQuery) => [...ofQuery.values()].some((gain) => gain > 0)))
    throw bad(path, 'it calls nothing relevant: expected a gain above 0 for at least one query');
  return gains;
}

/** Returns a parser of row numbers of the base, for `readQrels`. */
export function rowDoc(rows: number): (text: string) => number {
  return (text) => {
    const row = /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : Number.NaN;
    if (!(row < rows))
      throw new TldrError(
        'INVALID_DATA',
        `got document "${text}", expected a row of the base, 0 to ${rows - 1}`,
      );
    return row;
  };
}

async function qrelsFromNpy<Doc>(
  path: string,
  { queries, doc }: QrelsShape<Doc>,
  signal: AbortSignal | undefined,
): Promise<Map<Doc, number>[]> {
  const check = (found: number): void => {
    if (found !== queries) throw bad(path, `it holds ${found} entries, expected ${queries}, one per query`);
  };
  const entries = await readNpyIntegers(path, check, signal);
  return entries.map((entry, query) => {
    if (entry === -1n) return new Map();
    try {
      return new Map([[doc(String(entry)), 1]]);
    } catch (cause) {
      throw bad(path, `entry ${query}: ${messageOf(cause)}`, cause);
    }
  });
}

async function qrelsFromText<Doc>(
  path: string,
  shape: QrelsShape<Doc>,
  signal: AbortSignal | undefined,
): Promise<Map<Doc, number>[]> {
  const gains = Array.from({ length: shape.queries }, () => new Map<Doc, number>());
  let form: Judgement['form'] | undefined;
  let judgements = 0;
  for await (const { number, text } of textLines(path, signal)) {
    if (text.trim() === '') continue;
    const judgement = parseJudgement(text);
    if (judgement === null) {
      throw bad(
        path,
        `line ${number}: got "${excerpt(text)}", expected "query 0 document gain" or "query<TAB>document[<TAB>gain]"`,
      );
    }
    if (++judgements > JUDGEMENTS_MAX)
      throw bad(path, `it holds more than ${JUDGEMENTS_MAX} judgements: give a part of them`);
    form ??= judgement.form;
    if (judgement.form !== form)
      throw bad(path, `line ${number}: got a line with ${judgement.form}, the lines before have ${form}`);
    try {
      addJudgement(gains, judgement, shape);
    } catch (cause) {
      throw bad(path, `line ${number}: ${messageOf(cause)}`, cause);
    }
  }
  return gains;
}

interface Judgement {
  readonly form: 'four fields (TREC)' | 'two or three fields (tab-separated)';
  readonly query: string;
  readonly doc: string;
  readonly gain: string;
}

/** Returns a line's fields. One or two tabs separate fields that may hold blanks, as ids of some databases do. */
function parseJudgement(text: string): Judgement | null {
  const tabs = text.trimStart().split('\t');
  // Tabs at the end separate nothing.
  while (tabs.length > 2 && tabs.at(-1)?.trim() === '') tabs.pop();
  const [query = '', gain = '1'] = [tabs[0]?.trim(), tabs[2]?.trim()];
  const [, doc = ''] = tabs;
  const blank = text.trim().split(/\s+/);
  const [first = '', iteration = '', third = '', fourth = ''] = blank;
  // TREC also stands between tabs and blanks. Its second field says nothing, and is 0 or Q0.
  if (blank.length === 4 && /^Q?0$/.test(iteration) && Number.isFinite(Number(fourth)))
    return { form: 'four fields (TREC)', query: first, doc: third, gain: fourth };
  if ((tabs.length === 2 || tabs.length === 3) && /^\d+$/.test(query))
    return doc === '' || gain === ''
      ? null
      : { form: 'two or three fields (tab-separated)', query, doc, gain };
  if (blank.length === 4) return { form: 'four fields (TREC)', query: first, doc: third, gain: fourth };
  return tabs.length === blank.length && (tabs.length === 2 || tabs.length === 3)
    ? { form: 'two or three fields (tab-separated)', query, doc, gain }
    : null;
}

function addJudgement<Doc>(
  gains: readonly Map<Doc, number>[],
  judgement: Judgement,
  { queries, doc }: QrelsShape<Doc>,
): void {
  const ofQuery = /^\d{1,10}$/.test(judgement.query) ? gains[Number(judgement.query)] : undefined;
  if (ofQuery === undefined) {
    throw new TldrError(
      'INVALID_DATA',
      `got query "${judgement.query}", expected a row of the query file, 0 to ${queries - 1}`,
    );
  }
  const gain = Number(judgement.gain);
  if (!(Math.abs(gain) <= GAIN_MAX))
    throw new TldrError(
      'INVALID_DATA',
      `got gain "${judgement.gain}", expected a number from -${GAIN_MAX} to ${GAIN_MAX}`,
    );
  const key = doc(judgement.doc);
  const earlier = ofQuery.get(key);
  if (earlier !== undefined && earlier !== gain) {
    throw new TldrError(
      'INVALID_DATA',
      `query ${judgement.query} and document ${judgement.doc} have gain ${gain} here and ${earlier} before`,
    );
  }
  ofQuery.set(key, gain);
}

function excerpt(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function bad(path: string, why: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', `${path}: ${why}`, { cause });
}
