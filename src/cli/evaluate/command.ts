import { THREADS } from '../../core/run-options.js';
import { RESCORE } from '../../store/defaults.js';
import { Command } from 'commander';
import { DEFAULT_TERMS } from '../../evaluate/acceptance.js';
import { numberList, type EvaluateFlags } from './request.js';
import { namedTable, withTableFlags, type TableFlags } from '../console/table-flags.js';
import { seedNumber, wholeNumber, withGlobalFlags } from '../console/options.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   both collections, which are never changed, or files of vectors (--base, --queries: .npy or Parquet); and the encoder file
Writes  a page (--report) and a JUnit file (--junit), if you ask for them

Examples:
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --queries q.npy --k 1,10,100 --rescore 50 --by lang
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --queries q.npy --by lang --report report.html
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --accept --junit report.xml --json
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --accept "recall@10>=0.9, min>=0.4, latency-p95<=20"
  qdrant-tldr evaluate docs docs_2s --encoder enc.onnx --drift --accept "drift<=10%, new-recall>=0.8"
  qdrant-tldr evaluate --base base.npy --queries q.npy --encoder enc.onnx --qrels qrels.tsv

The true results of a query come from exact search of the full vectors. recall@10 is the share of the true
first ten that is among the ten results found.

--accept without a value stands for: ${DEFAULT_TERMS}.
The terms apply to the search that clients get: rescored in the two-stage layout, otherwise compact.

A table of PostgreSQL is compared with the compact vectors that a migration keeps beside it, or with the encoder as a
function of the database:
  qdrant-tldr evaluate docs --encoder enc.onnx --url postgres://app@localhost/app
Distances of a search in one pass are approximate. A warning says so if clients search by an operator.

Documentation: docs/evaluate.md (file formats with examples, and what each number means), docs/pgvector.md`;

/** `evaluate`: measures how close a compact collection, or an encoder on files, comes to full search. */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('Compare a compact collection with the full one, or judge an encoder on files of vectors.')
    .argument('[full]', 'the full collection; omit it with --base')
    .argument('[compact]', 'the collection that was migrated from it; omit it for a table of PostgreSQL')
    .requiredOption(
      '--encoder <file>',
      'encoder file that the compact collection was made with, or that is to be judged',
    )
    .option('--queries <file>', 'full-size query vectors: .npy, .parquet, or one JSON array per line')
    .option('--query-column <name>', 'the column of vectors, if --queries is a Parquet file with several')
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
    .option('--base <file>', 'without a database: .npy or .parquet file of the vectors to search')
    .option(
      '--column <name>',
      'the column of vectors: of a table, or of a Parquet file in --base, if there are several',
    )
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
    .option(
      '--color-by <field>',
      "payload field that colours the report's map, auto (default: one that suits) or none",
    )
    .option(
      '--text-field <field>',
      "payload field whose texts the report's example queries show, auto (default) or none",
    )
    .option('--force', 'replace an existing --report file')
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber)
    .option('--seed <n>', 'seed of the held-out rows and of the intervals', seedNumber, 0)
    .action(
      async (full: string | undefined, compact: string | undefined, flags: EvaluateFlags & TableFlags) => {
        const { collection, way } = namedTable(full, { ...flags, ...(flags.base && { input: flags.base }) });
        await (await import('./run-evaluate.js')).runEvaluate([collection, compact], { ...flags, ...way });
      },
    );
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(withTableFlags(command, { hasColumn: true }));
}
