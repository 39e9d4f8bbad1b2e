import { TldrError } from '../core/errors.js';
import type { TrainEncoderOptions } from '../select/train-encoder-options.js';
import { labelNumbers, readLabels, readQrels, readQueryVectors, rowDoc } from './relevance-files.js';

export interface RelevanceFlags {
  readonly objective?: 'fidelity' | 'relevance';
  readonly labels?: string;
  readonly queries?: string;
  readonly qrels?: string;
  readonly input?: string;
  readonly sample: number;
}

/** @throws INVALID_ARGUMENT for flags that do not go together; before any file is read */
export function checkRelevanceFlags(flags: RelevanceFlags): void {
  const { objective = 'fidelity', labels, queries, qrels, input } = flags;
  if ((labels !== undefined || qrels !== undefined) && input === undefined) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--labels and --qrels speak of rows of a file: give --input base.npy instead of a collection',
    );
  }
  if (qrels !== undefined && queries === undefined)
    throw new TldrError('INVALID_ARGUMENT', '--qrels needs the query vectors it speaks of: give --queries');
  if (labels !== undefined && queries !== undefined)
    throw new TldrError('INVALID_ARGUMENT', 'give --labels or --queries, not both');
  if (objective === 'relevance' && labels === undefined && qrels === undefined) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--objective relevance needs --labels, or --queries with --qrels: see docs/evaluate.md for the formats',
    );
  }
  if (objective === 'fidelity' && (labels !== undefined || qrels !== undefined))
    throw new TldrError('INVALID_ARGUMENT', '--labels and --qrels are used by --objective relevance only');
}

/**
 * The files behind the flags, as options of the training.
 * @param shape rows of the input file and dimensions
 * @throws NOT_FOUND, INVALID_DATA with line numbers, INVALID_ARGUMENT when a sample would leave rows out
 */
export async function readRelevance(
  flags: RelevanceFlags,
  shape: { readonly rows: number; readonly dim: number },
): Promise<Pick<TrainEncoderOptions, 'objective' | 'labels' | 'queries' | 'gains'>> {
  const { objective = 'fidelity', labels, queries, qrels } = flags;
  if ((labels !== undefined || qrels !== undefined) && shape.rows > flags.sample) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the file has ${shape.rows} rows, --sample takes ${flags.sample} of them: judgements need all, raise --sample`,
    );
  }
  const vectors = queries === undefined ? undefined : await readQueryVectors(queries, shape.dim);
  return {
    objective,
    ...(vectors === undefined ? {} : { queries: vectors }),
    ...(labels === undefined ? {} : { labels: labelNumbers(await readLabels(labels, shape.rows), []).base }),
    ...(qrels === undefined || vectors === undefined
      ? {}
      : { gains: await readQrels(qrels, { queries: vectors.rows, doc: rowDoc(shape.rows) }) }),
  };
}
