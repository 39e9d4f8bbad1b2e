import { adapterFor } from '../adapters.js';
import { writeWhole } from '../../core/write-file.js';
import { Encoder } from '../../encoder/model.js';
import { clientsLine, nextCommand, projectStep } from '../console/next-commands.js';
import { TldrError } from '../../core/errors.js';
import { judgeTerms, type TermResult } from '../../evaluate/acceptance.js';
import type { CollectionComparison } from '../../evaluate/compare-collections.js';
import type { FormReport } from '../../evaluate/fidelity.js';
import type { PageStep, ReportInput } from '../../report/input.js';
import { formatBytes, formatNumber } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import type { ConsoleRun } from '../console/command-output.js';
import { evaluateCollections, type CollectionEvaluation } from './evaluate-collections.js';
import { evaluateFiles } from './evaluate-files.js';
import { exampleTexts } from '../page-parts/example-texts.js';
import type { BeforeAndAfter } from '../page-parts/verdict-words.js';
import { collectionMap } from '../page-parts/sample-map.js';
import { stepsAfterComparison, stepsAfterJudgement } from './next-steps.js';
import { driftLines, driftTables } from './drift-table.js';
import { evaluationJunit } from './junit.js';
import { comparisonTables, judgementTables, termsTable } from './tables.js';
import { comparisonPage, formNamed, judgementPage, type EvaluationWords } from './page.js';
import { sayTables, writePage } from '../console/show-results.js';
import { checkRequest, type EvaluateFlags, type EvaluateRequest } from './request.js';
import { withConsole, withSource } from '../console/command-body.js';
import { commandLine } from '../console/check-output.js';
import type { Config } from '../../config/load.js';

/** Runs `evaluate`. */
export function runEvaluate(names: readonly (string | undefined)[], flags: EvaluateFlags): Promise<void> {
  return withConsole(flags, async (run, config) => {
    const canProject = adapterFor(config.url).encoderScript !== undefined;
    const request = await checkRequest(names, flags, { canProject });
    await evaluate(request, flags, { run, config });
  });
}

/** The measurements, and how the terminal and the page show them. */
export interface Evaluation {
  readonly name: string;
  /** The search that the terms apply to. */
  readonly form: FormReport;
  /** The search by compact vectors alone; null for files. */
  readonly onePass: FormReport | null;
  /** Lines above the tables. */
  readonly lines: readonly string[];
  readonly tables: readonly ResultTable[];
  /** Expected memory of both collections; null for files. */
  readonly memory: CollectionComparison['bytes'] | null;
  /** Memory before and after as it was measured; null if it was not. */
  readonly measuredRam: BeforeAndAfter | null;
  /** Whether a migration keeps the compact vectors up to date; false for files. */
  readonly isMigrated: boolean;
  readonly page: (terms: readonly TermResult[]) => ReportInput;
  /** The object for `--json`, without the values of single queries, which only charts need. */
  readonly result: Readonly<Record<string, unknown>>;
}

