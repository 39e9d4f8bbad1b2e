import { basename } from 'node:path';
import type { MemoryEstimate } from '../../store/storage.js';
import { measuresOf, type TermResult } from '../../evaluate/acceptance.js';
import type { CollectionComparison } from '../../evaluate/compare-collections.js';
import type { FormReport, Quality } from '../../evaluate/fidelity.js';
import type { EncoderJudgement } from '../../evaluate/score-encoder.js';
import type { Strata } from '../../evaluate/payload-strata.js';
import { diskText, megabytes, ramText, table, type ConsoleRun } from '../console/run.js';
import { qualityNote } from '../pages/evaluate-tables.js';
import { junitXml } from './junit.js';

/** Strata shown to people; all of them are in the JSON object. */
const STRATA_SHOWN = 10;

const share = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(3));
const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(4)}`;
const count = (value: number): string => value.toLocaleString('en-US');

/** Prints the scores of an encoder on files. */
export function printJudgement(run: ConsoleRun, judgement: EncoderJudgement, queriesFrom: string): void {
  const { rows, inputDim, outputDim, distance, spaces, bytes, headlineK: k } = judgement;
  run.say(`${count(rows)} vectors, ${inputDim} -> ${outputDim} dimensions, ${distance}; ${queriesFrom}`);
  run.say('truth: exact search of the full vectors; every space is searched exactly');
  printForms(run, spaces, k);
  run.say('');
  run.say(
    table([
      ['recovered by rescoring', ...(spaces[0]?.within ?? []).map(({ depth }) => `R${k}@${depth}`)],
      ...spaces.map(({ name, within }) => [name, ...within.map(({ recall }) => share(recall))]),
    ]),
  );
  printQuality(
    run,
    spaces.map(({ name, quality }) => [name, quality] as const),
    judgement,
  );
  run.say('');
  run.say(`vectors as float32: ${megabytes(bytes.full)} full, ${megabytes(bytes.compact)} compact`);
}

/** Prints the comparison of two collections. */
export function printComparison(
  run: ConsoleRun,
  comparison: CollectionComparison,
  what: { readonly title: string; readonly queriesFrom: string },
): void {
  const { forms, bytes, rescore, headlineK: k, points, strata } = comparison;
  run.say(what.title);
  run.say(what.queriesFrom);
  run.say('truth: exact search of the full vectors');
  printForms(run, forms, k);
  if (rescore !== null)
    run.say(`rescored: the first ${rescore} results of the compact search, by the full vectors`);
  run.say('');
  run.say(
    table([
      [`milliseconds per query, limit ${k}`, 'p50', 'p95', 'p99'],
      ...forms.map(({ name, latencyMs }) => [
        name,
        ...[latencyMs?.p50, latencyMs?.p95, latencyMs?.p99].map((ms) => ms?.toFixed(2) ?? '-'),
      ]),
    ]),
  );
  run.say('one query at a time, the forms in turn, projection included');
  printQuality(
    run,
    [
      ...forms.map(({ name, quality }) => [name, quality] as const),
      ['full, exact', comparison.exactQuality] as const,
    ],
    comparison,
  );
  run.say('');
  const memory = (name: string, size: number, estimate: MemoryEstimate | null): string[] => [
    name,
    count(size),
    ramText(estimate),
    diskText(estimate),
  ];
  run.say(
    table([
      ['estimate of memory', 'points', 'RAM', 'disk (vectors)'],
      memory('full', points.source, bytes.source),
      memory('compact', points.target, bytes.target),
    ]),
  );
  if (strata !== null) printStrata(run, strata, comparison.served);
}

function printForms(run: ConsoleRun, forms: readonly FormReport[], k: number): void {
  run.say('');
  for (const { k: at } of forms[0]?.recall ?? []) {
    run.say(
      table([
        [`recall@${at}`, 'dims', 'mean', '95 % interval', 'median', 'p5', 'min'],
        ...forms.map(({ name, dim, recall }) => {
          const one = recall.find((entry) => entry.k === at);
          if (one === undefined) return [name];
          const interval = one.interval.map(share).join(' - ');
          return [
            name,
            String(dim),
            share(one.mean),
            interval,
            share(one.median),
            share(one.p5),
            share(one.min),
          ];
        }),
      ]),
    );
    run.say('');
  }
  run.say(
    table([
      [`first ${k} results`, 'top-1 agrees', 'order (tau)', 'score shift', 'p95 of its size'],
      ...forms.map(({ name, topOne, rankCorrelation, scoreShift }) => [
        name,
        share(topOne),
        rankCorrelation === null ? '-' : share(rankCorrelation),
        scoreShift === null ? '-' : signed(scoreShift.mean),
        scoreShift === null ? '-' : scoreShift.absoluteP95.toFixed(4),
      ]),
    ]),
  );
}

function printQuality(
  run: ConsoleRun,
  rows: readonly (readonly [string, Quality | null])[],
  over: Parameters<typeof qualityNote>[1],
): void {
  const judged = rows.flatMap(([name, quality]) => (quality === null ? [] : [[name, quality] as const]));
  const [first] = judged;
  if (first === undefined) return;
  run.say('');
  run.say(
    table([
      ['relevance', 'mAP@100', 'nDCG@10', 'MRR@10'],
      ...judged.map(([name, { mapAt100, ndcgAt10, mrrAt10 }]) => [
        name,
        share(mapAt100),
        share(ndcgAt10),
        share(mrrAt10),
      ]),
    ]),
  );
  run.say(qualityNote(first[1], over));
}

function printStrata(run: ConsoleRun, { field, of, k, strata, rare }: Strata, served: string): void {
  const shown = strata.slice(0, STRATA_SHOWN);
  const forms = Object.keys((shown[0] ?? rare)?.recall ?? {});
  run.say('');
  run.say(
    table([
      [`recall@${k} by ${field}, worst first`, 'queries', ...forms, `min (${served})`],
      ...[...shown, ...(rare === null ? [] : [rare])].map(({ value, queries, recall, min }) => [
        value.length > 40 ? `${value.slice(0, 39)}…` : value,
        count(queries),
        ...forms.map((form) => share(recall[form] ?? Number.NaN)),
        share(min),
      ]),
    ]),
  );
  run.say(
    `by the payload of the ${of}; ${shown.length} of ${count(strata.length)} values with at least 5 queries${rare === null ? '' : `, (rare): ${count(rare.values)} other values together`}`,
  );
}

/** Prints each acceptance term with its value. */
export function printTerms(run: ConsoleRun, terms: readonly TermResult[], form: string): void {
  if (terms.length === 0) return;
  run.say('');
  run.say(
    table([
      [`accept (${form})`, 'measured', ''],
      ...terms.map(({ text, value, passed }) => [
        text,
        value === null ? 'nothing' : value.toFixed(4),
        passed ? 'passed' : 'FAILED',
      ]),
    ]),
  );
}

/** Returns the failed terms in one line; null if all passed. */
export function failedTerms(terms: readonly TermResult[]): string | null {
  const failed = terms.filter(({ passed }) => !passed);
  if (failed.length === 0) return null;
  const each = failed.map(
    ({ text, value }) => `${text} (measured ${value === null ? 'nothing' : value.toFixed(4)})`,
  );
  return `${failed.length} of ${terms.length} acceptance terms failed: ${each.join(', ')}`;
}

/**
 * Returns a JUnit report: a test case per term, or without terms a passing one per measure. Measures are
 * properties too.
 */
export function evaluationJunit(
  form: FormReport,
  terms: readonly TermResult[],
  about: { readonly name: string; readonly encoder: string; readonly seconds: number },
): string {
  const measures = [...measuresOf(form)];
  return junitXml({
    name: about.name,
    seconds: about.seconds,
    properties: new Map([
      ['encoder', basename(about.encoder)],
      ['form', form.name],
      ...measures.map(([name, value]) => [name, String(value)] as const),
    ]),
    cases:
      terms.length === 0
        ? measures.map(([name, value]) => ({ name, output: `${name} = ${value}` }))
        : terms.map(({ text, metric, value, passed }) => {
            const output = `${metric} = ${value ?? 'not measured'}`;
            return { name: text, output, ...(passed ? {} : { failure: `${output}, expected ${text}` }) };
          }),
  });
}
