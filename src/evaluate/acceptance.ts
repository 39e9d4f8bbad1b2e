import { TldrError } from '../core/errors.js';
import type { FormReport } from './fidelity.js';

type Comparison = '>=' | '>' | '<=' | '<';

/** A condition on a measure of the form of search that clients get. */
export interface AcceptTerm {
  /** The term as the user wrote it. */
  readonly text: string;
  readonly metric: string;
  readonly comparison: Comparison;
  readonly bound: number;
}

/** A term with its measured value. If the measure does not exist, `value` is null and the term fails. */
export interface TermResult extends AcceptTerm {
  readonly value: number | null;
  readonly passed: boolean;
}

/**
 * Thresholds often published for verifying a migration or a change of the embedding model: agreement of
 * the first result and of the first ten, then the mean recall at 10 and its median, minimum and 5th
 * percentile.
 */
export const DEFAULT_TERMS =
  'top1>=0.80, top10>=0.70, recall@10>=0.85, median@10>=0.90, min@10>=0.50, p5@10>=0.60';

/** Terms that the published ones are joined by if drift is measured: twice the share without drift. */
export const DRIFT_TERMS = 'drift<=0.10';

const AT_K = ['recall', 'median', 'min', 'p5'] as const;
const QUALITY = ['map@100', 'ndcg@10', 'mrr@10'] as const;
const LATENCY = ['latency-p50', 'latency-p95', 'latency-p99'] as const;
const DRIFT = ['drift', 'new-recall', 'old-recall'] as const;
const METRICS = `top1, top10, ${AT_K.map((name) => `${name}@K`).join(', ')}, ${['tau', ...QUALITY, ...LATENCY, ...DRIFT].join(', ')}`;

/**
 * Reads terms such as `recall@10>=0.9, min>=0.4`. A percent sign divides by 100; without `@K`, `@10` is
 * meant.
 * @throws INVALID_ARGUMENT when a term cannot be read; the message names the term and the expected form
 */
export function parseTerms(text: string): AcceptTerm[] {
  return text.split(',').map((part) => {
    const term = part.trim();
    const match = /^([a-z0-9@-]+)\s*(>=|<=|>|<)\s*(\d*\.?\d+)\s*(%?)$/i.exec(term);
    if (match === null) {
      throw new TldrError(
        'INVALID_ARGUMENT',
        `"${term}" is no acceptance term: expected a measure, >= or <= (or > or <) and a number, for example recall@10>=0.9`,
      );
    }
    const [, name = '', comparison = '>=', number = '', percent] = match;
    const bound = Number(number) / (percent === '%' ? 100 : 1);
    return {
      text: term,
      metric: metricNamed(name.toLowerCase(), term),
      comparison: comparison as Comparison,
      bound,
    };
  });
}

function metricNamed(name: string, term: string): string {
  if (name === 'top10') return 'recall@10';
  if (name === 'top1' || name === 'tau') return name;
  if ([...QUALITY, ...LATENCY, ...DRIFT].some((known) => known === name)) return name;
  const [measure = '', k = '10'] = name.split('@');
  const isAtK = AT_K.some((known) => known === measure);
  if (!isAtK || !/^[1-9]\d{0,4}$/.test(k) || name.split('@').length > 2) {
    throw new TldrError('INVALID_ARGUMENT', `"${term}": ${name} is no measure: expected one of ${METRICS}`);
  }
  return `${measure}@${k}`;
}

/** The numbers K of results in the terms; searches with these limits are needed. */
export function depthsOf(terms: readonly AcceptTerm[]): number[] {
  return terms.flatMap(({ metric }) => {
    const [measure, k] = metric.split('@');
    return AT_K.some((known) => known === measure) ? [Number(k)] : [];
  });
}

/** True if a term is about relevance, which needs labels or qrels. */
export function needsRelevance(terms: readonly AcceptTerm[]): boolean {
  return terms.some(({ metric }) => QUALITY.some((known) => known === metric));
}

/** True if a term is about latency, which can be measured only with a server. */
export function needsLatency(terms: readonly AcceptTerm[]): boolean {
  return terms.some(({ metric }) => LATENCY.some((known) => known === metric));
}

/** True if a term is about drift, which is measured only on request. */
export function needsDrift(terms: readonly AcceptTerm[]): boolean {
  return terms.some(({ metric }) => DRIFT.some((known) => known === metric));
}

/**
 * The measured values that a term can be about, by name: shares from 0 to 1, latencies in milliseconds.
 * Values that are not finite are omitted.
 */
export function measuresOf(form: FormReport): ReadonlyMap<string, number> {
  const { recall, topOne, rankCorrelation, quality, latencyMs, drift } = form;
  const measures = new Map<string, number>([['top1', topOne]]);
  for (const { k, ...values } of recall) {
    measures.set(`recall@${k}`, values.mean);
    for (const name of ['median', 'min', 'p5'] as const) measures.set(`${name}@${k}`, values[name]);
  }
  if (rankCorrelation !== null) measures.set('tau', rankCorrelation);
  if (quality !== null) {
    measures.set('map@100', quality.mapAt100);
    measures.set('ndcg@10', quality.ndcgAt10);
    measures.set('mrr@10', quality.mrrAt10);
  }
  if (latencyMs !== null) {
    for (const name of ['p50', 'p95', 'p99'] as const) measures.set(`latency-${name}`, latencyMs[name]);
  }
  if (drift !== undefined) {
    measures.set('drift', drift.share);
    measures.set('new-recall', drift.newRecall ?? Number.NaN);
    measures.set('old-recall', drift.oldRecall ?? Number.NaN);
  }
  return new Map([...measures].filter(([, value]) => Number.isFinite(value)));
}

/** Checks each term against the measured values. */
export function judgeTerms(terms: readonly AcceptTerm[], form: FormReport): TermResult[] {
  const measures = measuresOf(form);
  return terms.map((term) => {
    const value = measures.get(term.metric) ?? null;
    return { ...term, value, passed: value !== null && holds(value, term) };
  });
}

function holds(value: number, { comparison, bound }: AcceptTerm): boolean {
  switch (comparison) {
    case '>=':
      return value >= bound;
    case '>':
      return value > bound;
    case '<=':
      return value <= bound;
    case '<':
      return value < bound;
  }
}
