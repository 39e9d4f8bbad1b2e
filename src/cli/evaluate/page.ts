import { TldrError } from '../../core/errors.js';
import {
  DEFAULT_TERMS,
  DRIFT_TERMS,
  judgeTerms,
  parseTerms,
  type TermResult,
} from '../../evaluate/acceptance.js';
import type { CollectionComparison } from '../../evaluate/compare-collections.js';
import type { FormReport } from '../../evaluate/fidelity.js';
import type { EncoderJudgement } from '../../evaluate/score-encoder.js';
import type { PerQuery } from '../../core/recall-per-query.js';
import type {
  ExampleQueries,
  KeyFigure,
  PageStep,
  ReportInput,
  ReportVerdict,
  SampleMap,
} from '../../report/input.js';
import type { ResultTable } from '../../report/result-table.js';
import { formatInterval, formatPercent, formatShare } from '../../report/format.js';
import { CREATED_BY } from '../../encoder/package-version.js';
import { ramBytesOf } from '../console/compact-memory.js';
import {
  memoryBars,
  savingSentence,
  searchHeadline,
  type BeforeAndAfter,
} from '../page-parts/verdict-words.js';
import type { MemoryBars } from '../../report/input.js';
import { termsTable } from './tables.js';

/** Most methods in the histogram of single queries. */
const HISTOGRAM_METHODS_MAX = 3;

/** Texts and facts that every evaluation page has. */
export interface EvaluationWords {
  readonly title: string;
  readonly queriesFrom: string;
  /** Facts about the data, each a name and a value. */
  readonly facts: readonly (readonly [string, string])[];
  /** The terms of `--accept` with their measured values; empty without it. */
  readonly terms: readonly TermResult[];
  readonly tables: readonly ResultTable[];
  /** The command that was run. */
  readonly command: string;
  readonly map?: SampleMap | null;
  readonly examples?: ExampleQueries | null;
  /** Memory of both collections as it was measured; without it, the page shows estimates. */
  readonly measuredRam?: BeforeAndAfter | null;
  /** What the measured memory counts. */
  readonly ramWords?: string;
  /** What can be done now, if the result is good enough, and if not. */
  readonly next: (isGood: boolean) => readonly PageStep[];
}

const SAMPLED_RAM = 'Vectors or codes, and the graph, measured on a sample and scaled to all points';

/** Returns the comparison of two collections as the input of a report. */
export function comparisonPage(comparison: CollectionComparison, words: EvaluationWords): ReportInput {
  const { forms, bytes, strata, served, headlineK: k, perQuery } = comparison;
  const [full] = forms;
  const form = formNamed(forms, served);
  const weakest = strata?.strata[0];
  const { measuredRam = null, ramWords = SAMPLED_RAM } = words;
  const [before, after] = [ramBytesOf(bytes.source), ramBytesOf(bytes.target)];
  const estimate = before === null || after === null ? null : { before, after };
  const known = measuredRam ?? estimate;
  const details = [
    ...(full === undefined
      ? []
      : [`The full collection, searched by its own index, finds ${percent(recallAt(full, k))}.`]),
    ...(strata === null || weakest === undefined
      ? []
      : [
          `The weakest value of ${strata.field} is ${weakest.value}: ${percent(weakest.recall[served] ?? Number.NaN)} over ${weakest.queries} queries.`,
        ]),
  ];
  return page({
    words,
    form,
    k,
    details,
    headline: searchHeadline(recallAt(form, k), known),
    memory:
      known === null
        ? null
        : memoryBars(known, {
            points: comparison.points.source,
            note: `${measuredRam === null ? 'Vectors and index, estimated from dimensions, types and graph links' : ramWords}. Ids and payload are the same in both.`,
          }),
    figures: latencyFigures(form, full),
    perQuery: [...perQuery].reverse(),
  });
}

/** Returns the scores of an encoder on files as the input of a report. */
export function judgementPage(judgement: EncoderJudgement, words: EvaluationWords): ReportInput {
  const { spaces, bytes, headlineK: k, perQuery, outputDim } = judgement;
  const form = formNamed(spaces, 'encoder');
  const pca = spaces
    .filter(({ name }) => name.startsWith('pca'))
    .map((one) => recallAt(one, k))
    .sort((a, b) => b - a)[0];
  const within = spaces.find(({ name }) => name === 'encoder')?.within ?? [];
  const details = [...(pca === undefined ? [] : [`PCA with ${outputDim} dimensions finds ${percent(pca)}.`])];
  const vectors = { before: bytes.full, after: bytes.compact };
  return page({
    words,
    form,
    k,
    details,
    headline: searchHeadline(recallAt(form, k), vectors, 'memory for vectors'),
    memory: memoryBars(vectors, {
      points: judgement.rows,
      title: 'Memory for vectors',
      note: 'As float32, without an index.',
    }),
    figures: within.map(({ depth, recall }) => ({
      term: `In the first ${depth}`,
      value: formatShare(recall),
      note: `R${k}@${depth}, what rescoring ${depth} finds`,
    })),
    // Exact search of the full vectors finds everything: its bars would flatten the others.
    perQuery: perQuery.filter(({ name }) => name !== 'full vectors'),
  });
}