async function evaluate(
  request: EvaluateRequest,
  flags: EvaluateFlags,
  { run, config }: { readonly run: ConsoleRun; readonly config: Config },
): Promise<void> {
  const startedAt = performance.now();
  const encoder = await Encoder.load(flags.encoder);
  const { name, form, lines, tables, page, result, isMigrated } = await measureEvaluation(request, {
    encoder,
    flags,
    run,
    config,
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const terms = judgeTerms(request.terms, form);
  const failure = failedTerms(terms);
  for (const line of lines) run.say(line);
  sayTables(run, tables, { all: flags.verbose === true });
  if (terms.length > 0) sayTables(run, [termsTable(terms, { form: form.name, asked: true })]);
  if (flags.junit !== undefined) {
    const junit = evaluationJunit(form, terms, { name, encoder: flags.encoder, seconds });
    await writeWhole(flags.junit, (file) => file.writeFile(junit));
    run.say(`wrote ${flags.junit}`);
  }
  if (flags.report !== undefined) await writePage(run, flags.report, page(terms));
  const accept = terms.length === 0 ? null : { form: form.name, passed: failure === null, terms };
  const whole = { ...result, encoder: encoder.fingerprint, seconds, accept };
  // The error carries the result, so that the last line stays a single JSON object.
  if (failure !== null) throw new TldrError('VERIFY_FAILED', failure, { result: whole });
  run.next([nextAfter(request, flags, { dim: encoder.outputDim, url: config.url, isMigrated })]);
  run.result(whole);
}

/** The command that uses what was measured: the proxy, or projection of the file. */
function nextAfter(
  request: EvaluateRequest,
  flags: EvaluateFlags,
  { dim, url, isMigrated }: { readonly dim: number; readonly url: string; readonly isMigrated: boolean },
): string {
  const { collections } = request;
  if (collections !== null)
    return nextCommand(flags, clientsLine({ ...collections, isMigrated, encoderFile: flags.encoder }, url));
  return projectStep({ input: request.base, column: flags.column, encoder: flags.encoder, dim });
}

/** Returns the failed terms in one line; null if all passed. */
function failedTerms(terms: readonly TermResult[]): string | null {
  const failed = terms.filter(({ passed }) => !passed);
  if (failed.length === 0) return null;
  const each = failed.map(
    ({ text, value }) => `${text} (measured ${value === null ? 'nothing' : value.toFixed(4)})`,
  );
  return `${failed.length} of ${terms.length} acceptance terms failed: ${each.join(', ')}`;
}

interface Using {
  readonly encoder: Encoder;
  readonly flags: EvaluateFlags;
  readonly run: ConsoleRun;
  readonly config: Config;
  /** Memory of both collections as it was measured before; without it, estimates are shown. */
  readonly measuredRam?: BeforeAndAfter | null;
}

/** Measures what `evaluate` measures, and prints nothing. */
export async function measureEvaluation(request: EvaluateRequest, using: Using): Promise<Evaluation> {
  const { encoder, flags, run, config } = using;
  const { ks } = request;
  if (request.collections === null) return measureFiles(request, using);
  const { collections } = request;
  return withSource(config, run, async (store) => {
    const found = await evaluateCollections(store, collections, { encoder, flags, ks, run });
    const { comparison, description, queriesFrom, drift, notes } = found;
    const measuredRam = found.indexBytes ?? using.measuredRam ?? null;
    const { source, target } = collections;
    const { layout, inputDim, outputDim } = description;
    const tables = [...comparisonTables(comparison, measuredRam), ...driftTables(drift)];
    const place = { store, collection: source, vectorName: description.vector };
    const { report, colorBy, textField } = flags;
    const map = report === undefined ? null : await collectionMap(place, encoder, { colorBy, run });
    const examples = await exampleTexts(place, comparison.examples, { textField, run });
    const next = (isGood: boolean): PageStep[] =>
      stepsAfterComparison({ ...found, ...description, source, target }, { flags, url: config.url, isGood });
    const names = shownNames(collections);
    const facts: Facts = [
      ['Full collection', source],
      ...(names.isOneTable ? [] : [['Compact collection', target] as const]),
      ['Layout', layout],
      ...notes.map((note) => ['Note', note] as const),
      ...encoderFacts(encoder, comparison.seed),
    ];
    return {
      name: names.short,
      form: formNamed(comparison.forms, comparison.served),
      onePass: formNamed(comparison.forms, 'compact'),
      lines: [
        `${names.short} (${layout}), ${inputDim} -> ${outputDim} dimensions, encoder ${encoder.fingerprint.slice(0, 16)}`,
        queriesFrom,
        'truth: exact search of the full vectors',
        ...(found.indexBytes === null ? [] : [`RAM: ${INDEX_RAM}`]),
        ...notes.map((note) => `note: ${note}`),
        ...driftLines(drift),
      ],
      tables,
      memory: comparison.bytes,
      measuredRam,
      isMigrated: found.isMigrated,
      page: (terms) =>
        comparisonPage(comparison, {
          title: names.title,
          queriesFrom,
          terms,
          facts,
          tables,
          map,
          examples,
          measuredRam,
          ...(found.indexBytes === null ? {} : { ramWords: `The ${INDEX_RAM}, as the server has them` }),
          next,
          command: commandLine(),
        }),
      result: comparisonResult(collections, found),
    };
  });
}

/** What the memory of a table is. */
const INDEX_RAM = 'bytes of the indexes on full and on compact vectors';

/** How texts name what is compared: a table stands for its own compact vectors too. */
function shownNames({ source, target }: { readonly source: string; readonly target: string }): {
  readonly isOneTable: boolean;
  readonly short: string;
  readonly title: string;
} {
  return source === target
    ? { isOneTable: true, short: source, title: `${source}: compact vectors compared with full ones` }
    : { isOneTable: false, short: `${source} -> ${target}`, title: `${target} compared with ${source}` };
}

function comparisonResult(
  { source, target }: { readonly source: string; readonly target: string },
  { comparison, description, queriesFrom, drift, notes, indexBytes }: CollectionEvaluation,
): Evaluation['result'] {
  const { layout, inputDim, outputDim } = description;
  return {
    source,
    target,
    layout,
    inputDim,
    outputDim,
    queriesFrom,
    notes,
    ...(indexBytes === null ? {} : { indexBytes }),
    ...comparison,
    perQuery: undefined,
    examples: undefined,
    ...(drift && { drift }),
  };
}

async function measureFiles(
  { base, ks }: { readonly base: string; readonly ks: readonly number[] },
  { encoder, flags, run, config }: Using,
): Promise<Evaluation> {
  const files = { ...flags, base };
  const { judgement, queriesFrom, drift } = await evaluateFiles(
    encoder,
    { flags: files, ks },
    { run, config },
  );
  const name = `${flags.encoder} on ${base}`;
  const { rows, inputDim, outputDim, distance, bytes, seed } = judgement;
  const tables = [...judgementTables(judgement), ...driftTables(drift)];
  const facts: Facts = [['Vectors', formatNumber(rows)], ...encoderFacts(encoder, seed)];
  return {
    name,
    form: formNamed(judgement.spaces, 'encoder'),
    onePass: null,
    lines: [
      `${formatNumber(rows)} vectors, ${inputDim} -> ${outputDim} dimensions, ${distance}; ${queriesFrom}`,
      `as float32: ${formatBytes(bytes.full)} full, ${formatBytes(bytes.compact)} compact`,
      'truth: exact search of the full vectors; every space is searched exactly',
      ...driftLines(drift),
    ],
    tables,
    memory: null,
    measuredRam: null,
    isMigrated: false,
    page: (terms) =>
      judgementPage(judgement, {
        title: name,
        queriesFrom,
        terms,
        facts,
        tables,
        next: () => stepsAfterJudgement(base, flags, outputDim),
        command: commandLine(),
      }),
    result: { queriesFrom, ...judgement, perQuery: undefined, ...(drift && { drift }) },
  };
}

type Facts = EvaluationWords['facts'];

function encoderFacts(encoder: Encoder, seed: number): Facts {
  const { method, distance, compactDistance } = encoder.metadata;
  return [
    ['Dimensions', `${encoder.inputDim} to ${encoder.outputDim}`],
    [
      'Distance',
      compactDistance === distance ? distance : `${distance}, in the compact space ${compactDistance}`,
    ],
    ['Encoder', `${method}, fingerprint ${encoder.fingerprint.slice(0, 16)}`],
    ['Seed', String(seed)],
  ];
}
