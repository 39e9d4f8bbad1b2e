import { InvalidArgumentError } from 'commander';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, TldrError } from '../../core/errors.js';
import { checkWritable } from '../../core/write-file.js';
import {
  DEFAULT_TERMS,
  DRIFT_TERMS,
  depthsOf,
  needsDrift,
  needsLatency,
  needsRelevance,
  parseTerms,
  type AcceptTerm,
} from '../../evaluate/acceptance.js';
import { checkColumn } from '../../files/vector-file-names.js';
import type { GlobalFlags } from '../console/options.js';
import { areDifferent, checkOutput } from '../console/check-output.js';

export interface EvaluateFlags extends GlobalFlags {
  readonly encoder: string;
  readonly base?: string;
  /** Of a table, the column of vectors. */
  readonly vector?: string;
  /** The columns of Parquet files. */
  readonly column?: string;
  readonly queryColumn?: string;
  readonly queries?: string;
  readonly sample?: number;
  readonly k: readonly number[];
  readonly rescore?: number;
  readonly by?: string;
  readonly drift?: boolean;
  readonly newFilter?: string;
  readonly labels?: string;
  readonly queryLabels?: string;
  readonly qrels?: string;
  /** commander's form of --no-pca. */
  readonly pca: boolean;
  readonly accept?: string | true;
  readonly junit?: string;
  readonly report?: string;
  readonly colorBy?: string;
  readonly textField?: string;
  readonly force?: boolean;
  readonly seed: number;
}

/** The flags after their check: two collections, or files. */
export type EvaluateRequest = {
  readonly terms: readonly AcceptTerm[];
  /** Each k (count of results), ascending: those of --k and those that the terms use. */
  readonly ks: readonly number[];
} & (
  | { readonly collections: { readonly source: string; readonly target: string } }
  | { readonly collections: null; readonly base: string }
);

const K_MAX = 10_000;

/** `1,10,100` as numbers. */
export function numberList(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (values.some((value) => !Number.isSafeInteger(value) || value < 1 || value > K_MAX))
    throw new InvalidArgumentError(`expected whole numbers from 1 to ${K_MAX}, for example 1,10,100`);
  return values;
}

/**
 * Checks everything that can be checked before anything is read.
 * @throws INVALID_ARGUMENT when flags contradict each other or an output cannot be written; ALREADY_EXISTS
 */
export async function checkRequest(
  names: readonly (string | undefined)[],
  flags: EvaluateFlags,
  /** Whether the database projects vectors, so that a collection is its own compact form. */
  { canProject = false } = {},
): Promise<EvaluateRequest> {
  const [source, target = canProject ? source : undefined] = names;
  const terms = termsOf(flags);
  if (needsDrift(terms) && flags.drift !== true)
    throw usage('--accept uses drift, new-recall or old-recall: give --drift, which measures them');
  if (flags.newFilter !== undefined && flags.drift !== true)
    throw usage('--new-filter says which points are new: give --drift, which judges them apart');
  if (flags.newFilter !== undefined && flags.queries !== undefined)
    throw usage('--new-filter chooses stored points as queries: leave it out with --queries');
  if (needsRelevance(terms) && flags.qrels === undefined && flags.labels === undefined)
    throw usage('--accept uses mAP, nDCG or MRR: give --qrels or --labels, to say what is relevant');
  if (flags.base !== undefined) checkColumn('--column', flags.column, [flags.base]);
  checkColumn('--query-column', flags.queryColumn, [flags.queries]);
  checkPageFlags(flags);
  if (flags.sample === 0) throw usage('--sample: got 0, expected at least 1');
  if (flags.qrels !== undefined && flags.queries === undefined)
    throw usage('--qrels names rows of a query file: give --queries too');
  if (flags.junit !== undefined) await checkJunit(flags.junit);
  if (flags.report !== undefined) {
    if (flags.junit !== undefined && !(await areDifferent([flags.report, flags.junit])))
      throw usage('--report and --junit must be different files');
    await checkOutput(flags.report, { force: flags.force === true, dryRun: false });
  }
  const ks = [...new Set([...flags.k, ...depthsOf(terms)])].sort((a, b) => a - b);
  if (flags.base !== undefined) {
    if (source !== undefined)
      throw usage('give either two collections or --base with a file of vectors, not both');
    checkFileFlags(flags, terms);
    return { collections: null, base: flags.base, terms, ks };
  }
  if (source === undefined || target === undefined)
    throw usage('give the full and the compact collection, or --base with a file of vectors');
  checkCollectionFlags(flags);
  return { collections: { source, target }, terms, ks };
}

function termsOf({ accept, drift }: EvaluateFlags): readonly AcceptTerm[] {
  if (accept === undefined) return [];
  if (accept !== true) return parseTerms(accept);
  return parseTerms(drift === true ? `${DEFAULT_TERMS}, ${DRIFT_TERMS}` : DEFAULT_TERMS);
}

function checkFileFlags(flags: EvaluateFlags, terms: readonly AcceptTerm[]): void {
  for (const [flag, value] of [
    ['--by', flags.by],
    ['--rescore', flags.rescore],
    ['--new-filter', flags.newFilter],
    ['--color-by', flags.colorBy],
    ['--text-field', flags.textField],
  ] as const) {
    if (value !== undefined) throw usage(`${flag} needs collections: it cannot go with --base`);
  }
  if (needsLatency(terms))
    throw usage('--accept uses latency, which only collections have: leave it out with --base');
  if (flags.labels !== undefined && flags.qrels !== undefined)
    throw usage('give either --labels or --qrels, not both');
  if (flags.queryLabels !== undefined && (flags.labels === undefined || flags.queries === undefined))
    throw usage('--query-labels needs --labels and --queries');
  if (flags.labels !== undefined && flags.queries !== undefined && flags.queryLabels === undefined)
    throw usage('--labels with --queries needs --query-labels: the label of each query');
  if (flags.queries !== undefined && flags.sample !== undefined)
    throw usage('--sample holds rows of the base out as queries: leave it out with --queries');
}

function checkCollectionFlags(flags: EvaluateFlags): void {
  for (const [flag, value] of [
    ['--labels', flags.labels],
    ['--query-labels', flags.queryLabels],
  ] as const) {
    if (value !== undefined)
      throw usage(`${flag} needs --base, whose rows it labels: for collections give --qrels with point ids`);
  }
  if (flags.queries !== undefined && flags.sample !== undefined)
    throw usage('--sample takes stored points as queries: leave it out with --queries');
  if (!flags.pca) throw usage('--no-pca needs --base: collections are not compared with PCA');
  if (flags.rescore === 0) throw usage('--rescore: got 0, expected at least 1');
}

/** @throws INVALID_ARGUMENT for an empty name of a payload field, or one for a page that is not written */
export function checkPageFlags({
  colorBy,
  textField,
  report,
}: Pick<EvaluateFlags, 'colorBy' | 'textField' | 'report'>): void {
  for (const [flag, value] of [
    ['--color-by', colorBy],
    ['--text-field', textField],
  ] as const) {
    if (value === '') throw usage(`${flag}: expected a payload field, auto or none`);
    if (value !== undefined && report === undefined)
      throw usage(`${flag} is about the page: give --report, which writes it`);
  }
}

/** Checks that the folder exists. It is not created: a wrong path in a CI job must fail. */
async function checkJunit(path: string): Promise<void> {
  await access(dirname(path)).catch((cause: unknown) => {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--junit: cannot write into ${dirname(path)}: ${messageOf(cause)}`,
      { cause },
    );
  });
  await checkWritable(path);
}

function usage(message: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', message);
}
