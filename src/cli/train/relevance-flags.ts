import { Option, type Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { checkColumn } from '../../files/vector-file-names.js';

/** Flags that say how candidates are scored. */
export interface RelevanceFlags {
  readonly objective?: 'fidelity' | 'relevance';
  readonly labels?: string;
  readonly labelsField?: string;
  readonly queries?: string;
  /** The column of a Parquet --queries file. */
  readonly queryColumn?: string;
  readonly qrels?: string;
  readonly input?: string;
  readonly sample: number;
}

/**
 * Adds the relevance flags.
 * @param forms what labels, their fields and documents look like for this command, for its help
 */
export function withRelevanceFlags(
  command: Command,
  forms: { readonly labels: string; readonly fields: string; readonly documents: string },
): Command {
  return command
    .addOption(
      new Option(
        '--objective <name>',
        'how the best candidate is chosen: by recall, or by relevance to labels or qrels (default: fidelity)',
      ).choices(['fidelity', 'relevance']),
    )
    .option(
      '--labels <file>',
      `file of labels: points with the same label are relevant to each other; ${forms.labels}`,
    )
    .option(
      '--labels-field <key>',
      `payload field that holds the labels of a collection: a key, or a path with dots${forms.fields}`,
    )
    .option('--qrels <file>', `relevance judgements of --queries, by ${forms.documents}: TREC, TSV or .npy`)
    .option('--query-column <name>', 'the column of vectors, if --queries is a Parquet file with several');
}

/**
 * Checks the relevance flags before any file is read.
 * @param besideFidelity whether labels and judgements are measured if agreement with neighbours chooses
 * @throws INVALID_ARGUMENT when they contradict each other
 */
export function checkRelevanceFlags(flags: RelevanceFlags, besideFidelity = false): void {
  const { objective = 'fidelity', labels, queries, qrels, input } = flags;
  checkColumn('--query-column', flags.queryColumn, [queries]);
  const isOff = besideFidelity && objective === 'fidelity' && flags.labelsField === 'none';
  const labelsField = isOff ? undefined : flags.labelsField;
  if (labelsField !== undefined && input !== undefined)
    throw usage('--labels-field reads the payload of a collection: with --input give --labels');
  if (labels !== undefined && labelsField !== undefined)
    throw usage('give --labels or --labels-field, not both');
  if (objective === 'relevance' && (labelsField === 'auto' || labelsField === 'none'))
    throw usage(
      `--labels-field ${labelsField}: with --objective relevance, name the field whose labels choose`,
    );
  if (labelsField === '') throw usage('--labels-field: expected a key of the payload, or a path with dots');
  if (qrels !== undefined && queries === undefined)
    throw usage('--qrels needs the vectors of its queries: give --queries');
  const labelled = labels ?? labelsField;
  if (labelled !== undefined && queries !== undefined)
    throw usage(`give ${labels === undefined ? '--labels-field' : '--labels'} or --queries, not both`);
  if (objective === 'relevance' && labelled === undefined && qrels === undefined) {
    throw usage(
      '--objective relevance needs --labels or --labels-field, or --queries with --qrels: see docs/evaluate.md for the formats',
    );
  }
  if (!besideFidelity && objective === 'fidelity' && (labelled !== undefined || qrels !== undefined))
    throw usage('--labels, --labels-field and --qrels are used by --objective relevance only');
}

/** Returns the error for relevance flags that do not fit. */
export function usage(message: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', message);
}
