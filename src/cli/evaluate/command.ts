import { THREADS } from '../../core/run-options.js';
import { RESCORE } from '../../store/defaults.js';
import { Command } from 'commander';
import type { Config } from '../../config/load.js';
import { writeWhole } from '../../core/write-file.js';
import { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import { DEFAULT_TERMS, judgeTerms, type TermResult } from '../../evaluate/acceptance.js';
import type { FormReport } from '../../evaluate/fidelity.js';
import type { ReportInput } from '../../report/input.js';
import { formatNumber, megabytes } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';
import type { ConsoleRun } from '../console/command-output.js';
import { evaluateCollections } from './evaluate-collections.js';
import { evaluateFiles } from './evaluate-files.js';
import { driftLines, driftTables } from './drift-table.js';
import { evaluationJunit } from './junit.js';
import { comparisonTables, judgementTables, termsTable } from './tables.js';
import { comparisonPage, formNamed, judgementPage, type EvaluationWords } from './page.js';
import { sayTables, writePage } from '../console/show-results.js';
import { checkRequest, numberList, type EvaluateFlags, type EvaluateRequest } from './request.js';
import { seedNumber, wholeNumber, withConsole, withGlobalFlags, withSource } from '../console/options.js';
import { commandLine } from '../console/check-output.js';

const HELP = `
Reads   both collections, which are never changed, or .npy files (--base, --queries); and the encoder file
Writes  a page (--report) and a JUnit file (--junit), if you ask for them

Examples:
  qdrant-tldr evaluate docs docs_c96 --encoder enc.onnx
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --queries q.npy --k 1,10,100 --rescore 50 --by lang
  qdrant-tldr evaluate docs docs_c96 --encoder enc.onnx --queries q.npy --by lang --report report.html
  qdrant-tldr evaluate docs docs_c96 --encoder enc.onnx --accept --junit report.xml --json
  qdrant-tldr evaluate docs docs_c96 --encoder enc.onnx --accept "recall@10>=0.9, min>=0.4, latency-p95<=20"
  qdrant-tldr evaluate docs docs_c96 --encoder enc.onnx --drift --accept "drift<=10%, new-recall>=0.8"
  qdrant-tldr evaluate --base base.npy --queries q.npy --encoder enc.onnx --qrels qrels.tsv

The true results of a query come from exact search of the full vectors. recall@10 is the share of the true
first ten that is among the ten results found.

--accept without a value stands for: ${DEFAULT_TERMS}.
The terms apply to the search that clients get: rescored in the two-stage layout, otherwise compact.

Documentation: docs/evaluate.md (file formats with examples, and what each number means)`;

/** `evaluate`: measures how close a compact collection, or an encoder on files, comes to full search. */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('Compare a compact collection with the full one, or judge an encoder on .npy files.')
    .argument('[full]', 'the full collection; omit it with --base')
    .argument('[compact]', 'the collection that was migrated from it')
    .requiredOption(
      '--encoder <file>',
      'encoder file that the compact collection was made with, or that is to be judged',
    )
    .option('--queries <file>', 'full-size query vectors: .npy, or one JSON array per line')
    .option(
      '--sample <n>',
      'without --queries: stored points (or rows of --base) to use as queries',
      wholeNumber,
    )
    .option('--k <list>', 'numbers of results to measure recall at', numberList, [10])
    .option(
      '--rescore <n>',
      `two-stage layout: first-stage results to rescore (default: ${RESCORE})`,
      wholeNumber,
    )
    .option('--by <field>', 'show recall by the values of a payload field, the worst first')
    .option('--drift', 'show how far the queries lie from the sample that the encoder was fitted to')
    .option(
      '--new-filter <json>',
      'with --drift: a filter of the database that selects the new points, which are judged apart',
    )
    .option('--base <file>', 'without a database: .npy file of the vectors to search, N x D')
    .option('--no-pca', 'with --base: do not compare with PCA')
    .option(
      '--labels <file>',
      'with --base: a label per row; rows with the same label are relevant to each other',
    )
    .option('--query-labels <file>', 'a label per row of --queries')
    .option('--qrels <file>', 'relevance judgements for the rows of --queries: TREC, tab-separated or .npy')
    .option(
      '--accept [terms]',
      'end with exit code 10 unless all terms hold; without a value: the terms below',
    )
    .option('--junit <file>', 'write a JUnit report for CI, replacing the file')
    .option('--report <file>', 'write a self-contained HTML report')
    .option('--force', 'replace an existing --report file')
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber)
    .option('--seed <n>', 'seed of the held-out rows and of the intervals', seedNumber, 0)
    .action((full: string | undefined, compact: string | undefined, flags: EvaluateFlags) =>
      withConsole(flags, async (run, config) => {
        const request = await checkRequest([full, compact], flags);
        await evaluate(request, flags, { run, config });
      }),
    );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
}

/** The measurements, and how the terminal and the page show them. */
interface Evaluation {
  readonly name: string;
  /** The search that the terms apply to. */
  readonly form: FormReport;
  /** Lines above the tables. */
  readonly lines: readonly string[];
  readonly tables: readonly ResultTable[];
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
  const { name, form, lines, tables, page, result } = await measure(request, { encoder, flags, run, config });
  const seconds = (performance.now() - startedAt) / 1000;
  const terms = judgeTerms(request.terms, form);
  const failure = failedTerms(terms);
  for (const line of lines) run.say(line);
  sayTables(run, tables);
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
  run.result(whole);
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
}

async function measure(request: EvaluateRequest, using: Using): Promise<Evaluation> {
  const { encoder, flags, run, config } = using;
  const { ks } = request;
  if (request.collections === null) return measureFiles(request, using);
  const { collections } = request;
  return withSource(config, run, async (store) => {
    const found = await evaluateCollections(store, collections, { encoder, flags, ks, run });
    const { comparison, description, queriesFrom, drift } = found;
    const { source, target } = collections;
    const { layout, inputDim, outputDim } = description;
    const tables = [...comparisonTables(comparison), ...driftTables(drift)];
    const title = `${target} compared with ${source}`;
    const facts: Facts = [
      ['Full collection', source],
      ['Compact collection', target],
      ['Layout', layout],
      ...encoderFacts(encoder, comparison.seed),
    ];
    return {
      name: `${source} -> ${target}`,
      form: formNamed(comparison.forms, comparison.served),
      lines: [
        `${source} -> ${target} (${layout}), ${inputDim} -> ${outputDim} dimensions, encoder ${encoder.fingerprint.slice(0, 16)}`,
        queriesFrom,
        'truth: exact search of the full vectors',
        ...driftLines(drift),
      ],
      tables,
      page: (terms) =>
        comparisonPage(comparison, { title, queriesFrom, terms, facts, tables, command: commandLine() }),
      result: {
        source,
        target,
        layout,
        inputDim,
        outputDim,
        queriesFrom,
        ...comparison,
        perQuery: undefined,
        ...(drift && { drift }),
      },
    };
  });
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
    lines: [
      `${formatNumber(rows)} vectors, ${inputDim} -> ${outputDim} dimensions, ${distance}; ${queriesFrom}`,
      `as float32: ${megabytes(bytes.full)} full, ${megabytes(bytes.compact)} compact`,
      'truth: exact search of the full vectors; every space is searched exactly',
      ...driftLines(drift),
    ],
    tables,
    page: (terms) =>
      judgementPage(judgement, { title: name, queriesFrom, terms, facts, tables, command: commandLine() }),
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