function page(parts: {
  readonly words: EvaluationWords;
  readonly form: FormReport;
  readonly k: number;
  readonly headline: string;
  readonly memory: MemoryBars | null;
  readonly details: readonly string[];
  readonly figures: readonly KeyFigure[];
  readonly perQuery: readonly PerQuery[];
}): ReportInput {
  const { words, form, k, figures, memory, perQuery } = parts;
  const recall = form.recall.find((one) => one.k === k);
  const terms = words.terms.length > 0 ? words.terms : defaultTerms(form);
  const verdict = verdictOf(parts, terms);
  const { map = null, examples = null } = words;
  return {
    title: words.title,
    createdBy: CREATED_BY,
    verdict,
    ...(memory === null ? {} : { memory }),
    ...(map === null ? {} : { map }),
    ...(examples === null ? {} : { examples }),
    next: words.next(verdict.tone !== 'bad'),
    figures: [
      {
        term: `Recall@${k}`,
        value: formatShare(recallAt(form, k)),
        ...(recall === undefined ? {} : { note: formatInterval(recall.interval) }),
      },
      { term: 'First result agrees', value: formatShare(form.topOne), note: 'share of queries' },
      ...figures,
    ],
    facts: [...words.facts, ['Queries', words.queriesFrom], ['Truth', 'exact search of the full vectors']],
    perQuery: perQuery.slice(0, HISTOGRAM_METHODS_MAX),
    perQueryK: k,
    tables: [termsTable(terms, { form: form.name, asked: words.terms.length > 0 }), ...words.tables],
    reproduce: [words.command],
  };
}

/**
 * Returns the commonly published terms that were measured: without `--accept`, they decide the verdict's words, not the
 * exit code.
 */
function defaultTerms(form: FormReport): TermResult[] {
  return judgeTerms(parseTerms(`${DEFAULT_TERMS}, ${DRIFT_TERMS}`), form).filter(
    ({ value }) => value !== null,
  );
}

function verdictOf(
  { words, form, k, details, headline, memory }: Parameters<typeof page>[0],
  terms: readonly TermResult[],
): ReportVerdict {
  const failed = terms.filter(({ passed }) => !passed);
  const asked = words.terms.length > 0;
  const tone = failed.length === 0 ? 'good' : asked || agreesLittle(failed) ? 'bad' : 'caution';
  const labels = asked
    ? { good: 'Accepted', caution: 'Accepted', bad: 'Not accepted' }
    : { good: 'Close to full search', caution: 'With caution', bad: 'Far from full search' };
  const what = asked ? 'acceptance terms' : 'usual acceptance terms';
  const judged =
    failed.length === 0
      ? `All ${terms.length} ${what} hold.`
      : `${failed.length} of ${terms.length} ${what} do not hold: ${failed.map(({ text }) => text).join(', ')}.`;
  const recall = form.recall.find((one) => one.k === k);
  return {
    tone,
    label: labels[tone],
    headline,
    ...(memory === null ? {} : { lead: savingSentence(memory) }),
    details: [
      `That is ${nameOf(form)}, compared with exact search of the full vectors.`,
      judged,
      ...(recall === undefined
        ? []
        : [`The 95 % interval is ${recall.interval.map(percent).join(' to ')}. ${queriesWords(recall)}`]),
      ...details,
    ],
  };
}

/** Returns what the middle query and the worst query find. */
function queriesWords({ median, min }: { readonly median: number; readonly min: number }): string {
  if (min === 1) return 'Every query finds all of them.';
  const half = median === 1 ? 'all of them' : `${percent(median)} or more`;
  return `Half of the queries find ${half}; the worst query finds ${percent(min)}.`;
}

/** True if a tier of mean agreement (top1, top10) fails. */
function agreesLittle(failed: readonly TermResult[]): boolean {
  return failed.some(({ text }) => /^top1/.test(text));
}

function nameOf({ name, dim }: FormReport): string {
  if (name === 'rescored')
    return 'the search that clients get: by the compact vectors, rescored by the full ones';
  return name === 'compact'
    ? `the compact collection of ${dim} dimensions, which clients search`
    : `the encoder to ${dim} dimensions`;
}

function latencyFigures(form: FormReport, full: FormReport | undefined): KeyFigure[] {
  const { latencyMs } = form;
  if (latencyMs === null) return [];
  const before = full?.latencyMs ?? null;
  const note = before === null ? {} : { note: `${before.p95.toFixed(1)} ms full` };
  return [{ term: 'Latency p95', value: `${latencyMs.p95.toFixed(1)} ms`, ...note }];
}

function recallAt({ recall }: FormReport, k: number): number {
  return recall.find((one) => one.k === k)?.mean ?? Number.NaN;
}

function percent(share: number): string {
  return formatPercent(share, 1);
}

/**
 * Returns the form of that name.
 * @throws INTERNAL when it was not measured
 */
export function formNamed<T extends FormReport>(forms: readonly T[], name: string): T {
  const form = forms.find((one) => one.name === name);
  if (form === undefined) throw new TldrError('INTERNAL', `${name} was not measured`);
  return form;
}
