import type { MemoryEstimate } from '../../store/storage.js';
import type { CollectionComparison } from '../../evaluate/compare-collections.js';
import type { FormReport, Quality } from '../../evaluate/fidelity.js';
import type { SpaceReport } from '../../evaluate/score-encoder.js';
import type { Strata } from '../../evaluate/payload-strata.js';
import type { ReportTable } from '../../report/input.js';
import { megabytes } from '../console/run.js';

/** Most strata on the page; the JSON object holds all of them. */
const STRATA_SHOWN = 50;
const NOTHING = '–';

const share = (value: number): string => (Number.isNaN(value) ? NOTHING : value.toFixed(3));
const count = (value: number): string => value.toLocaleString('en-US');

/** Returns tables of recall at every k, and of how the first results compare, by form. */
export function formTables(forms: readonly FormReport[], k: number): ReportTable[] {
  const ks = forms[0]?.recall.map((one) => one.k) ?? [];
  return [
    {
      title: 'Recall',
      columns: ['Form', 'Dims', 'Recall', 'Mean', '95 % interval', 'Median', 'p5', 'Min'],
      rows: ks.flatMap((at) =>
        forms.flatMap(({ name, dim, recall }) =>
          recall
            .filter((one) => one.k === at)
            .map(({ mean, interval, median, p5, min }) => [
              name,
              count(dim),
              `@${at}`,
              share(mean),
              interval.map(share).join(' to '),
              ...[median, p5, min].map(share),
            ]),
        ),
      ),
      note: 'Share of the true first k among the k found; median, 5th percentile and minimum over the queries.',
    },
    {
      title: `The first ${k} results`,
      columns: ['Form', 'First agrees', 'Order (tau)', 'Score shift', 'p95 of its size'],
      rows: forms.map(({ name, topOne, rankCorrelation, scoreShift }) => [
        name,
        share(topOne),
        rankCorrelation === null ? NOTHING : share(rankCorrelation),
        scoreShift === null ? NOTHING : scoreShift.mean.toFixed(4),
        scoreShift === null ? NOTHING : scoreShift.absoluteP95.toFixed(4),
      ]),
      note: 'Order is Kendall’s tau of the results that both lists hold; the shift is score found minus true score.',
    },
  ];
}

/** Returns a table of the recall within more results, which rescoring could recover. */
export function withinTable(spaces: readonly SpaceReport[], k: number): ReportTable {
  return {
    title: 'Recovered by rescoring',
    columns: ['Space', ...(spaces[0]?.within ?? []).map(({ depth }) => `R${k}@${depth}`)],
    rows: spaces.map(({ name, within }) => [name, ...within.map(({ recall }) => share(recall))]),
    note: `Share of the true first ${k} within so many results.`,
  };
}

/** Returns a table of the latency of single queries. */
export function latencyTable(forms: readonly FormReport[], k: number): ReportTable {
  return {
    title: 'Latency',
    columns: ['Form', 'p50', 'p95', 'p99'],
    rows: forms.map(({ name, latencyMs }) => [
      name,
      ...[latencyMs?.p50, latencyMs?.p95, latencyMs?.p99].map((ms) =>
        ms === undefined ? NOTHING : `${ms.toFixed(2)} ms`,
      ),
    ]),
    note: `Limit ${k}, one query at a time, the forms in turn, projection included.`,
  };
}

/** Returns a table of points and estimated bytes of both collections. */
export function memoryTable({ points, bytes }: Pick<CollectionComparison, 'points' | 'bytes'>): ReportTable {
  const cells = (name: string, size: number, estimate: MemoryEstimate | null): string[] => [
    name,
    count(size),
    ...[estimate?.vectorsRamBytes, estimate?.indexRamBytes, estimate?.vectorsDiskBytes].map((bytes) =>
      bytes === undefined ? NOTHING : megabytes(bytes),
    ),
  ];
  return {
    title: 'Bytes',
    columns: ['Collection', 'Points', 'Vectors in RAM', 'Index in RAM', 'Vectors on disk'],
    rows: [cells('full', points.source, bytes.source), cells('compact', points.target, bytes.target)],
    note: 'Estimated from dimensions, types, quantisation and graph links; not measured.',
  };
}

/** Numbers of queries and of relevant points. */
interface Judged {
  readonly queries: number;
  readonly relevantPoints?: CollectionComparison['relevantPoints'];
}

/** Returns a note on which queries and points the relevance figures cover. */
export function qualityNote({ judgedQueries }: Quality, { queries, relevantPoints = null }: Judged): string {
  const over = `Over ${count(judgedQueries)} of ${count(queries)} queries, those that have something relevant`;
  if (relevantPoints === null) return over;
  const { found, named } = relevantPoints;
  const rest = found === named ? '' : '; the others are not counted';
  return `${over}; ${count(found)} of ${count(named)} points called relevant are in the full collection${rest}`;
}

/** Returns a table of the relevance figures; null without labels or qrels. */
export function qualityTable(
  rows: readonly (readonly [string, Quality | null])[],
  over: Judged,
): ReportTable | null {
  const judged = rows.flatMap(([name, quality]) => (quality === null ? [] : [{ name, ...quality }]));
  const [first] = judged;
  if (first === undefined) return null;
  return {
    title: 'Relevance',
    columns: ['Form', 'mAP@100', 'nDCG@10', 'MRR@10'],
    rows: judged.map(({ name, mapAt100, ndcgAt10, mrrAt10 }) => [
      name,
      ...[mapAt100, ndcgAt10, mrrAt10].map(share),
    ]),
    note: `${qualityNote(first, over)}.`,
  };
}

/** Returns a table of recall by the values of a payload field, the worst first. */
export function strataTable({ field, of, k, strata, rare }: Strata, served: string): ReportTable {
  const shown = strata.slice(0, STRATA_SHOWN);
  const rows = [...shown, ...(rare === null ? [] : [rare])];
  const forms = Object.keys(rows[0]?.recall ?? {});
  return {
    title: `Recall@${k} by ${field}`,
    columns: ['Value', 'Queries', ...forms, `p5 (${served})`, `Min (${served})`],
    rows: rows.map(({ value, queries, recall, p5, min }) => [
      value,
      count(queries),
      ...forms.map((form) => share(recall[form] ?? Number.NaN)),
      share(p5),
      share(min),
    ]),
    note: `The worst first, by the payload of the ${of}; ${shown.length} of ${count(strata.length)} values with at least 5 queries${rare === null ? '' : `, (rare): ${count(rare.values)} other values together`}.`,
  };
}
