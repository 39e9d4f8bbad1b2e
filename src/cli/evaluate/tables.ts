import type { MemoryEstimate } from '../../store/storage.js';
import type { TermResult } from '../../evaluate/acceptance.js';
import type { CollectionComparison } from '../../evaluate/compare-collections.js';
import type { FormReport, Quality } from '../../evaluate/fidelity.js';
import type { Strata } from '../../evaluate/payload-strata.js';
import type { EncoderJudgement, SpaceReport } from '../../evaluate/score-encoder.js';
import { ramBytesOf } from '../console/compact-memory.js';
import type { BeforeAndAfter } from '../page-parts/verdict-words.js';
import { formatNumber } from '../../report/format.js';
import type { ResultRow, ResultTable, ResultValue } from '../../report/result-table.js';

/** Strata that the terminal shows. */
const STRATA_SHOWN = 10;

/**
 * Returns the tables of the comparison of two collections.
 * @param measuredRam memory of both as it was measured; without it, the tables show estimates
 */
export function comparisonTables(
  comparison: CollectionComparison,
  measuredRam: BeforeAndAfter | null = null,
): ResultTable[] {
  const { forms, rescore, headlineK: k, strata, exactQuality, served, bytes } = comparison;
  const { before, after } = measuredRam ?? {
    before: ramBytesOf(bytes.source),
    after: ramBytesOf(bytes.target),
  };
  const ramOf = (form: string): number | null => (form === forms[0]?.name ? before : after);
  const qualities = [...forms, { name: 'full, exact', quality: exactQuality }];
  return [
    ...recallTables(forms, ramOf),
    {
      ...firstResultsTable(forms, k),
      ...(rescore === null
        ? {}
        : { note: `rescored: the first ${rescore} results of the compact search, by the full vectors` }),
    },
    latencyTable(forms, k),
    ...relevanceTables(qualities, comparison),
    ...(measuredRam === null ? [memoryTable(comparison)] : []),
    ...(strata === null ? [] : [strataTable(strata, served)]),
  ];
}

/** Returns the tables of an encoder on files. */
export function judgementTables(judgement: EncoderJudgement): ResultTable[] {
  const { spaces, headlineK: k } = judgement;
  return [
    ...recallTables(spaces),
    firstResultsTable(spaces, k),
    withinTable(spaces, k),
    ...relevanceTables(spaces, judgement),
  ];
}

function plainRows(rows: readonly (readonly ResultValue[])[]): ResultRow[] {
  return rows.map((cells) => ({ cells }));
}

/** A table for each number of results. @param ramOf memory of the collection that a form searches */
function recallTables(forms: readonly FormReport[], ramOf?: (form: string) => number | null): ResultTable[] {
  const ks = forms[0]?.recall.map(({ k }) => k) ?? [];
  return ks.map((at) => ({
    title: `Recall@${at}`,
    columns: [
      [`recall@${at}`],
      ['mean', 3],
      ['95 % interval', 3, 1],
      ...(ramOf === undefined ? [] : [['RAM', 'bytes'] as const]),
      ['dims', 'whole', 3],
      ['median', 3, 4],
      ['p5', 3, 2],
      ['min', 3, 5],
    ],
    rows: plainRows(
      forms.map(({ name, dim, recall }) => {
        const found = recall.find(({ k }) => k === at);
        const ram = ramOf === undefined ? [] : [ramOf(name)];
        return [name, found?.mean, found?.interval, ...ram, dim, found?.median, found?.p5, found?.min];
      }),
    ),
    legend: `Share of the true first ${at} among the ${at} found: mean with its interval, median, 5th percentile and minimum over the queries.`,
  }));
}

function firstResultsTable(forms: readonly FormReport[], k: number): ResultTable {
  return {
    title: `The first ${k} results`,
    columns: [
      [`first ${k} results`],
      ['top-1 agrees', 3],
      ['order (tau)', 3, 1],
      ['score shift', 'signed', 2],
      ['p95 of its size', 4, 3],
    ],
    rows: plainRows(
      forms.map(({ name, topOne, rankCorrelation, scoreShift }) => [
        name,
        topOne,
        rankCorrelation,
        scoreShift?.mean,
        scoreShift?.absoluteP95,
      ]),
    ),
    legend:
      'Order is Kendall’s tau of the results that both lists hold; the shift is score found minus true score.',
  };
}

function withinTable(spaces: readonly SpaceReport[], k: number): ResultTable {
  const depths = spaces[0]?.within ?? [];
  return {
    title: 'Recovered by rescoring',
    columns: [['recovered by rescoring'], ...depths.map(({ depth }) => [`R${k}@${depth}`, 3] as const)],
    rows: plainRows(spaces.map(({ name, within }) => [name, ...within.map(({ recall }) => recall)])),
    legend: `Share of the true first ${k} within so many results.`,
  };
}

function latencyTable(forms: readonly FormReport[], k: number): ResultTable {
  return {
    title: 'Latency',
    columns: [[`milliseconds per query, limit ${k}`], ['p50', 2], ['p95', 2], ['p99', 2]],
    rows: plainRows(
      forms.map(({ name, latencyMs }) => [name, latencyMs?.p50, latencyMs?.p95, latencyMs?.p99]),
    ),
    note: 'one query at a time, the forms in turn, projection included',
  };
}

function memoryTable({ points, bytes }: CollectionComparison): ResultTable {
  const cells = (name: string, size: number, estimate: MemoryEstimate | null): ResultValue[] => [
    name,
    size,
    ramBytesOf(estimate),
    estimate?.indexRamBytes,
    estimate?.vectorsDiskBytes,
  ];
  return {
    title: 'Memory and disk',
    columns: [
      ['estimate of memory'],
      ['points', 'whole', 3],
      ['RAM', 'bytes'],
      ['index alone', 'bytes', 2],
      ['disk (vectors)', 'bytes', 1],
    ],
    rows: plainRows([
      cells('full', points.source, bytes.source),
      cells('compact', points.target, bytes.target),
    ]),
    legend: 'Estimated from dimensions, types, quantisation and graph links; not measured.',
  };
}

/** Returns the table of relevance; none without labels or qrels. */
function relevanceTables(
  forms: readonly { readonly name: string; readonly quality: Quality | null }[],
  {
    queries,
    relevantPoints = null,
  }: Pick<CollectionComparison, 'queries'> & Partial<Pick<CollectionComparison, 'relevantPoints'>>,
): ResultTable[] {
  const judged = forms.flatMap(({ name, quality }) => (quality === null ? [] : [{ name, ...quality }]));
  const [first] = judged;
  if (first === undefined) return [];
  const over = `Over ${formatNumber(first.judgedQueries)} of ${formatNumber(queries)} queries, those that have something relevant`;
  const found =
    relevantPoints === null
      ? ''
      : `; ${formatNumber(relevantPoints.found)} of ${formatNumber(relevantPoints.named)} points called relevant are in the full collection${relevantPoints.found === relevantPoints.named ? '' : '; the others are not counted'}`;
  return [
    {
      title: 'Relevance',
      columns: [['relevance'], ['mAP@100', 3], ['nDCG@10', 3], ['MRR@10', 3]],
      rows: plainRows(
        judged.map(({ name, mapAt100, ndcgAt10, mrrAt10 }) => [name, mapAt100, ndcgAt10, mrrAt10]),
      ),
      note: over + found,
    },
  ];
}

function strataTable({ field, of, k, strata, rare }: Strata, served: string): ResultTable {
  const forms = Object.keys((strata[0] ?? rare)?.recall ?? {});
  const rows = [...strata, ...(rare === null ? [] : [rare])];
  return {
    title: `Recall@${k} by ${field}`,
    columns: [
      [`recall@${k} by ${field}, worst first`],
      ['queries', 'whole', 1],
      ...forms.map((form) => [form, 3] as const),
      [`p5 (${served})`, 3, 2],
      [`min (${served})`, 3, 3],
    ],
    rows: rows.map(({ value, queries, recall, p5, min }, i) => ({
      cells: [value, queries, ...forms.map((form) => recall[form]), p5, min],
      folded: i >= STRATA_SHOWN && i < strata.length,
    })),
    note: `by the payload of the ${of}; ${formatNumber(strata.length)} values with at least 5 queries${rare === null ? '' : `, (rare): ${formatNumber(rare.values)} other values together`}`,
  };
}

/** Returns the table of acceptance terms: those of `--accept`, or those that are commonly published. */
export function termsTable(
  terms: readonly TermResult[],
  { form, asked }: { readonly form: string; readonly asked: boolean },
): ResultTable {
  const about = form === 'encoder' ? 'exact search of the encoder’s space' : 'the search that clients get';
  return {
    title: asked ? 'Acceptance' : 'Usual acceptance terms',
    columns: [[`${asked ? 'accept' : 'usual terms'} (${form})`], ['measured', 4], ['result']],
    rows: terms.map(({ text, value, passed }) => ({
      cells: [text, value, passed ? 'passed' : 'FAILED'],
      tone: passed ? 'good' : 'bad',
    })),
    legend: asked
      ? `About ${about}.`
      : `About ${about}. These acceptance terms are commonly published for a change of embedding model. Without --accept, they do not change the exit code.`,
  };
}
